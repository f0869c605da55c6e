// Package wholehub is for a hub that has streams, asks clients, acts later, knows who is there and decides who may come, beside what
// package handler has. Say in an init function what is called for what; all that is not said has a default.
//
//	func init() {
//		wholehub.Streaming("countdown", func(opening *wholehub.Opening) error {
//			var from int
//			if err := opening.Parse(&from); err != nil {
//				return err
//			}
//			for ; from > 0; from-- {
//				if _, err := opening.Stream.Push(from); err != nil {
//					return err
//				}
//			}
//			return opening.Stream.Finish()
//		})
//	}
package wholehub

import (
	"fmt"

	"hubgate"
	// A whole hub exports these, too.
	_ "hubgate/authorizer"
	"hubgate/handler"
	"hubgate/presence"
)

// Answer is what a client waits for.
type Answer uint8

const (
	Items Answer = iota
	Value
	Nothing
)

// Opening is what a client opens with a call.
type Opening struct {
	Client    hubgate.Client
	Method    string
	Arguments hubgate.Payload
	// Stream is to push items to, or to answer the call by, now or in a later call.
	Stream Stream
	// Uploads are the ids of the streams that the client sends with the call, in the order of the method's parameters.
	Uploads []string
	Answer  Answer
}

// Parse reads the arguments into what is pointed to, one for each. A wrong number or type is an error that the caller is told.
func (opening *Opening) Parse(into ...any) error {
	return hubgate.ParseOf(opening.Method, opening.Arguments, into...)
}

var (
	streaming = map[string]func(opening *Opening) error{}
	writable  = func(hubgate.Client, Stream, Room) {}
	cancelled = func(hubgate.Client, Stream) {}
	item      = func(hubgate.Client, string, hubgate.Payload) error { return nil }
	ended     = func(hubgate.Client, string, string) error { return nil }
	fired     = func(string, string, []byte) error { return nil }
	changed   = func(string, string, []presence.Member, []presence.Member) error { return nil }
	started   = func(string) error { return nil }
)

// Streaming says what opens the streams of a method, and takes its calls with uploads. It pushes items and finishes, now or in a later
// call; an error ends the stream.
func Streaming(name string, function func(opening *Opening) error) {
	streaming[name] = function
	handler.Method(name, func(*handler.Call) (any, error) {
		// In the words of ASP.NET Core.
		return nil, hubgate.Reject(fmt.Sprintf("The client attempted to invoke the streaming '%s' method with a non-streaming invocation.", name))
	})
}

// Writable says what is told that there is room again in a stream that was full.
func Writable(function func(client hubgate.Client, stream Stream, room Room)) { writable = function }

// Cancelled says what is told that a client wants no more of a stream, or has left.
func Cancelled(function func(client hubgate.Client, stream Stream)) { cancelled = function }

// Item says what gets the items of clients' streams. An error ends the call that came with it.
func Item(function func(client hubgate.Client, upload string, item hubgate.Payload) error) {
	item = function
}

// Ended says what is told that a client's stream is complete, or has failed with the client's error, which is empty otherwise.
func Ended(function func(client hubgate.Client, upload, failure string) error) { ended = function }

// Fired says what is called when a timer is due: at least once each time. The payload is JSON, or empty.
func Fired(function func(hub, timer string, payload []byte) error) { fired = function }

// PresenceChanged says what is told who has joined and left a watched group: at most 1,000 members in a call.
func PresenceChanged(function func(hub, group string, joined, left []presence.Member) error) {
	changed = function
}

// Started says what is called when this version begins to serve a hub that the configuration names.
func Started(function func(hub string) error) { started = function }

func begin(opening *Opening) error {
	method, is := streaming[opening.Method]
	if !is {
		return hubgate.Reject(fmt.Sprintf("There is no method '%s' with streams.", opening.Method))
	}
	return method(opening)
}
