#pragma once

#include <stdbool.h>
#include <stddef.h>

// Replaces each `secret` in `text` by `******`, in place; says whether there was one.
bool hide(char *text, size_t length);
