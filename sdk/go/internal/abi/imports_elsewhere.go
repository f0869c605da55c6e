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

func ConfigGet(key string, value unsafe.Pointer) { missing() }

func LogWrite(level uint32, text string, fields, length uint32) { missing() }

func ConnectionsClaims(id string, claims unsafe.Pointer) { missing() }

func ConnectionsQuery(id string, query unsafe.Pointer) { missing() }

func ConnectionsHeaders(id string, headers unsafe.Pointer) { missing() }

func ConnectionsRemoteAddress(id string, address unsafe.Pointer) { missing() }

func ConnectionsProtocol(id string, protocol unsafe.Pointer) { missing() }

func HubSubmit(actions, length uint32, result unsafe.Pointer) { missing() }

func HubFlush() { missing() }

func HubExists(kind uint32, name string, result unsafe.Pointer) { missing() }

func StateGet(key string, result unsafe.Pointer) { missing() }

func StateSet(key string, value, length, hasTTL uint32, ttl uint64, result unsafe.Pointer) { missing() }

func StateCompareAndSet(key string, hasExpected, expected, expectedLength, hasValue, value, length, hasTTL uint32, ttl uint64, result unsafe.Pointer) {
	missing()
}

func StateDelete(key string, result unsafe.Pointer) { missing() }

func StateIncrement(key string, by int64, hasTTL uint32, ttl uint64, result unsafe.Pointer) {
	missing()
}

func StateKeys(prefix string, hasAfter uint32, after string, limit uint32, result unsafe.Pointer) {
	missing()
}

func HTTPSend(method, url string, headers, headersLength, body, bodyLength, hasTimeout, timeout uint32, result unsafe.Pointer) {
	missing()
}
