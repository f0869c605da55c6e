// The filter of the conformance suite: see README.md above.
package main

import (
	"encoding/json"
	"strings"

	"hubgate"
	"hubgate/config"
	"hubgate/filter"
	"hubgate/inbound"
	"hubgate/outbound"
)

func init() {
	inbound.Inspect(func(_ hubgate.Client, message filter.Message) filter.Verdict { return look(message, "in:") })
	outbound.Inspect(func(_ filter.Delivery, message filter.Message) filter.Verdict { return look(message, "out:") })
}

func look(message filter.Message, way string) filter.Verdict {
	text, _ := message.Content.(hubgate.JSON)
	var arguments []json.RawMessage
	var wish string
	if json.Unmarshal([]byte(text), &arguments) == nil && len(arguments) > 0 {
		_ = json.Unmarshal(arguments[0], &wish)
	} else {
		_ = json.Unmarshal([]byte(text), &wish)
	}
	switch strings.TrimPrefix(wish, way) {
	case "reject":
		return filter.Reject("The filter says no.")
	case "drop":
		return filter.Drop()
	case "close":
		return filter.Close("The filter has had enough.")
	case "crash":
		panic("The filter crashes.")
	case "mark":
		if arguments != nil {
			mark, _ := json.Marshal(config.GetOr("mark", ""))
			message.Content, _ = hubgate.PayloadOf(append(arguments, mark))
			return filter.Replace(message)
		}
	}
	return filter.Pass()
}

func main() {}
