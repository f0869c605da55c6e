// Package state has small values that the gateway keeps for the plugin, over swaps and restarts. Writes take effect at once. A
// time to live may follow as the last argument. Without one a value stays for ever; with one of zero or less it ends at once.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"hubgate/internal/abi"
	"hubgate/internal/arguments"
)

var (
	// ErrTooLarge is that of a key or a value.
	ErrTooLarge = errors.New("state: too large")
	// ErrQuota says that the plugin's values together would be too large.
	ErrQuota = errors.New("state: the quota is used up")
	// ErrUnavailable says that nothing can be read or written now; its text says why.
	ErrUnavailable = errors.New("state: unavailable")
)

// Get reads a value that was written by [Set] into what is pointed to; says whether there is one.
func Get(key string, into any) (bool, error) {
	value, is, err := GetBytes(key)
	if err != nil || !is {
		return false, err
	}
	if err := arguments.Decode(value, into); err != nil {
		return false, fmt.Errorf("state: the value of %q: %w", key, err)
	}
	return true, nil
}

// Set keeps a value as JSON.
func Set(key string, value any, timeToLive ...time.Duration) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("state: the value of %q: %w", key, err)
	}
	return SetBytes(key, text, timeToLive...)
}

// GetBytes gives a value, and whether there is one.
func GetBytes(key string) ([]byte, bool, error) {
	abi.Collect()
	var result struct {
		abi.Case
		// An option of a value, or an error.
		abi.Choice
	}
	abi.StateGet(abi.TextOf(key), unsafe.Pointer(&result))
	if result.Case.Tag == 1 {
		return nil, false, failure(result.Choice)
	}
	if result.Choice.Tag == 0 {
		return nil, false, nil
	}
	return abi.Take[byte](result.Choice.Value), true, nil
}

// SetBytes keeps a value.
func SetBytes(key string, value []byte, timeToLive ...time.Duration) error {
	abi.Collect()
	lent := abi.Lend(value)
	hasTime, milliseconds := abi.TimeToLive(timeToLive)
	var result outcome
	abi.StateSet(abi.TextOf(key), lent.At, lent.Length, hasTime, milliseconds, unsafe.Pointer(&result))
	return result.err()
}

// CompareAndSet sets a value, or deletes it if it is nil, only if the present one is as expected, or not there if that is nil;
// says whether it did.
func CompareAndSet(key string, expected, value []byte, timeToLive ...time.Duration) (bool, error) {
	abi.Collect()
	hasExpected, before := option(expected)
	hasValue, after := option(value)
	hasTime, milliseconds := abi.TimeToLive(timeToLive)
	var result outcome
	abi.StateCompareAndSet(abi.TextOf(key), hasExpected, before.At, before.Length, hasValue, after.At, after.Length, hasTime, milliseconds,
		unsafe.Pointer(&result))
	if err := result.err(); err != nil {
		return false, err
	}
	return result.Choice.Tag == 1, nil
}

// Delete forgets a value, if there is one.
func Delete(key string) error {
	abi.Collect()
	var result outcome
	abi.StateDelete(abi.TextOf(key), unsafe.Pointer(&result))
	return result.err()
}

// Increment adds to a number, and gives the sum. A key that is missing counts as 0; the time to live is set when the key is made.
func Increment(key string, by int64, timeToLive ...time.Duration) (int64, error) {
	abi.Collect()
	hasTime, milliseconds := abi.TimeToLive(timeToLive)
	var result struct {
		abi.Case
		_   uint32
		sum int64
		_   uint32
	}
	abi.StateIncrement(abi.TextOf(key), by, hasTime, milliseconds, unsafe.Pointer(&result))
	if result.Tag == 1 {
		return 0, failure(*(*abi.Choice)(unsafe.Pointer(&result.sum)))
	}
	return result.sum, nil
}

// Keys gives the keys that begin with a prefix, in order, from the one after a key on; from the first on if that is empty.
func Keys(prefix, after string, limit uint32) ([]string, error) {
	abi.Collect()
	hasAfter := uint32(0)
	if after != "" {
		hasAfter = 1
	}
	var result struct {
		abi.Case
		value abi.Choice
	}
	abi.StateKeys(abi.TextOf(prefix), hasAfter, abi.TextOf(after), limit, unsafe.Pointer(&result))
	if result.Tag == 1 {
		return nil, failure(result.value)
	}
	list := *(*abi.List)(unsafe.Pointer(&result.value))
	keys := make([]string, 0, list.Length)
	for _, key := range abi.Take[abi.List](list) {
		keys = append(keys, abi.TakeString(key))
	}
	return keys, nil
}

// outcome is a result of nothing or a bool: the latter lies where the tag of an error does.
type outcome struct {
	abi.Case
	abi.Choice
}

func (result *outcome) err() error {
	if result.Case.Tag == 0 {
		return nil
	}
	return failure(result.Choice)
}

func failure(lent abi.Choice) error {
	switch lent.Tag {
	case 0:
		return ErrTooLarge
	case 1:
		return ErrQuota
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, abi.TakeString(lent.Value))
}

func option(value []byte) (uint32, abi.List) {
	if value == nil {
		return 0, abi.List{}
	}
	return 1, abi.Lend(value)
}
