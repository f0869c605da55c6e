// The handler of the conformance suite: see README.md above.
package main

import (
	"encoding/json"
	"math/rand/v2"
	"time"
	"unicode/utf8"

	"hubgate"
	"hubgate/config"
	"hubgate/connections"
	"hubgate/context"
	"hubgate/handler"
	"hubgate/http"
	"hubgate/hub"
	"hubgate/log"
	"hubgate/state"
)

func main() {}

func init() {
	handler.Connected(func(client hubgate.Client) error {
		if client.UserID == "refuse-me" {
			return hubgate.Reject("You are not welcome.")
		}
		return nil
	})
	handler.Disconnected(func(hubgate.Client, string) error {
		_, err := state.Increment("gone", 1)
		return err
	})
	handler.Method("echo", func(call *handler.Call) (any, error) {
		var x json.RawMessage
		err := call.Parse(&x)
		return x, err
	})
	handler.Method("add", func(call *handler.Call) (any, error) {
		var a, b int64
		if err := call.Parse(&a, &b); err != nil {
			return nil, err
		}
		return a + b, nil
	})
	handler.Method("raw", func(call *handler.Call) (any, error) { return call.Arguments, nil })
	handler.Method("chance", func(*handler.Call) (any, error) { return rand.Uint64(), nil })
	handler.Method("clock", func(*handler.Call) (any, error) { return time.Now().UnixMilli(), nil })
	handler.Method("spin", func(*handler.Call) (any, error) {
		for {
		}
	})
	handler.Method("grow", func(*handler.Call) (any, error) {
		var eaten [][]byte
		for {
			eaten = append(eaten, make([]byte, 1<<20))
		}
	})
	handler.Method("context", func(*handler.Call) (any, error) {
		random := []int{}
		for _, each := range context.Random(8) {
			random = append(random, int(each))
		}
		return map[string]any{
			"now": context.Now().UnixMilli(), "eventId": context.EventID(), "timeLeft": context.TimeLeft().Milliseconds(), "random": random,
		}, nil
	})
	handler.Method("whoami", whoami)
	handler.Method("leaveAll", func(call *handler.Call) (any, error) {
		return nil, hub.LeaveAll(hub.Connection(call.Client.ID))
	})
	handler.Method("set", set)
	handler.Method("swap", swap)
	initOfTexts()
}

// With one, two texts as arguments.
func one(name string, function func(call *handler.Call, text string) (any, error)) {
	handler.Method(name, func(call *handler.Call) (any, error) {
		var text string
		if err := call.Parse(&text); err != nil {
			return nil, err
		}
		return function(call, text)
	})
}

func two(name string, function func(call *handler.Call, one, other string) error) {
	handler.Method(name, func(call *handler.Call) (any, error) {
		var one, other string
		if err := call.Parse(&one, &other); err != nil {
			return nil, err
		}
		return nil, function(call, one, other)
	})
}

func initOfTexts() {
	one("length", func(_ *handler.Call, text string) (any, error) { return utf8.RuneCountInString(text), nil })
	one("fail", func(_ *handler.Call, text string) (any, error) { return nil, hubgate.Reject(text) })
	one("failed", func(_ *handler.Call, text string) (any, error) { return nil, hubgate.Fail(text) })
	one("crash", func(_ *handler.Call, text string) (any, error) { panic(text) })
	one("say", func(_ *handler.Call, text string) (any, error) { return nil, hub.SendAll("said", text) })
	two("sayTo", func(_ *handler.Call, group, text string) error { return hub.SendGroup(group, "said", text) })
	two("tell", func(_ *handler.Call, user, text string) error { return hub.SendUser(user, "said", text) })
	two("sayToConnection", func(_ *handler.Call, id, text string) error { return hub.SendConnection(id, "said", text) })
	one("sayToOthers", func(call *handler.Call, text string) (any, error) {
		return nil, hub.Send(hub.All(), "said", []any{text}, []string{call.Client.ID})
	})
	one("sayAndFail", func(_ *handler.Call, text string) (any, error) {
		_ = hub.SendAll("said", text)
		return nil, hubgate.Reject(text)
	})
	one("sayAndCrash", func(_ *handler.Call, text string) (any, error) {
		_ = hub.SendAll("said", text)
		panic(text)
	})
	one("sayFlushAndFail", func(_ *handler.Call, text string) (any, error) {
		_ = hub.SendAll("said", text)
		hub.Flush()
		_ = hub.SendAll("said", "late")
		return nil, hubgate.Reject(text)
	})
	one("join", func(call *handler.Call, group string) (any, error) { return nil, hub.Join(call.Client.ID, group) })
	one("leave", func(call *handler.Call, group string) (any, error) { return nil, hub.Leave(call.Client.ID, group) })
	two("joinUser", func(_ *handler.Call, user, group string) error { return hub.JoinUser(user, group) })
	one("exists", func(_ *handler.Call, group string) (any, error) { return hub.Exists(hub.Group(group)) })
	one("quit", func(call *handler.Call, reason string) (any, error) {
		return nil, hub.Close(call.Client.ID, reason, false)
	})
	one("count", func(_ *handler.Call, key string) (any, error) { return state.Increment(key, 1) })
	one("get", func(_ *handler.Call, key string) (any, error) {
		value, is, err := state.GetBytes(key)
		return orNull(string(value), is), err
	})
	one("delete", func(_ *handler.Call, key string) (any, error) { return nil, state.Delete(key) })
	one("keys", func(_ *handler.Call, prefix string) (any, error) { return state.Keys(prefix, "", 1000) })
	one("setting", func(_ *handler.Call, key string) (any, error) { return orNull(config.Get(key)), nil })
	one("note", func(call *handler.Call, text string) (any, error) {
		log.Info(text, "by", call.Client.ID)
		return nil, nil
	})
	one("fetch", func(_ *handler.Call, url string) (any, error) {
		response, err := http.Send(http.Request{Method: "GET", URL: url})
		return map[string]any{"status": response.Status, "body": string(response.Body)}, err
	})
}

func set(call *handler.Call) (any, error) {
	var key, value string
	var milliseconds *int64
	if err := call.Parse(&key, &value, &milliseconds); err != nil {
		return nil, err
	}
	if milliseconds == nil {
		return nil, state.SetBytes(key, []byte(value))
	}
	return nil, state.SetBytes(key, []byte(value), time.Duration(*milliseconds)*time.Millisecond)
}

func swap(call *handler.Call) (any, error) {
	var key string
	var expected, value *string
	if err := call.Parse(&key, &expected, &value); err != nil {
		return nil, err
	}
	bytes := func(text *string) []byte {
		if text == nil {
			return nil
		}
		return []byte(*text)
	}
	return state.CompareAndSet(key, bytes(expected), bytes(value))
}

func whoami(call *handler.Call) (any, error) {
	claims := [][2]string{}
	pairs, _ := connections.Claims(call.Client.ID)
	for _, claim := range pairs {
		claims = append(claims, [2]string{claim.Name, claim.Value})
	}
	return map[string]any{
		"connectionId": call.Client.ID,
		"userId":       orNull(call.Client.UserID, call.Client.UserID != ""),
		"hub":          call.Client.Hub,
		"claims":       claims,
		"query":        orNull(connections.Query(call.Client.ID)),
		"protocol":     orNull(connections.Protocol(call.Client.ID)),
		"address":      orNull(connections.RemoteAddress(call.Client.ID)),
	}, nil
}

func orNull(text string, is bool) any {
	if !is {
		return hubgate.JSON("null")
	}
	return text
}
