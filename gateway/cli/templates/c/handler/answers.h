#pragma once

#include <stddef.h>

// Writes the greeting for the first argument of `arguments`, a JSON array, as JSON into `greeting`. Gives its length in
// bytes, or 0 if there is no text to greet or no room.
size_t greet(const char *arguments, size_t length, char *greeting, size_t room);
