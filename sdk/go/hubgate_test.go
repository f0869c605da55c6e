package hubgate

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"
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

func TestWrongArgumentsAreToldToTheCallerInItsOwnWords(t *testing.T) {
	var text string
	var number int8
	var ratio float64
	var is bool
	var texts []string
	var record struct{ A int }
	var moment time.Time
	for _, each := range []struct {
		arguments string
		into      any
		expected  string
	}{
		{`[]`, &text, "Wrong arguments: greet takes 1, got 0."},
		{`["a", 1]`, &text, "Wrong arguments: greet takes 1, got 2."},
		{`[1]`, &text, "Wrong arguments: argument 1 must be a string, not an integer."},
		{`[null]`, &text, "Wrong arguments: argument 1 must be a string, not null."},
		{`["1"]`, &number, "Wrong arguments: argument 1 must be an integer, not a string."},
		{`[1.5]`, &number, "Wrong arguments: argument 1 must be an integer, not a number."},
		{`[null]`, &number, "Wrong arguments: argument 1 must be an integer, not null."},
		{`[300]`, &number, "Wrong arguments: argument 1 is out of range."},
		{`[[]]`, &ratio, "Wrong arguments: argument 1 must be a number, not a list."},
		{`[{}]`, &is, "Wrong arguments: argument 1 must be true or false, not an object."},
		{`[true]`, &texts, "Wrong arguments: argument 1 must be a list, not true or false."},
		{`[null]`, &texts, "Wrong arguments: argument 1 must be a list, not null."},
		{`["a"]`, &record, "Wrong arguments: argument 1 must be an object, not a string."},
		{`[["a", 1]]`, &texts, "Wrong arguments: something in argument 1 must be a string, not an integer."},
		{`[{"A": 1.5}]`, &record, "Wrong arguments: something in argument 1 must be an integer, not a number."},
		{`["soon"]`, &moment, "Wrong arguments: argument 1 cannot be read."},
		{`{}`, &text, "Wrong arguments: they are not a list."},
	} {
		var rejection Rejection
		if err := ParseOf("greet", JSON(each.arguments), each.into); !errors.As(err, &rejection) || err.Error() != each.expected {
			t.Errorf("%s: %v instead of %s", each.arguments, err, each.expected)
		}
	}
	var rejection Rejection
	if err := Parse(MessagePack{0x90}); err == nil || errors.As(err, &rejection) {
		t.Errorf("MessagePack: %v", err)
	}
}

func TestNullIsForWhatCanBeNull(t *testing.T) {
	text := new(string)
	var anything any = 1
	var raw json.RawMessage
	var value JSON
	if err := Parse(JSON(`[null, null, null, null]`), &text, &anything, &raw, &value); err != nil {
		t.Fatal(err)
	}
	if text != nil || anything != nil || string(raw) != "null" || value != "null" {
		t.Errorf("read %v, %v, %s, %s", text, anything, raw, value)
	}
}

func TestNumbersKeepTheirDigitsInAnyType(t *testing.T) {
	var anything any
	if err := Parse(JSON(`[[9007199254740993, 1.50]]`), &anything); err != nil {
		t.Fatal(err)
	}
	if payload, err := PayloadOf(anything); err != nil || payload != JSON("[9007199254740993,1.50]") {
		t.Errorf("%v, %v", payload, err)
	}
}

func TestMessagePackCannotStandAmongValues(t *testing.T) {
	if payload, err := PayloadOf([]any{MessagePack{0xc0}}); err == nil {
		t.Errorf("it became %s", payload)
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
