// Package arguments reads the arguments of a call, and says in the words of a client what is wrong with them.
package arguments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Read reads an array into what is pointed to, one entry for each pointer. It gives what is wrong, or nothing.
func Read(method string, array []byte, into []any) (mistake string) {
	var given []json.RawMessage
	if err := json.Unmarshal(array, &given); err != nil {
		return "Wrong arguments: they are not a list."
	}
	if len(given) != len(into) {
		return fmt.Sprintf("Wrong arguments: %s takes %d, got %d.", method, len(into), len(given))
	}
	for at, value := range given {
		if mistake := readOne(at+1, value, into[at]); mistake != "" {
			return mistake
		}
	}
	return ""
}

// Decode reads one value. Numbers keep their digits where any type takes them.
func Decode(value []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	return decoder.Decode(into)
}

func readOne(number int, value []byte, into any) string {
	target := reflect.TypeOf(into).Elem()
	found := kindOf(value)
	if found == null && !takesNull(target, into) {
		return unlike(fmt.Sprintf("argument %d", number), kindInto(target), null)
	}
	err := Decode(value, into)
	if err == nil {
		return ""
	}
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return fmt.Sprintf("Wrong arguments: argument %d cannot be read.", number)
	}
	place := fmt.Sprintf("argument %d", number)
	if wanted := kindInto(target); wanted == list && found == list || wanted == object && found == object {
		// `json` counts to where it stopped: the end of what is wrong.
		place, target, found = "something in "+place, wrong.Type, kindOf([]byte(described(wrong.Value)))
	}
	return unlike(place, kindInto(target), found)
}

func unlike(place string, wanted, found kind) string {
	if wanted == integer && found == integer {
		return fmt.Sprintf("Wrong arguments: %s is out of range.", place)
	}
	return fmt.Sprintf("Wrong arguments: %s must be %s, not %s.", place, wanted, found)
}

// kind is what a client calls a value.
type kind string

const (
	text     kind = "a string"
	integer  kind = "an integer"
	floating kind = "a number"
	boolean  kind = "true or false"
	list     kind = "a list"
	object   kind = "an object"
	null     kind = "null"
)

// kindOf takes a value, or the beginning of one.
func kindOf(value []byte) kind {
	switch value = bytes.TrimSpace(value); {
	case value[0] == '"':
		return text
	case value[0] == '[':
		return list
	case value[0] == '{':
		return object
	case value[0] == 't' || value[0] == 'f':
		return boolean
	case value[0] == 'n':
		return null
	case bytes.ContainsAny(value, ".eE"):
		return floating
	}
	return integer
}

// described is the beginning of a value like the one that encoding/json describes: `bool`, `string`, `number 1.5`, and so on.
func described(value string) string {
	if digits, is := strings.CutPrefix(value, "number "); is {
		return digits
	}
	switch value {
	case "string":
		return `"`
	case "array":
		return "["
	case "object":
		return "{"
	case "bool":
		return "true"
	}
	return "0"
}

func kindInto(target reflect.Type) kind {
	switch target.Kind() {
	case reflect.Pointer:
		return kindInto(target.Elem())
	case reflect.String:
		return text
	case reflect.Bool:
		return boolean
	case reflect.Float32, reflect.Float64:
		return floating
	case reflect.Slice, reflect.Array:
		// Bytes are in base64.
		if target.Kind() == reflect.Slice && target.Elem().Kind() == reflect.Uint8 {
			return text
		}
		return list
	case reflect.Map, reflect.Struct:
		return object
	}
	return integer
}

// takesNull says whether null is a value of the target, and not merely passed over.
func takesNull(target reflect.Type, into any) bool {
	_, decides := into.(json.Unmarshaler)
	return decides || target.Kind() == reflect.Pointer || target.Kind() == reflect.Interface
}
