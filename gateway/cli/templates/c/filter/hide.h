#pragma once

#include "hubgate/hubgate.h"

// Makes `text` one in which each `secret` is `******`; says whether there was one.
bool hide(hubgate_text *text);
