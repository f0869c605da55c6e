// Memory, texts, answers, and values as JSON: all that asks the gateway nothing, so that tests run on any machine.
#include "hubgate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Memory: blocks, of which all but a small one are given back when a call ends.

typedef struct block {
  struct block *next;
  size_t size, used;
  uint64_t bytes[];
} block;

enum { SMALL = 4096 - sizeof(block) };
static block *blocks;
static hubgate_text problem = {"", 0};

hubgate_text hubgate_problem(void) { return problem; }

void hubgate_set_problem(hubgate_text text) { problem = text; }

void *hubgate_allocate(size_t size) {
  // Aligned for every type.
  size_t rounded = (size + 7) & ~(size_t)7;
  if (rounded < size) __builtin_trap();
  if (blocks == NULL || blocks->size - blocks->used < rounded) {
    size_t room = rounded > SMALL ? rounded : SMALL;
    if (room + sizeof(block) < room) __builtin_trap();
    block *added = malloc(sizeof(block) + room);
    // The gateway says that the plugin has no memory left.
    if (added == NULL) __builtin_trap();
    *added = (block){blocks, room, 0};
    blocks = added;
  }
  void *allocated = (char *)blocks->bytes + blocks->used;
  blocks->used += rounded;
  return allocated;
}

void hubgate_end(const void *answer) {
  (void)answer;
  problem = (hubgate_text){"", 0};
  while (blocks != NULL && (blocks->next != NULL || blocks->size > SMALL)) {
    block *next = blocks->next;
    free(blocks);
    blocks = next;
  }
  if (blocks != NULL) blocks->used = 0;
}

#ifdef __wasm__
// The room for what the gateway passes. A NUL follows.
__attribute__((export_name("cabi_realloc"))) void *hubgate_reallocate(void *old, size_t old_size, size_t align, size_t size) {
  (void)align;
  char *room = hubgate_allocate(size + 1);
  if (old_size > 0) memcpy(room, old, old_size < size ? old_size : size);
  room[size] = 0;
  return room;
}

// What the adapter to WASI keeps for itself.
__attribute__((export_name("cabi_realloc_adapter"))) void *hubgate_reallocate_adapter(void *old, size_t old_size, size_t align,
                                                                                      size_t size) {
  (void)old, (void)old_size;
  void *room = aligned_alloc(align, (size + align - 1) / align * align);
  if (room == NULL) __builtin_trap();
  return room;
}
#endif

// ---- Answers

enum { REJECTED, FAILED };

hubgate_answer hubgate_done(void) { return (hubgate_answer){0}; }

hubgate_answer hubgate_reply_payload(hubgate_payload payload) { return (hubgate_answer){.value = {1, payload}}; }

hubgate_answer hubgate_reject_text(hubgate_text text) {
  return (hubgate_answer){.is_error = 1, .error = {REJECTED, text}};
}

hubgate_answer hubgate_fail_text(hubgate_text text) { return (hubgate_answer){.is_error = 1, .error = {FAILED, text}}; }

// ---- Texts

hubgate_text hubgate_text_same(hubgate_text text) { return text; }

hubgate_text hubgate_text_of(const char *text) { return (hubgate_text){text, strlen(text)}; }

bool hubgate_text_equals(hubgate_text one, hubgate_text other) {
  return one.length == other.length && memcmp(one.at, other.at, one.length) == 0;
}

hubgate_text hubgate_text_join(const hubgate_text *texts, size_t count) {
  size_t length = 0;
  for (size_t index = 0; index < count; index++) length += texts[index].length;
  char *joined = hubgate_allocate(length + 1), *end = joined;
  for (size_t index = 0; index < count; index++) {
    memcpy(end, texts[index].at, texts[index].length);
    end += texts[index].length;
  }
  *end = 0;
  return (hubgate_text){joined, length};
}

static hubgate_text copied(hubgate_text text) { return hubgate_text_join(&text, 1); }

bool hubgate_split(hubgate_text *rest, char separator, hubgate_text *part) {
  if (rest->at == NULL) return false;
  const char *end = rest->length > 0 ? memchr(rest->at, separator, rest->length) : NULL;
  size_t length = end != NULL ? (size_t)(end - rest->at) : rest->length;
  *part = copied((hubgate_text){rest->at, length});
  *rest = end != NULL ? (hubgate_text){end + 1, rest->length - length - 1} : (hubgate_text){NULL, 0};
  return true;
}

