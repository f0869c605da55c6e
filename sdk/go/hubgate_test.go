package hubgate

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
)

func TestArgumentsAreReadAsTheyWereWritten(t *testing.T) {
	var text string
	var number int64
	var any json.RawMessage
	if err := Parse(JSON(`["ä😀", 9223372036854775807, {"b": 1e3}]`), &text, &number, &any); err != nil {
		t.Fatal(err)
	}
	if text != "ä😀" || number != math.MaxInt64 || string(any) != `{"b": 1e3}` {
		t.Errorf("read %q, %d, %s", text, number, any)
	}
}

func TestWrongArgumentsAreToldToTheCaller(t *testing.T) {
	for arguments, expected := range map[string]string{
		`[]`:       "Wrong arguments: 0 instead of 1.",
		`["a", 1]`: "Wrong arguments: 2 instead of 1.",
		`[1]`:      "Wrong argument 1: json: cannot unmarshal number into Go value of type string.",
	} {
		var text string
		var rejection Rejection
		if err := Parse(JSON(arguments), &text); !errors.As(err, &rejection) || err.Error() != expected {
			t.Errorf("%s: %v", arguments, err)
		}
	}
	var rejection Rejection
	if err := Parse(MessagePack{0x90}); err == nil || errors.As(err, &rejection) {
		t.Errorf("MessagePack: %v", err)
	}
}

func TestValuesBecomeJSONAndPayloadsStayAsTheyAre(t *testing.T) {
	for expected, value := range map[string]any{
		`"<&>"`:          "<&>",
		`[{"a":1},"b"]`:  []any{JSON(`{"a":1}`), "b"},
		`{"as":"it is"}`: JSON(`{"as":"it is"}`),
	} {
		if payload, err := PayloadOf(value); err != nil || payload != JSON(expected) {
			t.Errorf("%v, %v instead of %s", payload, err, expected)
		}
	}
	if payload, err := PayloadOf(MessagePack{0xc0}); err != nil || string(payload.(MessagePack)) != "\xc0" {
		t.Errorf("%v, %v", payload, err)
	}
	if _, err := PayloadOf(math.Inf(1)); err == nil {
		t.Error("an infinity is no JSON")
	}
}
