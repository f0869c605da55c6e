// Package values takes and lends the values that several interfaces of the contract share.
package values

import (
	"errors"

	"hubgate"
	"hubgate/internal/abi"
)

const (
	json = iota
	messagePack
)

func LendPayload(payload hubgate.Payload) abi.Choice {
	switch payload := payload.(type) {
	case hubgate.JSON:
		return abi.Variant(json, abi.LendString(string(payload)))
	case hubgate.MessagePack:
		return abi.Variant(messagePack, abi.Lend(payload))
	}
	panic("a payload is nil")
}

func TakePayload(kind uint8, value abi.List) hubgate.Payload {
	if kind == messagePack {
		return hubgate.MessagePack(abi.Take[byte](value))
	}
	return hubgate.JSON(abi.TakeString(value))
}

func LendPairs(pairs []hubgate.Pair) abi.List {
	lent := make([]abi.Pair, len(pairs))
	for at, pair := range pairs {
		lent[at] = abi.Pair{Name: abi.LendString(pair.Name), Value: abi.LendString(pair.Value)}
	}
	return abi.Lend(lent)
}

func TakePairs(list abi.List) []hubgate.Pair {
	taken := abi.Take[abi.Pair](list)
	pairs := make([]hubgate.Pair, len(taken))
	for at, pair := range taken {
		pairs[at] = hubgate.Pair{Name: abi.TakeString(pair.Name), Value: abi.TakeString(pair.Value)}
	}
	return pairs
}

func LendStrings(texts []string) abi.List {
	lent := make([]abi.List, len(texts))
	for at, text := range texts {
		lent[at] = abi.LendString(text)
	}
	return abi.Lend(lent)
}

func TakeStrings(list abi.List) []string {
	taken := abi.Take[abi.List](list)
	texts := make([]string, len(taken))
	for at, text := range taken {
		texts[at] = abi.TakeString(text)
	}
	return texts
}

// Connection is the contract's `connection`.
type Connection struct {
	Hub, ID abi.List
	User    abi.Choice
}

func (connection Connection) Take() hubgate.Client {
	client := hubgate.Client{Hub: abi.TakeString(connection.Hub), ID: abi.TakeString(connection.ID)}
	if connection.User.Tag == 1 {
		client.UserID = abi.TakeString(connection.User.Value)
	}
	return client
}

// TakeConnection takes the flat values of a connection.
func TakeConnection(hub, hubLength, id, idLength, hasUser, user, userLength uint32) hubgate.Client {
	list := func(at, length uint32) abi.List { return abi.List{At: at, Length: length} }
	return Connection{
		Hub: list(hub, hubLength), ID: list(id, idLength), User: abi.Option(hasUser == 1, list(user, userLength)),
	}.Take()
}

// Error is the contract's `error`.
func Error(err error) abi.Choice {
	var rejection hubgate.Rejection
	if errors.As(err, &rejection) {
		return abi.Variant(0, abi.LendString(string(rejection)))
	}
	return abi.Variant(1, abi.LendString(err.Error()))
}
