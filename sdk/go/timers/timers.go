// Package timers acts later: what package wholehub's Fired says is called when a timer is due, at least once each time. A timer
// takes the place of the one with its name.
package timers

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unsafe"

	"hubgate/internal/abi"
)

var (
	// ErrTooMany says that there are as many timers as there may be.
	ErrTooMany = errors.New("timers: the plugin has as many as it may have (plugins.NAME.timers)")
	// ErrTooShort is that of a period.
	ErrTooShort = errors.New("timers: the period is shorter than the plugin's may be (plugins.NAME.shortest-period)")
	// ErrTooLarge is that of a name or a payload.
	ErrTooLarge = errors.New("timers: the name or the payload is too large")
	// ErrUnavailable says that none can be set or read now; its text says why.
	ErrUnavailable = errors.New("timers: unavailable")
)

// Lifetime is how long a timer is kept.
type Lifetime uint32

const (
	// Process is as long as the gateway runs, over swaps too; it writes nothing. So is a timer without any.
	Process Lifetime = iota
	// Durable is kept as state is.
	Durable
)

// Kind is when a timer is due.
type Kind uint8

const (
	KindAfter Kind = iota
	KindAt
	KindEvery
)

// Timer is one that is set.
type Timer struct {
	Name string
	Kind Kind
	// Period is that of [KindEvery].
	Period time.Duration
	// Due is when it fires next.
	Due time.Time
	// Payload is JSON, or nothing.
	Payload  []byte
	Lifetime Lifetime
}

// After fires once, so long from now. The payload becomes JSON; nil is none.
func After(name string, delay time.Duration, payload any, lifetime ...Lifetime) error {
	return set(name, KindAfter, uint64(abi.Whole(delay, time.Millisecond)), payload, lifetime)
}

// At fires once, at a time.
func At(name string, moment time.Time, payload any, lifetime ...Lifetime) error {
	return set(name, KindAt, uint64(max(moment.UnixMilli(), 0)), payload, lifetime)
}

// Every fires again and again; missed times count once.
func Every(name string, period time.Duration, payload any, lifetime ...Lifetime) error {
	return set(name, KindEvery, uint64(abi.Whole(period, time.Millisecond)), payload, lifetime)
}

func set(name string, kind Kind, milliseconds uint64, payload any, lifetime []Lifetime) error {
	abi.Collect()
	var bytes []byte
	if payload != nil {
		text, err := json.Marshal(payload)
		if err != nil {
			return fmt.Errorf("timers: the payload of %q: %w", name, err)
		}
		bytes = text
	}
	kept := Process
	if len(lifetime) > 0 {
		kept = lifetime[0]
	}
	lent := abi.Lend(bytes)
	var result outcome
	abi.TimersSet(abi.TextOf(name), uint32(kind), milliseconds, lent.At, lent.Length, uint32(kept), unsafe.Pointer(&result))
	return result.err()
}

// Cancel takes a timer back; says whether there was one.
func Cancel(name string) (bool, error) {
	abi.Collect()
	var result outcome
	abi.TimersCancel(abi.TextOf(name), unsafe.Pointer(&result))
	if err := result.err(); err != nil {
		return false, err
	}
	return result.Choice.Tag == 1, nil
}

// lentTimer is how the contract's `timer` lies in memory.
type lentTimer struct {
	name    abi.List
	kind    abi.Case
	_       uint32
	time    uint64
	due     uint64
	payload abi.List
	durable uint8
	_       [7]uint8
}

// List gives timers by name, from the one after a name on; from the first on if that is empty.
func List(after string, limit uint32) ([]Timer, error) {
	abi.Collect()
	hasAfter := uint32(0)
	if after != "" {
		hasAfter = 1
	}
	var result outcome
	abi.TimersList(hasAfter, abi.TextOf(after), limit, unsafe.Pointer(&result))
	if err := result.err(); err != nil {
		return nil, err
	}
	var timers []Timer
	for _, lent := range abi.Take[lentTimer](*(*abi.List)(unsafe.Pointer(&result.Choice))) {
		timer := Timer{
			Name: abi.TakeString(lent.name), Kind: Kind(lent.kind.Tag), Due: time.UnixMilli(int64(lent.due)),
			Payload: abi.Take[byte](lent.payload), Lifetime: Lifetime(lent.durable),
		}
		if timer.Kind == KindEvery {
			timer.Period = time.Duration(lent.time) * time.Millisecond
		}
		timers = append(timers, timer)
	}
	return timers, nil
}

// outcome is a result of nothing, a bool or a list: they lie where the tag of an error does.
type outcome struct {
	abi.Case
	abi.Choice
}

func (result *outcome) err() error {
	switch {
	case result.Case.Tag == 0:
		return nil
	case result.Choice.Tag == 0:
		return ErrTooMany
	case result.Choice.Tag == 1:
		return ErrTooShort
	case result.Choice.Tag == 2:
		return ErrTooLarge
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, abi.TakeString(result.Choice.Value))
}
