#include "hide.h"

#include <string.h>

bool hide(hubgate_text *text) {
  static const char word[] = "secret";
  const size_t size = sizeof word - 1;
  char *hidden = hubgate_allocate(text->length);
  memcpy(hidden, text->at, text->length);
  bool is_found = false;
  for (size_t at = 0; at + size <= text->length; at++) {
    if (memcmp(hidden + at, word, size) != 0) continue;
    memset(hidden + at, '*', size);
    is_found = true;
  }
  *text = (hubgate_text){hidden, text->length};
  return is_found;
}
