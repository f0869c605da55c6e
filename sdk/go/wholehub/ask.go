package wholehub

import (
	"errors"
	"time"
	"unsafe"

	"hubgate"
	"hubgate/internal/abi"
	"hubgate/internal/arguments"
	"hubgate/internal/values"
)

// A method that ends with one of these is refused with its text, which the caller is told.
var (
	ErrNoSuchConnection = hubgate.Reject("The connection does not exist.")
	ErrTimedOut         = hubgate.Reject("The client did not answer in time.")
	ErrLeft             = hubgate.Reject("The client left before it answered.")
	ErrBusy             = hubgate.Reject("Too many wait for answers of clients; try again later.")
)

// Ask calls a method of one connection, and waits for what it answers, which is read into what is pointed to unless that is nil. A
// client that answers without a value leaves it as it is. With a timeout of 0 it waits as long as the plugin's ask-time, which bounds
// every wait and does not count as call-time. Other errors have the text of the client's own.
func Ask(connection string, timeout time.Duration, into any, method string, given ...any) error {
	if given == nil {
		given = []any{}
	}
	payload, err := hubgate.PayloadOf(given)
	if err != nil {
		return err
	}
	answer, err := AskPayload(connection, timeout, method, payload)
	if err != nil || answer == nil || into == nil {
		return err
	}
	text, is := answer.(hubgate.JSON)
	if !is {
		return errors.New("ask: the answer is MessagePack: AskPayload gives its bytes")
	}
	return arguments.Decode([]byte(text), into)
}

// AskPayload is [Ask] with the arguments and the answer as they are. The answer is nil if the client answers without a value.
func AskPayload(connection string, timeout time.Duration, method string, payload hubgate.Payload) (hubgate.Payload, error) {
	abi.Collect()
	lent := values.LendPayload(payload)
	milliseconds := uint32(min(abi.Whole(timeout, time.Millisecond), 1<<32-1))
	var result struct {
		abi.Case
		// An option of a payload, or an error at the same place.
		option abi.Case
		answer abi.Choice
	}
	abi.ClientResultsAsk(abi.TextOf(connection), abi.TextOf(method), uint32(lent.Tag), lent.Value.At, lent.Value.Length, milliseconds,
		unsafe.Pointer(&result))
	if result.Tag == 1 {
		return nil, notAnswered(*(*abi.Choice)(unsafe.Pointer(&result.option)))
	}
	if result.option.Tag == 0 {
		return nil, nil
	}
	return values.TakePayload(result.answer.Tag, result.answer.Value), nil
}

func notAnswered(lent abi.Choice) error {
	switch lent.Tag {
	case 0:
		return ErrNoSuchConnection
	case 1:
		return hubgate.Reject(abi.TakeString(lent.Value))
	case 2:
		return ErrTimedOut
	case 3:
		return ErrLeft
	}
	return ErrBusy
}
