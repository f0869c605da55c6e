package handler

import (
	"testing"

	"hubgate"
)

func TestMethodsThatNothingElseAnswersGoToOtherwise(t *testing.T) {
	Method("known", func(call *Call) (any, error) {
		var text string
		return nil, call.Parse(&text)
	})
	given := &Call{Method: "known", Arguments: hubgate.JSON("[]")}
	if _, err := invoke(given); err == nil || err.Error() != "Wrong arguments: known takes 1, got 0." {
		t.Errorf("%v", err)
	}
	if _, err := invoke(&Call{Method: "unknown"}); err == nil || err.Error() != "There is no method 'unknown'." {
		t.Errorf("%v", err)
	}
	Otherwise(func(call *Call) (any, error) { return "otherwise: " + call.Method, nil })
	if answer, err := invoke(&Call{Method: "unknown"}); err != nil || answer != hubgate.JSON(`"otherwise: unknown"`) {
		t.Errorf("%v, %v", answer, err)
	}
}
