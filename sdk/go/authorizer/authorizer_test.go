package authorizer

import (
	"errors"
	"testing"

	"hubgate"
)

func TestARequestIsReadByNames(t *testing.T) {
	request := &Request{
		Headers:    []hubgate.Pair{{Name: "X-User", Value: "ann"}, {Name: "cookie", Value: "a=b; c; d = e=f "}, {Name: "Authorization", Value: "bearer t"}},
		QueryItems: []hubgate.Pair{{Name: "room", Value: "1"}, {Name: "room", Value: "2"}},
	}
	found := []string{request.Header("x-user"), request.Cookie("d"), request.Query("room"), request.BearerToken(), request.Cookie("c"), request.Query("Room")}
	for at, expected := range []string{"ann", "e=f", "1", "t", "", ""} {
		if found[at] != expected {
			t.Errorf("%d: %q instead of %q", at, found[at], expected)
		}
	}
}

func TestErrorsAreRefusalsOfTheirKind(t *testing.T) {
	for expected, err := range map[uint8]error{0: Unauthorized("no"), 1: Forbidden("no"), 2: errors.New("no")} {
		if tag, text := refusalOf(err); tag != expected || text != "no" {
			t.Errorf("%v: %d, %q", err, tag, text)
		}
	}
	if tag, _ := refusalOf(hubgate.Reject("no")); tag != 1 {
		t.Errorf("a rejection is %d", tag)
	}
	if _, err := authorize(&Request{Hub: "chat"}); err == nil || err.Error() != "this plugin has no authorizer for the hub 'chat'" {
		t.Errorf("%v", err)
	}
}
