package main

import "testing"

func TestTheWordIsHidden(t *testing.T) {
	for text, expected := range map[string]string{`["a secret, secrets"]`: `["a ******, ******s"]`, "secre": "secre", "": ""} {
		if hidden := hide(text); hidden != expected {
			t.Errorf("%q became %q", text, hidden)
		}
	}
}
