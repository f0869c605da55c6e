#include "messagepack.h"

#include <string.h>

reader reader_of(hubgate_payload payload) {
  const unsigned char *bytes = (const unsigned char *)payload.bytes.at;
  return (reader){bytes, payload.format == HUBGATE_MESSAGEPACK ? bytes + payload.bytes.length : bytes};
}

// The marker if it is one of those, and the length in the bytes after it.
static bool read_length(reader *reader, unsigned marker, size_t bytes, size_t *length) {
  if (reader->at == reader->end || *reader->at != marker || (size_t)(reader->end - reader->at) <= bytes) return false;
  *length = 0;
  for (size_t index = 1; index <= bytes; index++) *length = *length << 8 | reader->at[index];
  reader->at += 1 + bytes;
  return true;
}

static bool read_bytes(reader *reader, size_t length, hubgate_text *bytes) {
  if ((size_t)(reader->end - reader->at) < length) return false;
  *bytes = (hubgate_text){(const char *)reader->at, length};
  reader->at += length;
  return true;
}

bool read_array(reader *reader, size_t entries) {
  size_t length;
  if (read_length(reader, 0x90 | (unsigned)entries, 0, &length)) return true;
  return read_length(reader, 0xdc, 2, &length) && length == entries;
}

bool read_text(reader *reader, hubgate_text *text) {
  size_t length;
  if (reader->at < reader->end && (*reader->at & 0xe0) == 0xa0) {
    length = *reader->at++ & 0x1f;
    return read_bytes(reader, length, text);
  }
  bool is_text = read_length(reader, 0xd9, 1, &length) || read_length(reader, 0xda, 2, &length) ||
                 read_length(reader, 0xdb, 4, &length);
  return is_text && read_bytes(reader, length, text);
}

bool read_binary(reader *reader, hubgate_text *bytes) {
  size_t length;
  bool is_binary = read_length(reader, 0xc4, 1, &length) || read_length(reader, 0xc5, 2, &length) ||
                   read_length(reader, 0xc6, 4, &length);
  return is_binary && read_bytes(reader, length, bytes);
}

static hubgate_payload payload_of(const void *bytes, size_t length) {
  return (hubgate_payload){HUBGATE_MESSAGEPACK, {bytes, length}};
}

hubgate_payload messagepack_nil(void) { return payload_of("\xc0", 1); }

static unsigned char *big_endian(unsigned char *end, uint64_t value, int bytes) {
  while (bytes-- > 0) *end++ = (unsigned char)(value >> 8 * bytes);
  return end;
}

hubgate_payload messagepack_number(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  unsigned char *bytes = hubgate_allocate(9);
  bytes[0] = 0xcb;
  big_endian(bytes + 1, bits, 8);
  return payload_of(bytes, 9);
}

hubgate_payload messagepack_binary(hubgate_text content) {
  unsigned char *bytes = hubgate_allocate(5 + content.length);
  bytes[0] = 0xc6;
  memcpy(big_endian(bytes + 1, content.length, 4), content.at, content.length);
  return payload_of(bytes, 5 + content.length);
}
