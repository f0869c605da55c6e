// Package http sends requests to the endpoints that the plugin's allow-http lists.
package http

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"hubgate"
	"hubgate/internal/abi"
	"hubgate/internal/values"
)

// Request is one to send. A timeout of 0 leaves it to the call's own.
type Request struct {
	Method, URL string
	Headers     []hubgate.Pair
	Body        []byte
	Timeout     time.Duration
}

// Response is what came back, whatever its status.
type Response struct {
	Status  uint16
	Headers []hubgate.Pair
	Body    []byte
}

var (
	// ErrDenied says that the endpoint is not allowed.
	ErrDenied = errors.New("http: denied")
	// ErrTimedOut says that there was no answer in time.
	ErrTimedOut = errors.New("http: timed out")
	// ErrTooLarge is that of a request or a response.
	ErrTooLarge = errors.New("http: too large")
)

// Send sends a request and waits for its response.
func Send(request Request) (Response, error) {
	abi.Collect()
	headers, body := values.LendPairs(request.Headers), abi.Lend(request.Body)
	var timeout []time.Duration
	if request.Timeout != 0 {
		timeout = []time.Duration{request.Timeout}
	}
	hasTimeout, milliseconds := abi.TimeToLive(timeout)
	var result struct {
		abi.Case
		status        uint32
		headers, body abi.List
	}
	abi.HTTPSend(abi.TextOf(request.Method), abi.TextOf(request.URL), headers.At, headers.Length, body.At, body.Length, hasTimeout, uint32(milliseconds),
		unsafe.Pointer(&result))
	if result.Tag == 1 {
		return Response{}, failure(*(*abi.Choice)(unsafe.Pointer(&result.status)))
	}
	return Response{uint16(result.status), values.TakePairs(result.headers), abi.Take[byte](result.body)}, nil
}

func failure(lent abi.Choice) error {
	switch lent.Tag {
	case 0:
		return fmt.Errorf("%w: %s", ErrDenied, abi.TakeString(lent.Value))
	case 1:
		return ErrTimedOut
	case 2:
		return ErrTooLarge
	}
	return errors.New("http: " + abi.TakeString(lent.Value))
}
