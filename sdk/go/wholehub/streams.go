package wholehub

import (
	"errors"
	"fmt"
	"unsafe"

	"hubgate"
	"hubgate/internal/abi"
	"hubgate/internal/values"
)

var (
	// ErrOver says that a stream has ended, was cancelled, or that its client is gone.
	ErrOver = errors.New("stream: it has ended, or its client is gone")
	// ErrTooLarge says that what is pushed would never fit.
	ErrTooLarge = errors.New("stream: what is pushed would never fit")
)

// Room is what may still be pushed before the client has taken some.
type Room struct{ Items, Bytes uint32 }

// FullError says that there is less room than what is pushed. Writable is called once there is more.
type FullError struct{ Room Room }

func (full FullError) Error() string {
	return fmt.Sprintf("stream: it is full; %d items and %d bytes may still be pushed", full.Room.Items, full.Room.Bytes)
}

// Stream is a call of a client that is not over: a stream to it, or a call whose answer it waits for. It is only an id, which can
// be kept in state or in a timer's payload. What is done to it takes effect at once, whatever becomes of the call.
type Stream struct {
	// ID is the gateway's own, which no other stream has, nor had.
	ID string
}

// Push sends items, in order, all or none, and says how much room is left. The error is [ErrOver], a [FullError], [ErrTooLarge], or
// says what is no value.
func (stream Stream) Push(items ...any) (Room, error) {
	abi.Collect()
	lent := make([]abi.Choice, len(items))
	for at, item := range items {
		payload, err := hubgate.PayloadOf(item)
		if err != nil {
			return Room{}, err
		}
		lent[at] = values.LendPayload(payload)
	}
	list := abi.Lend(lent)
	var result pushed
	abi.StreamsPush(abi.TextOf(stream.ID), list.At, list.Length, unsafe.Pointer(&result))
	if result.Tag == 0 {
		return *(*Room)(unsafe.Pointer(&result.err)), nil
	}
	return Room{}, result.failure()
}

// Finish ends the stream, or answers the call without a value.
func (stream Stream) Finish() error { return stream.finish(0, abi.Choice{}, abi.List{}) }

// Answer answers the call with a value. A stream of items has none.
func (stream Stream) Answer(value any) error {
	payload, err := hubgate.PayloadOf(value)
	if err != nil {
		return err
	}
	lent := values.LendPayload(payload)
	return stream.finish(0, abi.Choice{Case: abi.Case{Tag: 1}, Value: abi.List{At: uint32(lent.Tag), Length: lent.Value.At}},
		abi.List{At: lent.Value.Length})
}

// Fail ends the stream or the call with an error: that of [hubgate.Reject] is for the client to see, any other for the log.
func (stream Stream) Fail(err error) error { return stream.finish(1, values.Error(err), abi.List{}) }

// finish passes the flat values of a result of an option of a payload, or an error.
func (stream Stream) finish(outcome uint32, first abi.Choice, rest abi.List) error {
	abi.Collect()
	var result pushed
	abi.StreamsFinish(abi.TextOf(stream.ID), outcome, uint32(first.Tag), first.Value.At, first.Value.Length, rest.At, unsafe.Pointer(&result))
	if result.Tag == 0 {
		return nil
	}
	return result.failure()
}

// pushed is a result of a room, or of an error at the same place.
type pushed struct {
	abi.Case
	err abi.Choice
}

func (result *pushed) failure() error {
	switch result.err.Tag {
	case 0:
		return ErrOver
	case 1:
		return FullError{Room{result.err.Value.At, result.err.Value.Length}}
	case 2:
		return ErrTooLarge
	}
	return errors.New("stream: " + abi.TakeString(result.err.Value))
}
