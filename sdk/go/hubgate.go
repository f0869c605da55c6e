// Package hubgate is for plugins of Hubgate in Go. A plugin that imports hubgate/handler answers what clients call; one that
// imports hubgate/inbound, hubgate/outbound or both looks at messages on their way. What a plugin may ask of the gateway is in
// the packages hub, state, config, log, http, context and connections, as in the contract.
//
// The calls of one instance come one at a time. Variables may vanish between two of them: what must stay belongs into state.
package hubgate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unsafe"

	"hubgate/internal/abi"
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
// caller is told.
func Parse(arguments Payload, into ...any) error {
	text, is := arguments.(JSON)
	if !is {
		return Fail("the arguments are MessagePack: read their bytes")
	}
	var given []json.RawMessage
	if err := json.Unmarshal([]byte(text), &given); err != nil {
		return Reject("Wrong arguments: " + err.Error())
	}
	if len(given) != len(into) {
		return Reject(fmt.Sprintf("Wrong arguments: %d instead of %d.", len(given), len(into)))
	}
	for at, text := range given {
		if err := json.Unmarshal(text, into[at]); err != nil {
			return Reject(fmt.Sprintf("Wrong argument %d: %v.", at+1, err))
		}
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

var initialized abi.Text

//go:wasmexport hubgate:plugin/lifecycle@0.1.0#init
func exportInit() unsafe.Pointer {
	initialized = abi.Text{}
	if err := initialize(); err != nil {
		initialized = abi.Variant(1, abi.LendString(err.Error()))
	}
	return unsafe.Pointer(&initialized)
}
