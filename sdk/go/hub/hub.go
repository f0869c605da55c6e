// Package hub acts on the hub of the event that is being handled. What is asked for is queued and done in order, before the
// caller is answered; it is thrown away when the handler ends with an error, except what [Flush] ran.
package hub

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unsafe"

	"hubgate"
	"hubgate/internal/abi"
	"hubgate/internal/values"
)

// SendAll calls a method on all clients. Each argument becomes JSON; a [hubgate.JSON] is one argument among the others. [Send]
// takes all arguments as one payload.
func SendAll(method string, arguments ...any) error { return Send(All(), method, list(arguments), nil) }

// SendGroup calls a method on the clients of a group.
func SendGroup(group, method string, arguments ...any) error {
	return Send(Group(group), method, list(arguments), nil)
}

// SendUser calls a method on all connections of a user.
func SendUser(user, method string, arguments ...any) error {
	return Send(User(user), method, list(arguments), nil)
}

// SendConnection calls a method on one connection.
func SendConnection(id, method string, arguments ...any) error {
	return Send(Connection(id), method, list(arguments), nil)
}

// Send calls a method on a target but for the connections in except. The arguments are a list, or a [hubgate.Payload].
func Send(to Target, method string, arguments any, except []string) error {
	payload, err := hubgate.PayloadOf(arguments)
	if err != nil {
		return err
	}
	return Submit(Message{To: to, Method: method, Arguments: payload, Except: except})
}

// Join puts a connection into a group.
func Join(connection, group string) error {
	return Submit(Membership{Member: Connection(connection), Group: group})
}

// JoinUser puts a user into a group.
func JoinUser(user, group string) error { return Submit(Membership{Member: User(user), Group: group}) }

// JoinFor puts a connection or a user into a group for some time, in whole seconds; for one of zero or less it does nothing.
func JoinFor(member Target, group string, lifetime time.Duration) error {
	return Submit(Membership{Member: member, Group: group, For: &lifetime})
}

// Leave takes a connection out of a group.
func Leave(connection, group string) error {
	return Submit(Leaving{Member: Connection(connection), Group: group})
}

// LeaveUser takes a user out of a group.
func LeaveUser(user, group string) error { return Submit(Leaving{Member: User(user), Group: group}) }

// LeaveAll takes a connection, or a user, out of all groups.
func LeaveAll(member Target) error { return Submit(LeavingAll{Member: member}) }

// Close closes a connection, which is told the reason.
func Close(connection, reason string, allowReconnect bool) error {
	return Submit(Closing{Target: Connection(connection), Reason: reason, AllowReconnect: allowReconnect})
}

// Flush runs what is queued now.
func Flush() {
	abi.Collect()
	abi.HubFlush()
}

// Exists says whether there is somebody that a target reaches.
func Exists(target Target) (bool, error) {
	abi.Collect()
	var result struct {
		abi.Case
		// An error, or a byte at the same place.
		reason abi.List
	}
	kind, name := target.Flat()
	abi.HubExists(kind, name, unsafe.Pointer(&result))
	if result.Tag == 1 {
		return false, errors.New(abi.TakeString(result.reason))
	}
	return result.reason.At&0xff == 1, nil
}

func list(arguments []any) any {
	if arguments == nil {
		return []any{}
	}
	return arguments
}

// Target is whom something is for: all, a group, a user or a connection.
type Target struct {
	kind uint8
	name string
}

const (
	all = iota
	group
	user
	connection
)

func All() Target                 { return Target{kind: all} }
func Group(name string) Target    { return Target{group, name} }
func User(id string) Target       { return Target{user, id} }
func Connection(id string) Target { return Target{connection, id} }

func (target Target) String() string {
	return [...]string{"all", "group ", "user ", "connection "}[target.kind] + target.name
}

func (target Target) lend() abi.Choice { return abi.Variant(target.kind, abi.LendString(target.name)) }

// Flat is for package presence.
func (target Target) Flat() (kind uint32, name abi.Text) {
	return uint32(target.kind), abi.TextOf(target.name)
}

// lendMember is for what has no other members than connections and users.
func (target Target) lendMember() (abi.Choice, error) {
	switch target.kind {
	case connection:
		return abi.Variant(0, abi.LendString(target.name)), nil
	case user:
		return abi.Variant(1, abi.LendString(target.name)), nil
	}
	return abi.Choice{}, fmt.Errorf("%v cannot be in groups: connections and users can", target)
}

