// The handler: what clients call, answered.
package main

import (
	"hubgate"
	"hubgate/handler"
	"hubgate/state"
)

func init() {
	handler.Connected(connected)
	handler.Method("hello", hello)
	handler.Method("count", count)
}

// connected may refuse the client: return hubgate.Reject("…").
func connected(client hubgate.Client) error { return nil }

// hello(name) -> a greeting
func hello(call *handler.Call) (any, error) {
	var name string
	if err := call.Parse(&name); err != nil {
		return nil, err
	}
	return greeting(name), nil
}

// count() -> how often it was called. The gateway keeps the number.
func count(call *handler.Call) (any, error) { return state.Increment("count", 1) }

// A component has a main that does not run.
func main() {}
