// Package presence tells who is in the hub of the event, in the whole cluster.
package presence

import (
	"errors"
	"unsafe"

	"hubgate/hub"
	"hubgate/internal/abi"
)

// ErrTooMany says that as many groups are watched as may be.
var ErrTooMany = errors.New("presence: the plugin watches as many groups as it may (plugins.NAME.presence-groups)")

// Member is a connection in a group. The user is empty if it has none.
type Member struct{ Connection, UserID string }

// Count is how many connections a target has.
func Count(target hub.Target) (uint64, error) {
	abi.Collect()
	var result struct {
		abi.Case
		_ uint32
		// Or a text at the same place.
		count uint64
	}
	kind, name := target.Flat()
	abi.PresenceCount(kind, name, unsafe.Pointer(&result))
	if result.Tag == 1 {
		return 0, errors.New("presence: " + abi.TakeString(*(*abi.List)(unsafe.Pointer(&result.count))))
	}
	return result.count, nil
}

// Members gives those of a group by connection, from the one after a connection on; from the first on if that is empty.
func Members(group, after string, limit uint32) ([]Member, error) {
	list, err := page(abi.PresenceMembers, group, after, limit)
	return TakeMembers(list), err
}

// Connections gives those of a user, from the one after a connection on; from the first on if that is empty.
func Connections(user, after string, limit uint32) ([]string, error) {
	list, err := page(abi.PresenceConnections, user, after, limit)
	var connections []string
	for _, id := range abi.Take[abi.List](list) {
		connections = append(connections, abi.TakeString(id))
	}
	return connections, err
}

// Watch lets what package wholehub's PresenceChanged says be told who joins and leaves a group, from now on.
func Watch(group string) error { return watch(abi.PresenceWatch, group) }

// Unwatch ends that.
func Unwatch(group string) error { return watch(abi.PresenceUnwatch, group) }

// LentMember is how the contract's `member` lies in memory.
type LentMember struct {
	connection abi.List
	user       abi.Choice
}

// TakeMembers is for package wholehub.
func TakeMembers(list abi.List) []Member {
	var members []Member
	for _, lent := range abi.Take[LentMember](list) {
		member := Member{Connection: abi.TakeString(lent.connection)}
		if lent.user.Tag == 1 {
			member.UserID = abi.TakeString(lent.user.Value)
		}
		members = append(members, member)
	}
	return members
}

func page(ask func(abi.Text, uint32, abi.Text, uint32, unsafe.Pointer), of, after string, limit uint32) (abi.List, error) {
	abi.Collect()
	hasAfter := uint32(0)
	if after != "" {
		hasAfter = 1
	}
	var result struct {
		abi.Case
		// Or a text.
		list abi.List
	}
	ask(abi.TextOf(of), hasAfter, abi.TextOf(after), limit, unsafe.Pointer(&result))
	if result.Tag == 1 {
		return abi.List{}, errors.New("presence: " + abi.TakeString(result.list))
	}
	return result.list, nil
}

func watch(ask func(abi.Text, unsafe.Pointer), group string) error {
	abi.Collect()
	var result struct {
		abi.Case
		reason abi.Choice
	}
	ask(abi.TextOf(group), unsafe.Pointer(&result))
	switch {
	case result.Tag == 0:
		return nil
	case result.reason.Tag == 0:
		return ErrTooMany
	}
	return errors.New("presence: " + abi.TakeString(result.reason.Value))
}
