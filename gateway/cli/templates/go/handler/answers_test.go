package main

import "testing"

func TestWhoeverComesIsGreetedByName(t *testing.T) {
	if said := greeting("Zoë"); said != "Hello, Zoë!" {
		t.Errorf("said %q", said)
	}
}
