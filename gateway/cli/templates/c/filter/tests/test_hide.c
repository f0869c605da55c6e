// cc -o /tmp/test tests/test_hide.c hide.c && /tmp/test

#include "../hide.h"

#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(const char *text, const char *expected) {
  char hidden[64];
  strcpy(hidden, text);
  bool is_found = hide(hidden, strlen(hidden));
  if (strcmp(hidden, expected) == 0 && is_found == (strcmp(text, expected) != 0)) return;
  printf("%s: %s instead of %s\n", text, hidden, expected);
  failures++;
}

int main(void) {
  expect("[\"a secret\"]", "[\"a ******\"]");
  expect("secretsecret", "************");
  expect("secre", "secre");
  expect("", "");
  return failures;
}
