// As much of MessagePack as the sensors need: https://github.com/msgpack/msgpack/blob/master/spec.md
#pragma once

#include "hubgate/hubgate.h"

typedef struct {
  const unsigned char *at, *end;
} reader;

// Whatever is in another format than MessagePack has nothing to read.
reader reader_of(hubgate_payload payload);
// Each is false if something else comes, or if it does not end within the payload.
bool read_array(reader *reader, size_t entries);
bool read_text(reader *reader, hubgate_text *text);
bool read_binary(reader *reader, hubgate_text *bytes);

hubgate_payload messagepack_nil(void);
hubgate_payload messagepack_number(double value);
hubgate_payload messagepack_binary(hubgate_text bytes);
