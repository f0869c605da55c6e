// A live poll: everybody votes once, and all see the counts.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"hubgate"
	"hubgate/config"
	"hubgate/handler"
	"hubgate/hub"
	"hubgate/state"
)

func init() {
	handler.Method("vote", vote)
	handler.Method("counts", func(*handler.Call) (any, error) { return counts() })
	handler.Method("language", func(*handler.Call) (any, error) { return "Go", nil })
}

func choices() []string { return strings.Split(config.GetOr("choices", "tea,coffee,water"), ",") }

func vote(call *handler.Call) (any, error) {
	var choice string
	if err := call.Parse(&choice); err != nil {
		return nil, err
	}
	if !slices.Contains(choices(), choice) {
		return nil, hubgate.Reject("There is no choice '" + choice + "'.")
	}
	voter := cmp.Or(call.Client.UserID, call.Client.ID)
	isFirst, err := state.CompareAndSet("vote/"+voter, nil, []byte(choice))
	if err != nil {
		return nil, err
	}
	if !isFirst {
		return nil, hubgate.Reject("You have voted already.")
	}
	if _, err := state.Increment("count/"+choice, 1); err != nil {
		return nil, err
	}
	now, err := counts()
	if err != nil {
		return nil, err
	}
	return now, hub.SendAll("counts", now)
}

// counts is an object, in the order of the choices.
func counts() (hubgate.Payload, error) {
	var entries []string
	for _, choice := range choices() {
		votes, err := state.Increment("count/"+choice, 0)
		if err != nil {
			return nil, err
		}
		name, err := json.Marshal(choice)
		if err != nil {
			return nil, err
		}
		entries = append(entries, fmt.Sprintf("%s:%d", name, votes))
	}
	return hubgate.JSON("{" + strings.Join(entries, ",") + "}"), nil
}

func main() {}