static hubgate_text digits(bool is_negative, uint64_t value) {
  char buffer[24];
  size_t at = sizeof buffer;
  do {
    buffer[--at] = (char)('0' + value % 10);
    value /= 10;
  } while (value > 0);
  if (is_negative) buffer[--at] = '-';
  return copied((hubgate_text){buffer + at, sizeof buffer - at});
}

hubgate_text hubgate_digits(int64_t value) { return digits(value < 0, value < 0 ? -(uint64_t)value : (uint64_t)value); }

hubgate_text hubgate_unsigned_digits(uint64_t value) { return digits(false, value); }

// ---- Values that are written

hubgate_json hubgate_json_same(hubgate_json value) { return value; }
hubgate_json hubgate_json_raw(const char *text) { return (hubgate_json){hubgate_text_of(text)}; }
hubgate_json hubgate_json_string(const char *text) { return hubgate_json_text(hubgate_text_of(text)); }
hubgate_json hubgate_json_integer(int64_t value) { return (hubgate_json){hubgate_digits(value)}; }
hubgate_json hubgate_json_unsigned(uint64_t value) { return (hubgate_json){hubgate_unsigned_digits(value)}; }
hubgate_json hubgate_json_bool(bool value) { return hubgate_json_raw(value ? "true" : "false"); }

hubgate_json hubgate_json_number(double value) {
  char text[32];
  snprintf(text, sizeof text, "%.17g", value);
  // JSON has no infinities.
  bool is_finite = text[0] != 'i' && text[1] != 'i' && text[0] != 'n' && text[1] != 'n';
  return (hubgate_json){is_finite ? copied(hubgate_text_of(text)) : hubgate_text_of("null")};
}

hubgate_json hubgate_json_text(hubgate_text text) {
  static const char hexadecimal[] = "0123456789abcdef";
  // `\u0000` is the longest that a byte becomes.
  size_t length = 2;
  for (size_t index = 0; index < text.length; index++) {
    unsigned char letter = (unsigned char)text.at[index];
    length += letter < 0x20 ? 6 : letter == '"' || letter == '\\' ? 2 : 1;
  }
  char *written = hubgate_allocate(length + 1), *end = written;
  *end++ = '"';
  for (size_t index = 0; index < text.length; index++) {
    unsigned char letter = (unsigned char)text.at[index];
    if (letter < 0x20) {
      memcpy(end, "\\u00", 4);
      end[4] = hexadecimal[letter >> 4];
      end[5] = hexadecimal[letter & 15];
      end += 6;
      continue;
    }
    if (letter == '"' || letter == '\\') *end++ = '\\';
    *end++ = (char)letter;
  }
  *end++ = '"';
  *end = 0;
  return (hubgate_json){{written, length}};
}

hubgate_json hubgate_json_array(const hubgate_json *values, size_t count) {
  hubgate_text *pieces = hubgate_allocate((2 * count + 2) * sizeof *pieces);
  size_t length = 0;
  pieces[length++] = hubgate_text_of("[");
  for (size_t index = 0; index < count; index++) {
    if (index > 0) pieces[length++] = hubgate_text_of(",");
    pieces[length++] = values[index].text;
  }
  pieces[length++] = hubgate_text_of("]");
  return (hubgate_json){hubgate_text_join(pieces, length)};
}

// An array or an object with one more entry before its last letter.
static hubgate_json extended(hubgate_text whole, hubgate_text entry) {
  if (whole.length < 2) __builtin_trap();
  hubgate_text pieces[] = {
      {whole.at, whole.length - 1},
      hubgate_text_of(whole.length > 2 ? "," : ""),
      entry,
      {whole.at + whole.length - 1, 1},
  };
  return (hubgate_json){hubgate_text_join(pieces, 4)};
}

hubgate_json hubgate_json_append(hubgate_json array, hubgate_json value) { return extended(array.text, value.text); }

