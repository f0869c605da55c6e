package main

func greeting(name string) string { return "Hello, " + name + "!" }

func numbersDownFrom(from int) []any {
	numbers := []any{}
	for ; from > 0; from-- {
		numbers = append(numbers, from)
	}
	return numbers
}
