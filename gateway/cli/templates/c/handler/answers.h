#pragma once

#include "hubgate/hubgate.h"

hubgate_text greeting(hubgate_text name);
