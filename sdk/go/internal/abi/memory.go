// Package abi is how values pass between Go and the gateway: the canonical ABI of components, for the types of the contract.
// A structure here lies in memory as the contract's record or variant does.
package abi

import (
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Text is a string that the gateway takes: it ends a call that lends it one which is not well-formed. [TextOf] alone makes it.
type Text string

// TextOf puts U+FFFD in the place of what is not well-formed. A text that is well-formed is not copied.
func TextOf(text string) Text {
	if utf8.ValidString(text) {
		return Text(text)
	}
	return Text(strings.ToValidUTF8(text, "\uFFFD"))
}

// List is a string or a list of the contract: an address, and the number of bytes or entries.
type List struct{ At, Length uint32 }

// escaped makes the compiler put what is lent on the heap: a stack may move while the gateway allocates.
var escaped unsafe.Pointer

func at(pointer unsafe.Pointer) uint32 {
	escaped = pointer
	return uint32(uintptr(pointer))
}

func pointer(at uint32) unsafe.Pointer { return unsafe.Pointer(uintptr(at)) }

// LendString lends a string to the gateway until the import or the export returns.
func LendString(given string) List {
	text := string(TextOf(given))
	return List{at(unsafe.Pointer(unsafe.StringData(text))), uint32(len(text))}
}

// Lend lends a list whose entries lie in memory as the contract's do.
func Lend[T any](entries []T) List {
	return List{at(unsafe.Pointer(unsafe.SliceData(entries))), uint32(len(entries))}
}

// TakeString is the string that the gateway has written. Nothing is copied.
func TakeString(list List) string {
	if list.Length == 0 {
		return ""
	}
	return unsafe.String((*byte)(pointer(list.At)), list.Length)
}

// Take is the list that the gateway has written. Nothing is copied.
func Take[T any](list List) []T {
	if list.Length == 0 {
		return []T{}
	}
	return unsafe.Slice((*T)(pointer(list.At)), list.Length)
}

// Case is the byte that tells which case of a variant, option or result there is, and its padding to four bytes.
type Case struct {
	Tag uint8
	_   [3]uint8
}

// Choice is a variant whose cases have a string or a list, or nothing.
type Choice struct {
	Case
	Value List
}

// Option is an option of a string or a list: case 1 if it is there.
func Option(there bool, value List) Choice {
	if !there {
		return Choice{}
	}
	return Choice{Case{Tag: 1}, value}
}

// Variant is a case with a string or a list.
func Variant(tag uint8, value List) Choice { return Choice{Case{Tag: tag}, value} }

// Pair is the contract's `pair`.
type Pair struct{ Name, Value List }

// TimeToLive is the contract's option of milliseconds, flat. Only what is not given is for ever: zero or less is over at once.
func TimeToLive(given []time.Duration) (isThere uint32, milliseconds uint64) {
	if len(given) == 0 {
		return 0, 0
	}
	return 1, uint64(Whole(given[0], time.Millisecond))
}

// Whole is how many units a time has, rounded up: what has some time has one. Less than zero is none.
func Whole(given, unit time.Duration) time.Duration {
	whole := max(given, 0) / unit
	if given > whole*unit {
		whole++
	}
	return whole
}
