#include "answers.h"

hubgate_text greeting(hubgate_text name) { return hubgate_concat("Hello, ", name, "!"); }
