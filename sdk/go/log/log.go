// Package log writes to the plugin's log. Names and values of fields may follow the text in turn, as with log/slog.
package log

import (
	"fmt"

	"hubgate"
	"hubgate/internal/abi"
	"hubgate/internal/values"
)

// Level is how much a line matters.
type Level uint32

const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)

func Debug(text string, fields ...any) { Write(LevelDebug, text, pairs(fields)) }
func Info(text string, fields ...any)  { Write(LevelInfo, text, pairs(fields)) }
func Warn(text string, fields ...any)  { Write(LevelWarn, text, pairs(fields)) }
func Error(text string, fields ...any) { Write(LevelError, text, pairs(fields)) }

// Write writes a line.
func Write(level Level, text string, fields []hubgate.Pair) {
	abi.Collect()
	lent := values.LendPairs(fields)
	abi.LogWrite(uint32(level), abi.TextOf(text), lent.At, lent.Length)
}

func pairs(fields []any) []hubgate.Pair {
	var pairs []hubgate.Pair
	for at := 0; at < len(fields); at += 2 {
		pair := hubgate.Pair{Name: fmt.Sprint(fields[at]), Value: "(missing)"}
		if at+1 < len(fields) {
			pair.Value = fmt.Sprint(fields[at+1])
		}
		pairs = append(pairs, pair)
	}
	return pairs
}
