// {{test}}

#include "../hide.h"

#include <stdio.h>

static int failures = 0;

static void expect(const char *text, const char *expected) {
  hubgate_text hidden = hubgate_text_of(text);
  bool is_found = hide(&hidden);
  if (hubgate_equals(hidden, expected) && is_found == !hubgate_equals(hidden, text)) return;
  printf("%s: %.*s instead of %s\n", text, (int)hidden.length, hidden.at, expected);
  failures++;
}

int main(void) {
  expect("[\"a secret\"]", "[\"a ******\"]");
  expect("secretsecret", "************");
  expect("secre", "secre");
  expect("", "");
  return failures;
}
