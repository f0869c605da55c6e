#include "answers.h"

#include <string.h>

static size_t skip_space(const char *text, size_t at, size_t end) {
  while (at < end && strchr(" \t\r\n", text[at]) != NULL) at++;
  return at;
}

size_t greet(const char *arguments, size_t length, char *greeting, size_t room) {
  size_t at = skip_space(arguments, 0, length);
  if (at == length || arguments[at] != '[') return 0;
  at = skip_space(arguments, at + 1, length);
  if (at == length || arguments[at] != '"') return 0;
  size_t start = ++at;
  // The escapes of the name are as good in the answer.
  while (at < length && arguments[at] != '"') at += arguments[at] == '\\' ? 2 : 1;
  if (at >= length) return 0;

  static const char before[] = "\"Hello, ";
  size_t name = at - start, opening = sizeof before - 1, total = opening + name + 2;
  if (total > room) return 0;
  memcpy(greeting, before, opening);
  memcpy(greeting + opening, arguments + start, name);
  memcpy(greeting + opening + name, "!\"", 2);
  return total;
}
