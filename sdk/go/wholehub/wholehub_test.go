package wholehub

import (
	"testing"

	"hubgate"
)

func TestStreamsGoToTheirMethods(t *testing.T) {
	Streaming("countdown", func(opening *Opening) error {
		var from int
		return opening.Parse(&from)
	})
	given := &Opening{Method: "countdown", Arguments: hubgate.JSON("[]")}
	if err := begin(given); err == nil || err.Error() != "Wrong arguments: countdown takes 1, got 0." {
		t.Errorf("%v", err)
	}
	if err := begin(&Opening{Method: "unknown"}); err == nil || err.Error() != "There is no method 'unknown' with streams." {
		t.Errorf("%v", err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	full := FullError{Room{Items: 1, Bytes: 20}}
	if full.Error() != "stream: it is full; 1 items and 20 bytes may still be pushed" {
		t.Error(full)
	}
}
