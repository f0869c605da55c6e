#include "answers.h"

hubgate_text greeting(hubgate_text name) { return hubgate_concat("Hello, ", name, "!"); }

bool is_countable(int64_t from) { return from >= 0 && from <= 100; }
