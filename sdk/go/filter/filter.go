// Package filter has what a filter is shown, and what it decides. Packages inbound and outbound are its two halves: a plugin has
// those that it imports.
package filter

import (
	"unsafe"

	"hubgate"
	"hubgate/hub"
	"hubgate/internal/abi"
	"hubgate/internal/values"
)

// Kind is what a message is.
type Kind uint8

const (
	Invocation Kind = iota
	StreamInvocation
	StreamItem
	Completion
)

// Message is what passes. What is not there is nil.
type Message struct {
	Kind Kind
	// Method is that of a call.
	Method *string
	// Content is the arguments of a call (one array), an item, or a result.
	Content hubgate.Payload
	// Error is that of a completion.
	Error *string
}

// OriginKind is what a message comes from.
type OriginKind uint8

const (
	HubServer OriginKind = iota
	Plugin
	Webhook
	REST
	Management
)

// Origin is who sends. The name is that of a hub server or a plugin.
type Origin struct {
	Kind OriginKind
	Name string
}

// Delivery is where a message goes, and where it comes from.
type Delivery struct {
	Hub string
	// To has one target, or all that one message of a hub server names.
	To   []hub.Target
	From Origin
}

// Verdict is what becomes of a message.
type Verdict struct {
	tag     uint8
	message Message
	text    string
}

const (
	pass = iota
	replace
	reject
	drop
	shut
)

// Pass lets a message go on as it came, byte for byte.
func Pass() Verdict { return Verdict{tag: pass} }

// Replace lets a message of the same kind go on in its place.
func Replace(message Message) Verdict { return Verdict{tag: replace, message: message} }

// Reject keeps a message from everybody; who waits for an answer gets this error.
func Reject(text string) Verdict { return Verdict{tag: reject, text: text} }

// Drop keeps a message from everybody; who waits for an answer gets an error.
func Drop() Verdict { return Verdict{tag: drop} }

// Close keeps a message from everybody. Inbound it closes the sender, outbound the single connections that it is for.
func Close(reason string) Verdict { return Verdict{tag: shut, text: reason} }

// LentMessage, LentDelivery and LentVerdict are how the contract's values lie in memory.
type (
	LentMessage struct {
		kind    abi.Case
		method  abi.Choice
		content struct {
			abi.Case
			payload abi.Choice
		}
		err abi.Choice
	}
	LentDelivery struct {
		hub, to abi.List
		from    abi.Choice
	}
	LentVerdict struct {
		abi.Case
		// Or a text at the same place.
		message LentMessage
	}
)

// Take is for the halves.
func (lent *LentMessage) Take() Message {
	message := Message{Kind: Kind(lent.kind.Tag), Method: takeOption(lent.method), Error: takeOption(lent.err)}
	if lent.content.Tag == 1 {
		message.Content = values.TakePayload(lent.content.payload.Tag, lent.content.payload.Value)
	}
	return message
}

// Take is for the half outbound.
func (lent *LentDelivery) Take() Delivery {
	delivery := Delivery{Hub: abi.TakeString(lent.hub), From: Origin{Kind: OriginKind(lent.from.Tag)}}
	if delivery.From.Kind <= Plugin {
		delivery.From.Name = abi.TakeString(lent.from.Value)
	}
	for _, target := range abi.Take[abi.Choice](lent.to) {
		delivery.To = append(delivery.To, hub.TakeTarget(target))
	}
	return delivery
}

var lent LentVerdict

// Lend is for the halves.
func (verdict Verdict) Lend() unsafe.Pointer {
	abi.Collect()
	lent = LentVerdict{}
	lent.Tag = verdict.tag
	switch verdict.tag {
	case replace:
		lent.message = lendMessage(verdict.message)
	case reject, shut:
		*(*abi.List)(unsafe.Pointer(&lent.message)) = abi.LendString(verdict.text)
	}
	return unsafe.Pointer(&lent)
}

func lendMessage(message Message) LentMessage {
	lent := LentMessage{method: lendOption(message.Method), err: lendOption(message.Error)}
	lent.kind.Tag = uint8(message.Kind)
	if message.Content != nil {
		lent.content.Tag, lent.content.payload = 1, values.LendPayload(message.Content)
	}
	return lent
}

func takeOption(option abi.Choice) *string {
	if option.Tag == 0 {
		return nil
	}
	text := abi.TakeString(option.Value)
	return &text
}

func lendOption(text *string) abi.Choice {
	if text == nil {
		return abi.Choice{}
	}
	return abi.Option(true, abi.LendString(*text))
}
