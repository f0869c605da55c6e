// The hub: what clients call and stream, and what it does by itself.
package main

import (
	"encoding/json"
	"time"

	"hubgate"
	"hubgate/handler"
	"hubgate/hub"
	"hubgate/state"
	"hubgate/timers"
	"hubgate/wholehub"
)

func init() {
	handler.Method("hello", hello)
	handler.Method("count", count)
	handler.Method("remind", remind)
	wholehub.Streaming("countdown", countdown)
	wholehub.Fired(fired)
}

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

type reminder struct{ To, Text string }

// remind(ms, text): the caller hears `reminded` with the text, so many milliseconds later.
func remind(call *handler.Call) (any, error) {
	var ms int64
	soon := reminder{To: call.Client.ID}
	if err := call.Parse(&ms, &soon.Text); err != nil {
		return nil, err
	}
	return nil, timers.After("remind/"+soon.To, time.Duration(ms)*time.Millisecond, soon)
}

func fired(hubName, timer string, payload []byte) error {
	var due reminder
	if err := json.Unmarshal(payload, &due); err != nil {
		return err
	}
	return hub.SendConnection(due.To, "reminded", due.Text)
}

// countdown(from) streams numbers down to 1.
func countdown(opening *wholehub.Opening) error {
	var from int
	if err := opening.Parse(&from); err != nil {
		return err
	}
	if from > 100 {
		return hubgate.Reject("countdown needs a number up to 100")
	}
	if _, err := opening.Stream.Push(numbersDownFrom(from)...); err != nil {
		return err
	}
	return opening.Stream.Finish()
}

// A component has a main that does not run.
func main() {}
