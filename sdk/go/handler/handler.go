// Package handler is for the serverless hub behind clients. Say in an init function what answers what:
//
//	func init() {
//		handler.Method("hello", func(call *handler.Call) (any, error) {
//			var name string
//			if err := call.Parse(&name); err != nil {
//				return nil, err
//			}
//			return "Hello, " + name + "!", nil
//		})
//	}
package handler

import (
	"fmt"
	"unsafe"

	"hubgate"
	"hubgate/internal/abi"
	"hubgate/internal/values"
)

// Call is a method that a client calls.
type Call struct {
	Client    hubgate.Client
	Method    string
	Arguments hubgate.Payload
	// WantsResult is false if the client only sends.
	WantsResult bool
}

// Parse reads the arguments into what is pointed to, one for each. A wrong number or type is an error that the caller is told.
func (call *Call) Parse(into ...any) error {
	return hubgate.ParseOf(call.Method, call.Arguments, into...)
}

var (
	otherwise = func(call *Call) (any, error) {
		return nil, hubgate.Reject(fmt.Sprintf("There is no method '%s'.", call.Method))
	}
	methods      = map[string]func(call *Call) (any, error){}
	connected    = func(hubgate.Client) error { return nil }
	disconnected = func(hubgate.Client, string) error { return nil }
)

// Method says what answers the calls of a method: with a [hubgate.Payload] or a value that becomes JSON, with nil for nothing,
// or with an error.
func Method(name string, function func(call *Call) (any, error)) { methods[name] = function }

// Otherwise says what answers the methods that nothing else does. Without it they are rejected with their name.
func Otherwise(function func(call *Call) (any, error)) { otherwise = function }

// Connected says what decides whether a client may come. [hubgate.Reject] refuses it with that text.
func Connected(function func(client hubgate.Client) error) { connected = function }

// Disconnected says what is told that a client is gone. The reason is empty if it left by itself.
func Disconnected(function func(client hubgate.Client, reason string) error) { disconnected = function }

func invoke(call *Call) (hubgate.Payload, error) {
	method, is := methods[call.Method]
	if !is {
		method = otherwise
	}
	value, err := method(call)
	if err != nil || value == nil {
		return nil, err
	}
	return hubgate.PayloadOf(value)
}

var (
	// What the gateway reads after an export has returned.
	done struct {
		abi.Case
		err abi.Choice
	}
	answer struct {
		abi.Case
		// An option of a payload, or an error.
		option  abi.Case
		payload abi.Choice
	}
)

func ended(err error) unsafe.Pointer {
	abi.Collect()
	done.Tag, done.err = 0, abi.Choice{}
	if err != nil {
		done.Tag, done.err = 1, values.Error(err)
	}
	return unsafe.Pointer(&done)
}

//go:wasmexport hubgate:plugin/upstream@0.1.0#connected
func exportConnected(hub, hubLength, id, idLength, hasUser, user, userLength uint32) unsafe.Pointer {
	return ended(connected(client(hub, hubLength, id, idLength, hasUser, user, userLength)))
}

//go:wasmexport hubgate:plugin/upstream@0.1.0#disconnected
func exportDisconnected(hub, hubLength, id, idLength, hasUser, user, userLength, hasReason, reason, reasonLength uint32) unsafe.Pointer {
	text := ""
	if hasReason == 1 {
		text = abi.TakeString(abi.List{At: reason, Length: reasonLength})
	}
	return ended(disconnected(client(hub, hubLength, id, idLength, hasUser, user, userLength), text))
}

//go:wasmexport hubgate:plugin/upstream@0.1.0#invoke
func exportInvoke(hub, hubLength, id, idLength, hasUser, user, userLength, method, methodLength, kind, arguments, argumentsLength, wantsResult uint32) unsafe.Pointer {
	payload, err := invoke(&Call{
		Client:      client(hub, hubLength, id, idLength, hasUser, user, userLength),
		Method:      abi.TakeString(abi.List{At: method, Length: methodLength}),
		Arguments:   values.TakePayload(uint8(kind), abi.List{At: arguments, Length: argumentsLength}),
		WantsResult: wantsResult == 1,
	})
	abi.Collect()
	answer.Tag, answer.option.Tag = 0, 0
	switch {
	case err != nil:
		answer.Tag = 1
		*(*abi.Choice)(unsafe.Pointer(&answer.option)) = values.Error(err)
	case payload != nil:
		answer.option.Tag, answer.payload = 1, values.LendPayload(payload)
	}
	return unsafe.Pointer(&answer)
}

func client(hub, hubLength, id, idLength, hasUser, user, userLength uint32) hubgate.Client {
	return values.TakeConnection(hub, hubLength, id, idLength, hasUser, user, userLength)
}