// TakeTarget is for package filter.
func TakeTarget(lent abi.Choice) Target {
	if lent.Tag == all {
		return All()
	}
	return Target{lent.Tag, abi.TakeString(lent.Value)}
}

// Action is a [Message], a [Membership], a [Leaving], a [LeavingAll] or a [Closing].
type Action interface {
	lend(into *lentAction) error
}

type (
	// Message calls a method on a target but for the connections in Except.
	Message struct {
		To        Target
		Method    string
		Arguments hubgate.Payload
		Except    []string
	}
	// Membership puts a connection or a user into a group.
	Membership struct {
		Member Target
		Group  string
		// For is how long, in whole seconds; nil is for ever, and zero or less does not join.
		For *time.Duration
	}
	// Leaving takes a connection or a user out of a group.
	Leaving struct {
		Member Target
		Group  string
	}
	// LeavingAll takes a connection or a user out of all groups.
	LeavingAll struct{ Member Target }
	// Closing closes all that a target reaches, but for the connections in Except. No reason is told if it is empty.
	Closing struct {
		Target         Target
		Except         []string
		Reason         string
		AllowReconnect bool
	}
)

// Submit queues all of the actions or none.
func Submit(actions ...Action) error {
	abi.Collect()
	lent := make([]lentAction, len(actions))
	for at, action := range actions {
		if err := action.lend(&lent[at]); err != nil {
			return err
		}
	}
	var result struct {
		abi.Case
		index  uint32
		reason abi.List
	}
	list := abi.Lend(lent)
	abi.HubSubmit(list.At, list.Length, unsafe.Pointer(&result))
	if result.Tag == 1 {
		return fmt.Errorf("action %d is invalid: %s", result.index, abi.TakeString(result.reason))
	}
	return nil
}

// lentAction is as long as the longest action. The others lie at the same place.
type lentAction struct {
	abi.Case
	message lentMessage
}

type lentMessage struct {
	to        abi.Choice
	method    abi.List
	arguments abi.Choice
	except    abi.List
}

func (message Message) lend(into *lentAction) error {
	if message.Arguments == nil {
		message.Arguments = hubgate.JSON("[]")
	}
	into.Tag = 0
	into.message = lentMessage{
		message.To.lend(), abi.LendString(message.Method), values.LendPayload(message.Arguments), values.LendStrings(message.Except),
	}
	return nil
}

func (membership Membership) lend(into *lentAction) (err error) {
	lent := (*struct {
		member  abi.Choice
		group   abi.List
		hasTime abi.Case
		seconds uint32
	})(unsafe.Pointer(&into.message))
	into.Tag = 1
	lent.member, err = membership.Member.lendMember()
	lent.group = abi.LendString(membership.Group)
	if membership.For != nil {
		lent.hasTime.Tag, lent.seconds = 1, seconds(*membership.For)
	}
	return err
}

func seconds(lifetime time.Duration) uint32 {
	return uint32(min(abi.Whole(lifetime, time.Second), math.MaxUint32))
}

func (leaving Leaving) lend(into *lentAction) (err error) {
	lent := (*struct {
		member abi.Choice
		group  abi.List
	})(unsafe.Pointer(&into.message))
	into.Tag = 2
	lent.member, err = leaving.Member.lendMember()
	lent.group = abi.LendString(leaving.Group)
	return err
}

func (leaving LeavingAll) lend(into *lentAction) (err error) {
	into.Tag = 3
	*(*abi.Choice)(unsafe.Pointer(&into.message)), err = leaving.Member.lendMember()
	return err
}

func (closing Closing) lend(into *lentAction) error {
	lent := (*struct {
		target         abi.Choice
		except         abi.List
		reason         abi.Choice
		allowReconnect bool
	})(unsafe.Pointer(&into.message))
	into.Tag = 4
	lent.target, lent.except = closing.Target.lend(), values.LendStrings(closing.Except)
	lent.reason = abi.Option(closing.Reason != "", abi.LendString(closing.Reason))
	lent.allowReconnect = closing.AllowReconnect
	return nil
}
