package abi

import "unsafe"

//go:wasmimport hubgate:plugin/context@0.1.0 now
func ContextNow() uint64

//go:wasmimport hubgate:plugin/context@0.1.0 random
func ContextRandom(length uint32, bytes unsafe.Pointer)

//go:wasmimport hubgate:plugin/context@0.1.0 event-id
func ContextEventID(id unsafe.Pointer)

//go:wasmimport hubgate:plugin/context@0.1.0 message-headers
func ContextMessageHeaders(headers unsafe.Pointer)

//go:wasmimport hubgate:plugin/context@0.1.0 time-left
func ContextTimeLeft() uint32

//go:wasmimport hubgate:plugin/config@0.1.0 get
func ConfigGet(key Text, value unsafe.Pointer)

//go:wasmimport hubgate:plugin/log@0.1.0 write
func LogWrite(level uint32, text Text, fields, length uint32)

//go:wasmimport hubgate:plugin/connections@0.1.0 claims
func ConnectionsClaims(id Text, claims unsafe.Pointer)

//go:wasmimport hubgate:plugin/connections@0.1.0 query
func ConnectionsQuery(id Text, query unsafe.Pointer)

//go:wasmimport hubgate:plugin/connections@0.1.0 headers
func ConnectionsHeaders(id Text, headers unsafe.Pointer)

//go:wasmimport hubgate:plugin/connections@0.1.0 remote-address
func ConnectionsRemoteAddress(id Text, address unsafe.Pointer)

//go:wasmimport hubgate:plugin/connections@0.1.0 protocol
func ConnectionsProtocol(id Text, protocol unsafe.Pointer)

//go:wasmimport hubgate:plugin/hub@0.1.0 submit
func HubSubmit(actions, length uint32, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/hub@0.1.0 flush
func HubFlush()

//go:wasmimport hubgate:plugin/hub@0.1.0 exists
func HubExists(kind uint32, name Text, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/state@0.1.0 get
func StateGet(key Text, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/state@0.1.0 set
func StateSet(key Text, value, length, hasTTL uint32, ttl uint64, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/state@0.1.0 compare-and-set
func StateCompareAndSet(key Text, hasExpected, expected, expectedLength, hasValue, value, length, hasTTL uint32, ttl uint64, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/state@0.1.0 delete
func StateDelete(key Text, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/state@0.1.0 increment
func StateIncrement(key Text, by int64, hasTTL uint32, ttl uint64, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/state@0.1.0 keys
func StateKeys(prefix Text, hasAfter uint32, after Text, limit uint32, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/http@0.1.0 send
func HTTPSend(method, url Text, headers, headersLength, body, bodyLength, hasTimeout, timeout uint32, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/streams@0.1.0 push
func StreamsPush(id Text, items, length uint32, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/streams@0.1.0 finish
func StreamsFinish(id Text, outcome, first, second, third, fourth uint32, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/client-results@0.1.0 ask
func ClientResultsAsk(connection, method Text, kind, arguments, length, timeout uint32, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/timers@0.1.0 set
func TimersSet(name Text, kind uint32, time uint64, payload, length, durable uint32, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/timers@0.1.0 cancel
func TimersCancel(name Text, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/timers@0.1.0 list
func TimersList(hasAfter uint32, after Text, limit uint32, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/presence@0.1.0 count
func PresenceCount(kind uint32, name Text, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/presence@0.1.0 members
func PresenceMembers(group Text, hasAfter uint32, after Text, limit uint32, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/presence@0.1.0 connections
func PresenceConnections(user Text, hasAfter uint32, after Text, limit uint32, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/presence@0.1.0 watch
func PresenceWatch(group Text, result unsafe.Pointer)

//go:wasmimport hubgate:plugin/presence@0.1.0 unwatch
func PresenceUnwatch(group Text, result unsafe.Pointer)
