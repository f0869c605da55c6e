// Package connections tells about a connection of the hub, while it lives and during its own disconnected. The second result says
// whether it is known.
package connections

import (
	"unsafe"

	"hubgate"
	"hubgate/internal/abi"
	"hubgate/internal/values"
)

// Claims are those of the client's token.
func Claims(id string) ([]hubgate.Pair, bool) { return pairs(abi.ConnectionsClaims, id) }

// Query is the text after the question mark.
func Query(id string) (string, bool) { return text(abi.ConnectionsQuery, id) }

// Headers are those of the request that the client came with.
func Headers(id string) ([]hubgate.Pair, bool) { return pairs(abi.ConnectionsHeaders, id) }

// RemoteAddress is the client's.
func RemoteAddress(id string) (string, bool) { return text(abi.ConnectionsRemoteAddress, id) }

// Protocol is the hub protocol's name: json or messagepack.
func Protocol(id string) (string, bool) { return text(abi.ConnectionsProtocol, id) }

func text(ask func(abi.Text, unsafe.Pointer), id string) (string, bool) {
	abi.Collect()
	var answer abi.Choice
	ask(abi.TextOf(id), unsafe.Pointer(&answer))
	if answer.Tag == 0 {
		return "", false
	}
	return abi.TakeString(answer.Value), true
}

func pairs(ask func(abi.Text, unsafe.Pointer), id string) ([]hubgate.Pair, bool) {
	abi.Collect()
	var answer abi.Choice
	ask(abi.TextOf(id), unsafe.Pointer(&answer))
	if answer.Tag == 0 {
		return nil, false
	}
	return values.TakePairs(answer.Value), true
}
