//go:build tools

// Package tools pins the ACME server that the tests ask for certificates.
package tools

import _ "github.com/letsencrypt/pebble/v2/cmd/pebble"
