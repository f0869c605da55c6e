#pragma once

#include "hubgate/hubgate.h"

hubgate_text greeting(hubgate_text name);
bool is_countable(int64_t from);
