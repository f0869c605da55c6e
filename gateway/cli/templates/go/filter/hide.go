package main

import "strings"

// hide replaces each `secret` in a text.
func hide(text string) string { return strings.ReplaceAll(text, "secret", "******") }
