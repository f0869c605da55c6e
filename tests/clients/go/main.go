// What the unmodified SignalR client for Go does against a gateway with the probe as upstream of hub `probe`.
//
//	client SCENARIO URL TRANSPORT PROTOCOL TOKEN
//
// A scenario says `done` at its end.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/philippseith/signalr"
)

const patience = 120 * time.Second

var url, transport, protocol, token string

type receiver struct{ heard chan string }

// Said is called by the hub.
func (r *receiver) Said(text string) { r.heard <- text }

type connection struct {
	signalr.Client
	heard  chan string
	cancel context.CancelFunc
}

func main() {
	scenario := os.Args[1]
	url, transport, protocol, token = os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	scenarios := map[string]func(){
		"connect and disconnect":        connectAndDisconnect,
		"a call with a result":          aCallWithAResult,
		"a call with an error":          aCallWithAnError,
		"receiving from another client": receivingFromAnotherClient,
		"groups":                        groups,
		"a token that is refused":       aTokenThatIsRefused,
	}
	scenarios[scenario]()
	fmt.Println("done")
}

func connectAndDisconnect() {
	connection := started(token)
	check(connection.State() == signalr.ClientConnected, "connected")
	connection.cancel()
}

func aCallWithAResult() {
	connection := started(token)
	defer connection.cancel()
	for _, value := range []any{"text", "", 1.5, true, nil, "ü 👋", strings.Repeat("x", 20_000)} {
		answer := connection.call("echo", value)
		check(answer.Error == nil && reflect.DeepEqual(answer.Value, value), fmt.Sprintf("%.20v came back as %.40v", value, answer))
	}
}

func aCallWithAnError() {
	connection := started(token)
	defer connection.cancel()
	answer := connection.call("fail", "No, not today.")
	check(answer.Error != nil && strings.Contains(answer.Error.Error(), "No, not today."), fmt.Sprint(answer))
	answer = connection.call("no such method")
	check(answer.Error != nil && strings.Contains(answer.Error.Error(), "no such method"), fmt.Sprint(answer))
	check(connection.call("echo", "fine").Value == "fine", "it goes on")
}

func receivingFromAnotherClient() {
	ann, bob := started(token), started(token)
	defer ann.cancel()
	defer bob.cancel()
	bob.send("say", "hello, all")
	check(ann.hears() == "hello, all", "one")
	check(bob.hears() == "hello, all", "the other")
}

func groups() {
	ann, bob := started(token), started(token)
	defer ann.cancel()
	defer bob.cancel()
	ann.call("join", "tea")
	bob.call("sayTo", "tea", "one")
	bob.call("sayTo", "coffee", "two")
	check(ann.hears() == "one", "the group's message")
	ann.call("leave", "tea")
	bob.call("sayTo", "tea", "three")
	bob.call("say", "four")
	check(ann.hears() == "four", "only what is for all")
}

func aTokenThatIsRefused() {
	_, err := open(context.Background(), token+"x")
	check(err != nil && strings.Contains(err.Error(), "401"), fmt.Sprint(err))
}

func open(ctx context.Context, with string) (signalr.Connection, error) {
	headers := func() http.Header { return http.Header{"Authorization": {"Bearer " + with}} }
	transports := map[string]signalr.TransportType{
		"WebSockets":       signalr.TransportWebSockets,
		"ServerSentEvents": signalr.TransportServerSentEvents,
	}
	address := url + "/client/?hub=probe"
	if transport == "ServerSentEvents" {
		// What it posts has none of the headers.
		address += "&access_token=" + with
	}
	return signalr.NewHTTPConnection(ctx, address, signalr.WithHTTPHeaders(headers), signalr.WithTransports(transports[transport]))
}

func started(with string) *connection {
	ctx, cancel := context.WithCancel(context.Background())
	heard := make(chan string, 1000)
	formats := map[string]signalr.TransferFormatType{"json": signalr.TransferFormatText, "messagepack": signalr.TransferFormatBinary}
	connector := func() (signalr.Connection, error) { return open(ctx, with) }
	client, err := signalr.NewClient(ctx, signalr.WithConnector(connector), signalr.WithReceiver(&receiver{heard}),
		signalr.TransferFormat(formats[protocol]), signalr.Logger(silent{}, false))
	check(err == nil, fmt.Sprint(err))
	client.Start()
	waiting, stop := context.WithTimeout(ctx, patience)
	defer stop()
	check(<-client.WaitForState(waiting, signalr.ClientConnected) == nil, "it is connected in time")
	return &connection{client, heard, cancel}
}

type silent struct{}

func (silent) Log(...interface{}) error { return nil }

func (c *connection) call(method string, arguments ...any) signalr.InvokeResult {
	select {
	case answer := <-c.Invoke(method, arguments...):
		return answer
	case <-time.After(patience):
		panic(method + " is not answered")
	}
}

func (c *connection) send(method string, arguments ...any) {
	check(<-c.Send(method, arguments...) == nil, method)
}

func (c *connection) hears() string {
	select {
	case text := <-c.heard:
		return text
	case <-time.After(patience):
		panic("nothing is heard")
	}
}

func check(holds bool, what string) {
	if !holds {
		panic(what)
	}
}
