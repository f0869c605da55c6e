//go:build !wasip1

// So that a plugin compiles, and its own functions can be tested, on any machine.

package abi

import "unsafe"

func missing() {
	panic("this is an import of the gateway, which is there in a component alone")
}

func ContextNow() uint64 {
	missing()
	return 0
}

func ContextRandom(length uint32, bytes unsafe.Pointer) { missing() }

func ContextEventID(id unsafe.Pointer) { missing() }

func ContextMessageHeaders(headers unsafe.Pointer) { missing() }

func ContextTimeLeft() uint32 {
	missing()
	return 0
}

func ConfigGet(key Text, value unsafe.Pointer) { missing() }

func LogWrite(level uint32, text Text, fields, length uint32) { missing() }

func ConnectionsClaims(id Text, claims unsafe.Pointer) { missing() }

func ConnectionsQuery(id Text, query unsafe.Pointer) { missing() }

func ConnectionsHeaders(id Text, headers unsafe.Pointer) { missing() }

func ConnectionsRemoteAddress(id Text, address unsafe.Pointer) { missing() }

func ConnectionsProtocol(id Text, protocol unsafe.Pointer) { missing() }

func HubSubmit(actions, length uint32, result unsafe.Pointer) { missing() }

func HubFlush() { missing() }

func HubExists(kind uint32, name Text, result unsafe.Pointer) { missing() }

func StateGet(key Text, result unsafe.Pointer) { missing() }

func StateSet(key Text, value, length, hasTTL uint32, ttl uint64, result unsafe.Pointer) { missing() }

func StateCompareAndSet(key Text, hasExpected, expected, expectedLength, hasValue, value, length, hasTTL uint32, ttl uint64, result unsafe.Pointer) {
	missing()
}

func StateDelete(key Text, result unsafe.Pointer) { missing() }

func StateIncrement(key Text, by int64, hasTTL uint32, ttl uint64, result unsafe.Pointer) {
	missing()
}

func StateKeys(prefix Text, hasAfter uint32, after Text, limit uint32, result unsafe.Pointer) {
	missing()
}

func HTTPSend(method, url Text, headers, headersLength, body, bodyLength, hasTimeout, timeout uint32, result unsafe.Pointer) {
	missing()
}

func StreamsPush(id Text, items, length uint32, result unsafe.Pointer) { missing() }

func StreamsFinish(id Text, outcome, first, second, third, fourth uint32, result unsafe.Pointer) {
	missing()
}

func ClientResultsAsk(connection, method Text, kind, arguments, length, timeout uint32, result unsafe.Pointer) {
	missing()
}

func TimersSet(name Text, kind uint32, time uint64, payload, length, durable uint32, result unsafe.Pointer) {
	missing()
}

func TimersCancel(name Text, result unsafe.Pointer) { missing() }

func TimersList(hasAfter uint32, after Text, limit uint32, result unsafe.Pointer) { missing() }

func PresenceCount(kind uint32, name Text, result unsafe.Pointer) { missing() }

func PresenceMembers(group Text, hasAfter uint32, after Text, limit uint32, result unsafe.Pointer) {
	missing()
}

func PresenceConnections(user Text, hasAfter uint32, after Text, limit uint32, result unsafe.Pointer) {
	missing()
}

func PresenceWatch(group Text, result unsafe.Pointer) { missing() }

func PresenceUnwatch(group Text, result unsafe.Pointer) { missing() }
