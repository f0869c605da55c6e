package abi

import (
	"math"
	"testing"
	"time"
)

func TestTextsThatLeaveAreWellFormed(t *testing.T) {
	for given, expected := range map[string]Text{
		"":           "",
		"ä😀":         "ä😀",
		"\xff":       "\uFFFD",
		"caf\xc3":    "caf\uFFFD",
		"a\xed\xa0b": "a\uFFFDb",
	} {
		if text := TextOf(given); text != expected {
			t.Errorf("%q became %q instead of %q", given, text, expected)
		}
		if lent := LendString(given); int(lent.Length) != len(expected) {
			t.Errorf("%q is lent with %d bytes instead of %d", given, lent.Length, len(expected))
		}
	}
}

func TestOnlyATimeThatIsNotGivenIsForEver(t *testing.T) {
	if isThere, _ := TimeToLive(nil); isThere != 0 {
		t.Error("a time that is not given is there")
	}
	for given, expected := range map[time.Duration]uint64{
		-5 * time.Second: 0, 0: 0, time.Microsecond: 1, time.Millisecond: 1, 90 * time.Second: 90_000, math.MaxInt64: 9_223_372_036_855,
	} {
		if isThere, milliseconds := TimeToLive([]time.Duration{given}); isThere != 1 || milliseconds != expected {
			t.Errorf("%v became %d, %d", given, isThere, milliseconds)
		}
	}
}
