package abi

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"unsafe"
)

// A collection reads clocks, and no import may be called while the gateway allocates (bytecodealliance/wasmtime#14318). So none
// starts by itself: [Collect] is called where imports may be.
func init() { debug.SetGCPercent(-1) }

const (
	// Bytes of objects that are never worth a collection.
	least = 1 << 20
	// Calls, and bytes of the gateway, after which it looks how much there is.
	callsBetween = 16
	bytesBetween = 256 << 10
)

var (
	calls, received uint32
	due             uint64 = least
	objects                = []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
)

// Collect collects garbage if there is as much of it as of what is in use.
func Collect() {
	calls++
	if calls < callsBetween && received < bytesBetween {
		return
	}
	calls, received = 0, 0
	if inUse() < due {
		return
	}
	runtime.GC()
	due = max(least, 2*inUse())
}

func inUse() uint64 {
	metrics.Read(objects)
	return objects[0].Value.Uint64()
}

// The gateway's room for what it passes. No collection runs before it has been taken.
//
//go:wasmexport cabi_realloc
func allocate(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	if size == 0 {
		return pointer(align)
	}
	received += size
	// Aligned for every type.
	room := make([]uint64, (uint64(size)+7)/8)
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&room[0])), size), unsafe.Slice((*byte)(old), oldSize))
	}
	return unsafe.Pointer(&room[0])
}

// The adapter to WASI takes a page for its stack and one for what it knows, before Go is ready to give any.
var (
	adapter [3 << 16]byte
	taken   uintptr
)

//go:wasmexport cabi_realloc_adapter
//go:nosplit
func allocateForAdapter(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	start := uintptr(unsafe.Pointer(&adapter))
	first := (start + taken + uintptr(align) - 1) &^ (uintptr(align) - 1)
	taken = first + uintptr(size) - start
	if taken > unsafe.Sizeof(adapter) {
		panic("the adapter to WASI takes more room than there is")
	}
	return unsafe.Pointer(first)
}
