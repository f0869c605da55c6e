// The filter: it hides a word in what clients send, and in what they are sent.
package main

import (
	"hubgate"
	"hubgate/filter"
	"hubgate/inbound"
	"hubgate/outbound"
)

// A filter has the halves that it imports.
func init() {
	inbound.Inspect(func(client hubgate.Client, message filter.Message) filter.Verdict { return inspect(message) })
	outbound.Inspect(func(delivery filter.Delivery, message filter.Message) filter.Verdict { return inspect(message) })
}

func inspect(message filter.Message) filter.Verdict {
	isChanged := false
	// The other kind of payload comes to plugins with payload = "native" alone.
	if text, is := message.Content.(hubgate.JSON); is {
		hidden := hide(string(text))
		isChanged = hidden != string(text)
		message.Content = hubgate.JSON(hidden)
	}
	if message.Error != nil {
		hidden := hide(*message.Error)
		isChanged = isChanged || hidden != *message.Error
		message.Error = &hidden
	}
	if !isChanged {
		return filter.Pass()
	}
	return filter.Replace(message)
}

// A component has a main that does not run.
func main() {}
