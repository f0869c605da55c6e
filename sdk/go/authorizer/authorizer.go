// Package authorizer decides who may become a client, and as whom. A plugin that imports it and no handler is a negotiator.
package authorizer

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unsafe"

	"hubgate"
	"hubgate/internal/abi"
	"hubgate/internal/values"
)

// Request is that of one who wants to become a client. What is not there is empty.
type Request struct {
	Hub           string
	Headers       []hubgate.Pair
	QueryItems    []hubgate.Pair
	RemoteAddress string
}

// Header is the first of this name, whatever its case.
func (request *Request) Header(name string) string {
	for _, pair := range request.Headers {
		if strings.EqualFold(pair.Name, name) {
			return pair.Value
		}
	}
	return ""
}

// Query is the first item of this name in the query, decoded.
func (request *Request) Query(name string) string {
	for _, pair := range request.QueryItems {
		if pair.Name == name {
			return pair.Value
		}
	}
	return ""
}

// Cookie is the first of this name, as it stands in the request.
func (request *Request) Cookie(name string) string {
	for _, pair := range request.Headers {
		if !strings.EqualFold(pair.Name, "cookie") {
			continue
		}
		for cookie := range strings.SplitSeq(pair.Value, ";") {
			if each, value, is := strings.Cut(cookie, "="); is && strings.TrimSpace(each) == name {
				return strings.TrimSpace(value)
			}
		}
	}
	return ""
}

// BearerToken is that of the header "Authorization: Bearer …".
func (request *Request) BearerToken() string {
	scheme, token, _ := strings.Cut(request.Header("authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Grant is as whom a client may come.
type Grant struct {
	// UserID is empty for a client without a user.
	UserID string
	Claims []hubgate.Pair
	// Groups are those that it is in from the beginning.
	Groups []string
	// Lifetime is in whole seconds; 0 leaves it to the gateway.
	Lifetime time.Duration
}

type refusal struct {
	tag  uint8
	text string
}

func (refusal refusal) Error() string { return refusal.text }

// Unauthorized refuses, as it is not known who asks: 401, with the text.
func Unauthorized(text string) error { return refusal{0, text} }

// Forbidden refuses who may not come: 403, with the text. So does [hubgate.Reject].
func Forbidden(text string) error { return refusal{1, text} }

var authorize = func(request *Request) (Grant, error) {
	return Grant{}, hubgate.Fail(fmt.Sprintf("this plugin has no authorizer for the hub '%s'", request.Hub))
}

// Authorize says what decides who may come, where hubs.NAME.negotiate names the plugin. An error that is neither [Unauthorized] nor
// [Forbidden] is for the log.
func Authorize(function func(request *Request) (Grant, error)) { authorize = function }

func refusalOf(err error) (tag uint8, text string) {
	var refused refusal
	var rejected hubgate.Rejection
	switch {
	case errors.As(err, &refused):
		return refused.tag, refused.text
	case errors.As(err, &rejected):
		return 1, string(rejected)
	}
	return 2, err.Error()
}

// What the gateway reads after the export has returned.
var answer struct {
	abi.Case
	// A grant, or a refusal at the same place.
	user           abi.Choice
	claims, groups abi.List
	hasLifetime    abi.Case
	seconds        uint32
}

//go:wasmexport hubgate:plugin/authorizer@0.1.0#authorize
func exportAuthorize(hub, hubLength, headers, headersLength, query, queryLength, address, addressLength uint32) unsafe.Pointer {
	grant, err := authorize(&Request{
		Hub:           abi.TakeString(abi.List{At: hub, Length: hubLength}),
		Headers:       values.TakePairs(abi.List{At: headers, Length: headersLength}),
		QueryItems:    values.TakePairs(abi.List{At: query, Length: queryLength}),
		RemoteAddress: abi.TakeString(abi.List{At: address, Length: addressLength}),
	})
	abi.Collect()
	if err != nil {
		tag, text := refusalOf(err)
		answer.Tag, answer.user = 1, abi.Variant(tag, abi.LendString(text))
		return unsafe.Pointer(&answer)
	}
	answer.Tag, answer.user = 0, abi.Option(grant.UserID != "", abi.LendString(grant.UserID))
	answer.claims, answer.groups = values.LendPairs(grant.Claims), values.LendStrings(grant.Groups)
	answer.hasLifetime.Tag, answer.seconds = 0, 0
	if grant.Lifetime != 0 {
		answer.hasLifetime.Tag = 1
		answer.seconds = uint32(min(abi.Whole(grant.Lifetime, time.Second), math.MaxUint32))
	}
	return unsafe.Pointer(&answer)
}
