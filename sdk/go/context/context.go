// Package context tells about the event that is being handled.
package context

import (
	"time"
	"unsafe"

	"hubgate"
	"hubgate/internal/abi"
	"hubgate/internal/values"
)

// Now is the same during one call, and when the call is replayed. It counts milliseconds.
func Now() time.Time {
	abi.Collect()
	return time.UnixMilli(int64(abi.ContextNow()))
}

// Random gives so many random bytes.
func Random(length uint32) []byte {
	abi.Collect()
	var bytes abi.List
	abi.ContextRandom(length, unsafe.Pointer(&bytes))
	return abi.Take[byte](bytes)
}

// EventID is unique for each event, and the same when it is replayed.
func EventID() string {
	abi.Collect()
	var id abi.List
	abi.ContextEventID(unsafe.Pointer(&id))
	return abi.TakeString(id)
}

// MessageHeaders are those of the hub message.
func MessageHeaders() []hubgate.Pair {
	abi.Collect()
	var headers abi.List
	abi.ContextMessageHeaders(unsafe.Pointer(&headers))
	return values.TakePairs(headers)
}

// TimeLeft is how long the gateway still waits for this call.
func TimeLeft() time.Duration {
	abi.Collect()
	return time.Duration(abi.ContextTimeLeft()) * time.Millisecond
}
