// Package hubgate is for plugins of Hubgate in Go. A plugin that imports hubgate/handler answers what clients call; one that
// imports hubgate/inbound, hubgate/outbound or both looks at messages on their way. What a plugin may ask of the gateway is in
// the packages hub, state, config, log, http, context and connections, as in the contract.
//
// The calls of one instance come one at a time. Variables may vanish between two of them: what must stay belongs into state.
package hubgate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unsafe"

	"hubgate/internal/abi"
	"hubgate/internal/arguments"
)

// Client is whom an event is about. Package connections knows more.
type Client struct {
	Hub, ID string
	// UserID is empty if the client has no user.
	UserID string
}

// Pair is a header, a claim or a configuration value. A name may repeat.
type Pair struct{ Name, Value string }

// Payload is the arguments of a call, one array, or one result: [JSON] or [MessagePack].
type Payload interface{ isPayload() }

// JSON is a payload as text.
type JSON string

// MessagePack is one value. It comes to plugins that are configured with payload = "native".
type MessagePack []byte

// MarshalJSON is the text itself, so that it can stand among other values.
func (text JSON) MarshalJSON() ([]byte, error) { return []byte(text), nil }

// UnmarshalJSON takes the text as it came.
func (text *JSON) UnmarshalJSON(value []byte) error {
	*text = JSON(value)
	return nil
}

// MarshalJSON fails: MessagePack is all arguments, or a whole result, and cannot stand among values in JSON.
func (MessagePack) MarshalJSON() ([]byte, error) {
	return nil, errors.New("MessagePack cannot stand among values in JSON: hub.Send takes it as all of the arguments")
}

func (JSON) isPayload() {}

func (MessagePack) isPayload() {}

// PayloadOf gives a payload as it is, and any other value as JSON.
func PayloadOf(value any) (Payload, error) {
	if payload, is := value.(Payload); is {
		return payload, nil
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("a value is not JSON: %w", err)
	}
	return JSON(bytes.TrimSuffix(text.Bytes(), []byte("\n"))), nil
}

// Parse reads the arguments of a call into what is pointed to, one for each. A wrong number or type is an error that the
// caller is told. Null is for pointers, any and [JSON] alone; a number in an any is a [json.Number], which keeps its digits.
func Parse(payload Payload, into ...any) error { return ParseOf("the method", payload, into...) }

// ParseOf is [Parse], with the method's name for the text of a wrong number.
func ParseOf(method string, payload Payload, into ...any) error {
	text, is := payload.(JSON)
	if !is {
		return Fail("the arguments are MessagePack: read their bytes")
	}
	if mistake := arguments.Read(method, []byte(text), into); mistake != "" {
		return Reject(mistake)
	}
	return nil
}

// Rejection is an error whose text the client sees.
type Rejection string

func (text Rejection) Error() string { return string(text) }

// Reject refuses a client or a call with a text that the client sees.
func Reject(text string) error { return Rejection(text) }

// Failure is an error for the log. So is every other error that is no [Rejection].
type Failure string

func (text Failure) Error() string { return string(text) }

// Fail ends a call with a text for the log.
func Fail(text string) error { return Failure(text) }

var initialize = func() error { return nil }

// Init says what runs once in each new instance. An error keeps the plugin from serving. Only config, log and context answer
// in it.
func Init(function func() error) { initialize = function }

var initialized abi.Choice

//go:wasmexport hubgate:plugin/lifecycle@0.1.0#init
func exportInit() unsafe.Pointer {
	initialized = abi.Choice{}
	if err := initialize(); err != nil {
		initialized = abi.Variant(1, abi.LendString(err.Error()))
	}
	return unsafe.Pointer(&initialized)
}
