#include "hide.h"

#include <string.h>

bool hide(char *text, size_t length) {
  static const char word[] = "secret";
  const size_t size = sizeof word - 1;
  bool is_found = false;
  for (size_t at = 0; at + size <= length; at++) {
    if (memcmp(text + at, word, size) != 0) continue;
    memset(text + at, '*', size);
    is_found = true;
  }
  return is_found;
}