hubgate_json hubgate_json_with(hubgate_json object, hubgate_text key, hubgate_json value) {
  hubgate_text entry[] = {hubgate_json_text(key).text, hubgate_text_of(":"), value.text};
  return extended(object.text, hubgate_text_join(entry, 3));
}

// ---- Values that are read. The gateway has checked that they are JSON; whatever they are, nothing beyond their end is read.

static bool is_space(char letter) { return letter == ' ' || letter == '\t' || letter == '\r' || letter == '\n'; }

static hubgate_text trimmed(hubgate_text text) {
  while (text.length > 0 && is_space(text.at[0])) text.at++, text.length--;
  while (text.length > 0 && is_space(text.at[text.length - 1])) text.length--;
  return text;
}

// The next entry of an array whose rest begins after `[` or `,`; false at its end.
static bool next_entry(hubgate_text *rest, hubgate_text *entry) {
  size_t depth = 0, at = 0;
  bool is_in_string = false;
  for (; at < rest->length; at++) {
    char letter = rest->at[at];
    if (is_in_string) {
      if (letter == '\\') at++;
      if (letter == '"') is_in_string = false;
      continue;
    }
    if (letter == '"') is_in_string = true;
    if (letter == '[' || letter == '{') depth++;
    if (depth == 0 && (letter == ',' || letter == ']')) break;
    if (letter == ']' || letter == '}') depth--;
  }
  if (at >= rest->length) return false;
  *entry = trimmed((hubgate_text){rest->at, at});
  bool is_last = rest->at[at] == ']';
  *rest = is_last ? (hubgate_text){"", 0} : (hubgate_text){rest->at + at + 1, rest->length - at - 1};
  return entry->length > 0;
}

static bool array_of(hubgate_payload payload, hubgate_text *rest) {
  hubgate_text text = trimmed(payload.bytes);
  if (payload.format != HUBGATE_JSON_TEXT || text.length < 2 || text.at[0] != '[') return false;
  *rest = (hubgate_text){text.at + 1, text.length - 1};
  return true;
}

static size_t count_of(hubgate_payload arguments) {
  hubgate_text rest, entry;
  size_t count = 0;
  if (!array_of(arguments, &rest)) return 0;
  while (next_entry(&rest, &entry)) count++;
  return count;
}

size_t hubgate_count(const hubgate_call *call) { return count_of(call->arguments); }

hubgate_answer hubgate_wrong_arguments(void) { return hubgate_reject_text(problem); }

bool hubgate_read_one(hubgate_payload arguments, size_t index, hubgate_slot slot) {
  hubgate_text rest, entry;
  if (!array_of(arguments, &rest)) return false;
  do {
    if (!next_entry(&rest, &entry)) return false;
  } while (index-- > 0);
  return slot.read(entry, slot.into);
}

bool hubgate_read_all(hubgate_payload arguments, const hubgate_slot *slots, size_t count) {
  size_t given = count_of(arguments);
  problem = hubgate_text_of("Wrong arguments: this method reads JSON.");
  if (arguments.format != HUBGATE_JSON_TEXT) return false;
  problem = hubgate_concat("Wrong arguments: ", given, " instead of ", count, ".");
  if (given != count) return false;
  for (size_t index = 0; index < count; index++) {
    problem = hubgate_concat("Wrong argument ", index + 1, ": it has another type.");
    if (!hubgate_read_one(arguments, index, slots[index])) return false;
  }
  return true;
}

bool hubgate_read_json(hubgate_json json, hubgate_slot slot) { return slot.read(trimmed(json.text), slot.into); }

bool hubgate_read_raw(hubgate_text json, void *into) {
  *(hubgate_json *)into = (hubgate_json){copied(json)};
  return true;
}

bool hubgate_read_bool(hubgate_text json, void *into) {
  *(bool *)into = hubgate_equals(json, "true");
  return *(bool *)into || hubgate_equals(json, "false");
}

bool hubgate_read_64(hubgate_text json, void *into) {
  bool is_negative = json.length > 0 && json.at[0] == '-';
  uint64_t value = 0, most = is_negative ? (uint64_t)1 << 63 : INT64_MAX;
  for (size_t index = is_negative; index < json.length; index++) {
    unsigned digit = (unsigned)(json.at[index] - '0');
    if (digit > 9 || value > (most - digit) / 10) return false;
    value = 10 * value + digit;
  }
  *(long long *)into = is_negative ? (long long)(0 - value) : (long long)value;
  return json.length > is_negative;
}

