package wholehub

import (
	"unsafe"

	"hubgate"
	"hubgate/internal/abi"
	"hubgate/internal/values"
	"hubgate/presence"
)

var (
	// What the gateway reads after an export has returned.
	refused struct {
		abi.Case
		err abi.Choice
	}
	failed abi.Choice
)

// answered is of a caller that waits.
func answered(err error) unsafe.Pointer {
	abi.Collect()
	refused.Tag, refused.err = 0, abi.Choice{}
	if err != nil {
		refused.Tag, refused.err = 1, values.Error(err)
	}
	return unsafe.Pointer(&refused)
}

// logged is of an event that nobody waits for.
func logged(err error) unsafe.Pointer {
	abi.Collect()
	failed = abi.Choice{}
	if err != nil {
		failed = abi.Variant(1, abi.LendString(err.Error()))
	}
	return unsafe.Pointer(&failed)
}

func text(at, length uint32) string { return abi.TakeString(abi.List{At: at, Length: length}) }

// begin has more values than there may be parameters.
//
//go:wasmexport hubgate:plugin/upstream-streams@0.1.0#begin
func exportBegin(given unsafe.Pointer) unsafe.Pointer {
	lent := (*struct {
		client     values.Connection
		id, target abi.List
		arguments  abi.Choice
		uploads    abi.List
		answer     uint8
	})(given)
	return answered(begin(&Opening{
		Client:    lent.client.Take(),
		Method:    abi.TakeString(lent.target),
		Arguments: values.TakePayload(lent.arguments.Tag, lent.arguments.Value),
		Stream:    Stream{abi.TakeString(lent.id)},
		Uploads:   values.TakeStrings(lent.uploads),
		Answer:    Answer(lent.answer),
	}))
}

//go:wasmexport hubgate:plugin/upstream-streams@0.1.0#writable
func exportWritable(hub, hubLength, id, idLength, hasUser, user, userLength, stream, streamLength, items, bytes uint32) {
	writable(client(hub, hubLength, id, idLength, hasUser, user, userLength), Stream{text(stream, streamLength)}, Room{items, bytes})
	abi.Collect()
}

//go:wasmexport hubgate:plugin/upstream-streams@0.1.0#cancelled
func exportCancelled(hub, hubLength, id, idLength, hasUser, user, userLength, stream, streamLength uint32) {
	cancelled(client(hub, hubLength, id, idLength, hasUser, user, userLength), Stream{text(stream, streamLength)})
	abi.Collect()
}

//go:wasmexport hubgate:plugin/upstream-streams@0.1.0#item
func exportItem(hub, hubLength, id, idLength, hasUser, user, userLength, upload, uploadLength, kind, value, valueLength uint32) unsafe.Pointer {
	payload := values.TakePayload(uint8(kind), abi.List{At: value, Length: valueLength})
	return answered(item(client(hub, hubLength, id, idLength, hasUser, user, userLength), text(upload, uploadLength), payload))
}

//go:wasmexport hubgate:plugin/upstream-streams@0.1.0#ended
func exportEnded(hub, hubLength, id, idLength, hasUser, user, userLength, upload, uploadLength, hasFailed, failure, failureLength uint32) unsafe.Pointer {
	reason := ""
	if hasFailed == 1 {
		reason = text(failure, failureLength)
	}
	return answered(ended(client(hub, hubLength, id, idLength, hasUser, user, userLength), text(upload, uploadLength), reason))
}

//go:wasmexport hubgate:plugin/scheduled@0.1.0#fired
func exportFired(hub, hubLength, name, nameLength, payload, payloadLength uint32) unsafe.Pointer {
	return logged(fired(text(hub, hubLength), text(name, nameLength), abi.Take[byte](abi.List{At: payload, Length: payloadLength})))
}

//go:wasmexport hubgate:plugin/presence-events@0.1.0#changed
func exportChanged(hub, hubLength, group, groupLength, joined, joinedLength, left, leftLength uint32) unsafe.Pointer {
	members := func(at, length uint32) []presence.Member {
		return presence.TakeMembers(abi.List{At: at, Length: length})
	}
	return logged(changed(text(hub, hubLength), text(group, groupLength), members(joined, joinedLength), members(left, leftLength)))
}

//go:wasmexport hubgate:plugin/hub-lifetime@0.1.0#started
func exportStarted(hub, hubLength uint32) unsafe.Pointer {
	return logged(started(text(hub, hubLength)))
}

func client(hub, hubLength, id, idLength, hasUser, user, userLength uint32) hubgate.Client {
	return values.TakeConnection(hub, hubLength, id, idLength, hasUser, user, userLength)
}
