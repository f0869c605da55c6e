// Package outbound is the half of a filter that looks at what is sent to clients, once for all who get it.
package outbound

import (
	"unsafe"

	"hubgate/filter"
)

var inspect = func(filter.Delivery, filter.Message) filter.Verdict { return filter.Pass() }

// Inspect says what looks at each delivery.
func Inspect(function func(delivery filter.Delivery, message filter.Message) filter.Verdict) {
	inspect = function
}

type arguments struct {
	delivery filter.LentDelivery
	message  filter.LentMessage
}

//go:wasmexport hubgate:plugin/outbound-filter@0.1.0#inspect
func exportInspect(given unsafe.Pointer) unsafe.Pointer {
	arguments := (*arguments)(given)
	return inspect(arguments.delivery.Take(), arguments.message.Take()).Lend()
}
