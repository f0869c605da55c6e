package log

import (
	"slices"
	"testing"

	"hubgate"
)

func TestANameWithoutAValueSaysThatItIsMissing(t *testing.T) {
	expected := []hubgate.Pair{{Name: "a", Value: "1"}, {Name: "b", Value: "(missing)"}}
	if pairs := pairs([]any{"a", 1, "b"}); !slices.Equal(pairs, expected) {
		t.Errorf("%v", pairs)
	}
}
