// Package inbound is the half of a filter that looks at what clients say.
package inbound

import (
	"unsafe"

	"hubgate"
	"hubgate/filter"
	"hubgate/internal/values"
)

var inspect = func(hubgate.Client, filter.Message) filter.Verdict { return filter.Pass() }

// Inspect says what looks at each message of a client.
func Inspect(function func(client hubgate.Client, message filter.Message) filter.Verdict) {
	inspect = function
}

type arguments struct {
	client  values.Connection
	message filter.LentMessage
}

//go:wasmexport hubgate:plugin/inbound-filter@0.1.0#inspect
func exportInspect(given unsafe.Pointer) unsafe.Pointer {
	arguments := (*arguments)(given)
	return inspect(arguments.client.Take(), arguments.message.Take()).Lend()
}
