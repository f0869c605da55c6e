package main

import (
	"reflect"
	"testing"
)

func TestWhoeverComesIsGreetedByName(t *testing.T) {
	if said := greeting("Zoë"); said != "Hello, Zoë!" {
		t.Errorf("said %q", said)
	}
}

func TestACountdownEndsWithOne(t *testing.T) {
	if numbers := numbersDownFrom(3); !reflect.DeepEqual(numbers, []any{3, 2, 1}) {
		t.Errorf("counted %v", numbers)
	}
}
