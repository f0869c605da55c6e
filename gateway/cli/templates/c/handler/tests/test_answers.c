// cc -o /tmp/test tests/test_answers.c answers.c && /tmp/test

#include "../answers.h"

#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(const char *arguments, const char *expected) {
  char greeting[64];
  size_t length = greet(arguments, strlen(arguments), greeting, sizeof greeting);
  if (length == strlen(expected) && memcmp(greeting, expected, length) == 0) return;
  printf("%s: %.*s instead of %s\n", arguments, (int)length, greeting, expected);
  failures++;
}

int main(void) {
  expect("[\"ann\"]", "\"Hello, ann!\"");
  expect(" [ \"a \\\"b\\\"\", 1]", "\"Hello, a \\\"b\\\"!\"");
  expect("[1]", "");
  expect("[]", "");
  expect("[\"no end", "");
  expect("[\"no end\\", "");
  return failures;
}
