// Package config has the plugin's own values of the gateway's configuration.
package config

import (
	"unsafe"

	"hubgate/internal/abi"
)

// Get gives a value, and whether there is one.
func Get(key string) (string, bool) {
	abi.Collect()
	var value abi.Choice
	abi.ConfigGet(abi.TextOf(key), unsafe.Pointer(&value))
	if value.Tag == 0 {
		return "", false
	}
	return abi.TakeString(value.Value), true
}

// GetOr gives a value, or another one where there is none.
func GetOr(key, otherwise string) string {
	if value, is := Get(key); is {
		return value
	}
	return otherwise
}