bool hubgate_read_32(hubgate_text json, void *into) {
  long long value;
  if (!hubgate_read_64(json, &value) || value < INT32_MIN || value > INT32_MAX) return false;
  *(int *)into = (int)value;
  return true;
}

bool hubgate_read_long(hubgate_text json, void *into) {
  long long value;
  if (!hubgate_read_64(json, &value) || (long)value != value) return false;
  *(long *)into = (long)value;
  return true;
}

bool hubgate_read_double(hubgate_text json, void *into) {
  if (json.length == 0 || (json.at[0] != '-' && (json.at[0] < '0' || json.at[0] > '9'))) return false;
  *(double *)into = strtod(copied(json).at, NULL);
  return true;
}

static bool hexadecimal_of(const char *at, const char *end, unsigned *value) {
  if (end - at < 4) return false;
  *value = 0;
  for (int index = 0; index < 4; index++) {
    char letter = at[index];
    unsigned digit = letter >= '0' && letter <= '9'   ? (unsigned)(letter - '0')
                     : letter >= 'a' && letter <= 'f' ? (unsigned)(letter - 'a' + 10)
                     : letter >= 'A' && letter <= 'F' ? (unsigned)(letter - 'A' + 10)
                                                      : 16;
    if (digit > 15) return false;
    *value = 16 * *value + digit;
  }
  return true;
}

static char *utf8(char *end, unsigned letter) {
  if (letter < 0x80) {
    *end++ = (char)letter;
  } else if (letter < 0x800) {
    *end++ = (char)(0xc0 | letter >> 6);
    *end++ = (char)(0x80 | (letter & 63));
  } else if (letter < 0x10000) {
    *end++ = (char)(0xe0 | letter >> 12);
    *end++ = (char)(0x80 | (letter >> 6 & 63));
    *end++ = (char)(0x80 | (letter & 63));
  } else {
    *end++ = (char)(0xf0 | letter >> 18);
    *end++ = (char)(0x80 | (letter >> 12 & 63));
    *end++ = (char)(0x80 | (letter >> 6 & 63));
    *end++ = (char)(0x80 | (letter & 63));
  }
  return end;
}

// What follows `\u`, and the second half of a pair after it.
static bool escaped_letter(const char **at, const char *end, unsigned *letter) {
  unsigned low;
  if (!hexadecimal_of(*at, end, letter)) return false;
  *at += 4;
  if (*letter < 0xd800 || *letter > 0xdfff) return true;
  bool is_pair = *letter < 0xdc00 && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' &&
                 hexadecimal_of(*at + 2, end, &low) && low >= 0xdc00 && low <= 0xdfff;
  if (is_pair) {
    *letter = 0x10000 + ((*letter - 0xd800) << 10) + (low - 0xdc00);
    *at += 6;
  } else {
    *letter = 0xfffd;
  }
  return true;
}

bool hubgate_read_text(hubgate_text json, void *into) {
  if (json.length < 2 || json.at[0] != '"' || json.at[json.length - 1] != '"') return false;
  const char *at = json.at + 1, *end = json.at + json.length - 1;
  // No escape is shorter than what it stands for.
  char *text = hubgate_allocate(json.length), *written = text;
  while (at < end) {
    if (*at != '\\') {
      *written++ = *at++;
      continue;
    }
    if (++at == end) return false;
    static const char escapes[] = "\"\\/bfnrt", letters[] = "\"\\/\b\f\n\r\t";
    const char *escape = *at == 0 ? NULL : strchr(escapes, *at);
    if (escape != NULL) {
      *written++ = letters[escape - escapes];
      at++;
      continue;
    }
    unsigned letter;
    if (*at++ != 'u' || !escaped_letter(&at, end, &letter)) return false;
    written = utf8(written, letter);
  }
  *written = 0;
  *(hubgate_text *)into = (hubgate_text){text, (size_t)(written - text)};
  return true;
}
