// Memory, texts, answers, and values as JSON: all that asks the gateway nothing, so that tests run on any machine.
#include "hubgate.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// ---- Memory: blocks, of which all but a small one are given back when a call ends.

typedef struct block {
  struct block *next;
  size_t size, used;
  uint64_t bytes[];
} block;

enum { SMALL = 4096 - sizeof(block) };
static block *blocks;
static hubgate_text problem = {"", 0};
// What went wrong in this call unless the plugin deals with it, and what was wrong with its arguments.
static hubgate_optional mistake, wrong_arguments;

hubgate_text hubgate_problem(void) { return problem; }

void hubgate_set_problem(hubgate_text text) { problem = text; }

void hubgate_set_mistake(hubgate_text text) {
  problem = text;
  if (!mistake.is_there) mistake = (hubgate_optional){true, text};
}

hubgate_optional hubgate_mistake(void) { return mistake; }

void hubgate_forgive(void) { mistake = (hubgate_optional){0}; }

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

// Arrays and objects that are being extended, with the room that they have; those that were touched last.
static struct {
  char *at;
  size_t length, room;
} growing[8];
static size_t oldest;

void hubgate_end(const void *answer) {
  (void)answer;
  problem = (hubgate_text){"", 0};
  mistake = wrong_arguments = (hubgate_optional){0};
  memset(growing, 0, sizeof growing);
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
  return one.length == other.length && (one.length == 0 || memcmp(one.at, other.at, one.length) == 0);
}

hubgate_optional hubgate_find_text(hubgate_pairs pairs, hubgate_text name) {
  for (const hubgate_pair *pair = pairs.at; pair < pairs.at + pairs.length; pair++) {
    if (pair->name.length == name.length && strncasecmp(pair->name.at, name.at, name.length) == 0) return (hubgate_optional){true, pair->value};
  }
  return (hubgate_optional){0};
}

hubgate_text hubgate_text_join(const hubgate_text *texts, size_t count) {
  size_t length = 0;
  for (size_t index = 0; index < count; index++) length += texts[index].length;
  char *joined = hubgate_allocate(length + 1), *end = joined;
  for (size_t index = 0; index < count; index++) {
    if (texts[index].length == 0) continue;
    memcpy(end, texts[index].at, texts[index].length);
    end += texts[index].length;
  }
  *end = 0;
  return (hubgate_text){joined, length};
}

static hubgate_text copied(hubgate_text text) { return hubgate_text_join(&text, 1); }

// The length of the letter that the text begins with, 0 if it is none in UTF-8.
static size_t letter_length(const unsigned char *at, size_t length) {
  if (at[0] < 0x80) return 1;
  size_t needed = at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : at[0] >= 0xe0 && at[0] < 0xf0 ? 3 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;
  if (needed == 0 || needed > length) return 0;
  // Neither longer than it need be, nor half of a pair of surrogates, nor beyond Unicode.
  if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f)) return 0;
  if ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f)) return 0;
  for (size_t index = 1; index < needed; index++) {
    if ((at[index] & 0xc0) != 0x80) return 0;
  }
  return needed;
}

hubgate_text hubgate_well_formed(hubgate_text text) {
  const unsigned char *at = (const unsigned char *)text.at;
  size_t wrong = 0, letter;
  for (size_t index = 0; index < text.length; index += letter > 0 ? letter : 1) {
    letter = at[index] < 0x80 ? 1 : letter_length(at + index, text.length - index);
    wrong += letter == 0;
  }
  if (wrong == 0) return text;
  char *mended = hubgate_allocate(text.length + 2 * wrong + 1), *end = mended;
  for (size_t index = 0; index < text.length; index += letter > 0 ? letter : 1) {
    letter = letter_length(at + index, text.length - index);
    memcpy(end, letter > 0 ? text.at + index : "\xef\xbf\xbd", letter > 0 ? letter : 3);
    end += letter > 0 ? letter : 3;
  }
  *end = 0;
  return (hubgate_text){mended, (size_t)(end - mended)};
}

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
  // The fewest digits that read back; 17 always do.
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, NULL) == value) break;
  }
  // JSON has no infinities.
  bool is_finite = value - value == 0;
  return (hubgate_json){is_finite ? copied(hubgate_text_of(text)) : hubgate_text_of("null")};
}

hubgate_json hubgate_json_text(hubgate_text given) {
  hubgate_text text = hubgate_well_formed(given);
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

static bool is_space(char letter) { return letter == ' ' || letter == '\t' || letter == '\r' || letter == '\n'; }

static hubgate_text trimmed(hubgate_text text) {
  while (text.length > 0 && is_space(text.at[0])) text.at++, text.length--;
  while (text.length > 0 && is_space(text.at[text.length - 1])) text.length--;
  return text;
}

// The array or object is written where it is if it has room for so many bytes more, or copied to where there is.
static char *with_room(hubgate_text whole, size_t more) {
  size_t length = whole.length + more;
  size_t place = 0, count = sizeof growing / sizeof growing[0];
  while (place < count && (growing[place].at != whole.at || growing[place].length != whole.length)) place++;
  if (place < count && length < growing[place].room) {
    growing[place].length = length;
    return growing[place].at;
  }
  if (place == count) place = oldest++ % count;
  // Twice as much each time: all copies together take no more than the last one.
  size_t room = length < 32 ? 64 : 2 * length;
  char *copy = hubgate_allocate(room);
  memcpy(copy, whole.at, whole.length);
  growing[place].at = copy;
  growing[place].length = length;
  growing[place].room = room;
  return copy;
}

// One more entry before the bracket that ends it.
static hubgate_json extended(hubgate_text whole, const char *brackets, hubgate_text key, hubgate_text value) {
  if (value.at == whole.at) value = copied(value);
  hubgate_text inside = {whole.at + 1, whole.length - 2};
  bool is_empty = trimmed(inside).length == 0;
  if (is_empty) whole = (hubgate_text){brackets, 2};
  size_t more = !is_empty + key.length + value.length;
  char *at = with_room(whole, more), *end = at + whole.length - 1;
  if (!is_empty) *end++ = ',';
  if (key.length > 0) memcpy(end, key.at, key.length);
  end += key.length;
  memcpy(end, value.at, value.length);
  end += value.length;
  *end = brackets[1];
  end[1] = 0;
  return (hubgate_json){{at, whole.length + more}};
}

// What is wrong is a mistake that the call ends with, as there is no result that could say it.
static hubgate_json checked(hubgate_json given, const char *brackets, const char *wrong, hubgate_text key, hubgate_text value) {
  hubgate_text whole = trimmed(given.text), entry = trimmed(value);
  bool is_whole = whole.length >= 2 && whole.at[0] == brackets[0] && whole.at[whole.length - 1] == brackets[1];
  if (is_whole && entry.length > 0) return extended(whole, brackets, key, entry);
  whole.length = whole.length < 40 ? whole.length : 40;
  hubgate_set_mistake(is_whole ? hubgate_text_of("the value of an entry is an empty text, which is no JSON") : hubgate_concat(wrong, whole));
  return given;
}

hubgate_json hubgate_json_append(hubgate_json array, hubgate_json value) {
  const char *wrong = "hubgate_append extends an array, and each only once: ";
  return checked(array, "[]", wrong, (hubgate_text){"", 0}, value.text);
}

hubgate_json hubgate_json_with(hubgate_json object, hubgate_text key, hubgate_json value) {
  const char *wrong = "hubgate_with extends an object, and each only once: ";
  return checked(object, "{}", wrong, hubgate_concat(hubgate_json_text(key).text, ":"), value.text);
}

// ---- Values that are read. The gateway has checked that they are JSON; whatever they are, nothing beyond their end is read.

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

hubgate_answer hubgate_wrong_arguments(void) {
  return hubgate_reject_text(wrong_arguments.is_there ? wrong_arguments.text : hubgate_text_of("Wrong arguments."));
}

static bool are_wrong(hubgate_text text) {
  problem = text;
  wrong_arguments = (hubgate_optional){true, text};
  return false;
}

static bool is_number(hubgate_text json, bool *is_integer);

// What a client calls a value.
static const char *kind_of(hubgate_text json) {
  bool is_integer;
  if (is_number(json, &is_integer)) return is_integer ? "an integer" : "a number";
  char first = json.length > 0 ? json.at[0] : 0;
  if (first == '"') return "a string";
  if (first == '[') return "a list";
  if (first == '{') return "an object";
  return first == 't' || first == 'f' ? "true or false" : first == 'n' ? "null" : "no JSON";
}

static bool read_entry(hubgate_text entry, size_t index, hubgate_slot slot) {
  if (slot.read(entry, slot.into)) return true;
  hubgate_text wanted = hubgate_text_of(slot.kind), found = hubgate_text_of(kind_of(entry));
  hubgate_text place = hubgate_concat("Wrong arguments: argument ", index + 1);
  if (hubgate_equals(wanted, found)) return are_wrong(hubgate_concat(place, " is out of range."));
  return are_wrong(hubgate_concat(place, " must be ", wanted, ", not ", found, "."));
}

static bool is_json(const hubgate_call *call) {
  wrong_arguments = (hubgate_optional){0};
  if (call->arguments.format == HUBGATE_JSON_TEXT) return true;
  return are_wrong(hubgate_text_of("Wrong arguments: this method reads JSON."));
}

bool hubgate_read_one(const hubgate_call *call, size_t index, hubgate_slot slot) {
  hubgate_text rest = {"", 0}, entry;
  if (!is_json(call)) return false;
  size_t left = index;
  bool is_there = array_of(call->arguments, &rest);
  do {
    is_there = is_there && next_entry(&rest, &entry);
  } while (is_there && left-- > 0);
  if (is_there) return read_entry(entry, index, slot);
  size_t given = count_of(call->arguments);
  return are_wrong(hubgate_concat("Wrong arguments: ", call->method, " takes at least ", index + 1, ", got ", given, "."));
}

bool hubgate_read_all(const hubgate_call *call, const hubgate_slot *slots, size_t count) {
  if (!is_json(call)) return false;
  size_t given = count_of(call->arguments);
  if (given != count) return are_wrong(hubgate_concat("Wrong arguments: ", call->method, " takes ", count, ", got ", given, "."));
  hubgate_text rest, entry;
  if (count > 0 && !array_of(call->arguments, &rest)) return false;
  for (size_t index = 0; index < count; index++) {
    if (!next_entry(&rest, &entry) || !read_entry(entry, index, slots[index])) return false;
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

static size_t digits_at(hubgate_text json, size_t at) {
  size_t count = 0;
  while (at + count < json.length && json.at[at + count] >= '0' && json.at[at + count] <= '9') count++;
  return count;
}

static bool has(hubgate_text json, size_t at, const char *letters) {
  return at < json.length && json.at[at] != 0 && strchr(letters, json.at[at]) != NULL;
}

// As JSON writes numbers: no zero before other digits, no hexadecimal digits, no infinities.
static bool is_number(hubgate_text json, bool *is_integer) {
  size_t at = has(json, 0, "-"), count = digits_at(json, at);
  if (count == 0 || (count > 1 && json.at[at] == '0')) return false;
  at += count;
  *is_integer = at == json.length;
  if (has(json, at, ".")) {
    count = digits_at(json, ++at);
    if (count == 0) return false;
    at += count;
  }
  if (has(json, at, "eE")) {
    at += 1 + has(json, at + 1, "+-");
    count = digits_at(json, at);
    if (count == 0) return false;
    at += count;
  }
  return at == json.length;
}

// The digits, and whether a minus stands before them.
static bool read_digits(hubgate_text json, bool *is_negative, uint64_t *value) {
  bool is_integer;
  if (!is_number(json, &is_integer) || !is_integer) return false;
  *is_negative = json.at[0] == '-';
  *value = 0;
  for (size_t index = *is_negative; index < json.length; index++) {
    unsigned digit = (unsigned)(json.at[index] - '0');
    if (*value > (UINT64_MAX - digit) / 10) return false;
    *value = 10 * *value + digit;
  }
  return true;
}

static bool read_signed(hubgate_text json, int64_t least, int64_t most, int64_t *value) {
  bool is_negative;
  uint64_t digits;
  if (!read_digits(json, &is_negative, &digits) || digits > (uint64_t)INT64_MAX + is_negative) return false;
  *value = is_negative ? (int64_t)(0 - digits) : (int64_t)digits;
  return *value >= least && *value <= most;
}

static bool read_unsigned(hubgate_text json, uint64_t most, uint64_t *value) {
  bool is_negative;
  return read_digits(json, &is_negative, value) && *value <= most && (!is_negative || *value == 0);
}

#define READER(name, type, wide, reads)         \
  bool name(hubgate_text json, void *into) {    \
    wide value;                                 \
    if (!reads) return false;                   \
    *(type *)into = (type)value;                \
    return true;                                \
  }
#define SIGNED_READER(name, type, least, most) READER(name, type, int64_t, read_signed(json, least, most, &value))
#define UNSIGNED_READER(name, type, most) READER(name, type, uint64_t, read_unsigned(json, most, &value))
SIGNED_READER(hubgate_read_8, signed char, SCHAR_MIN, SCHAR_MAX)
SIGNED_READER(hubgate_read_16, short, SHRT_MIN, SHRT_MAX)
SIGNED_READER(hubgate_read_32, int, INT_MIN, INT_MAX)
SIGNED_READER(hubgate_read_long, long, LONG_MIN, LONG_MAX)
SIGNED_READER(hubgate_read_64, long long, LLONG_MIN, LLONG_MAX)
UNSIGNED_READER(hubgate_read_unsigned_8, unsigned char, UCHAR_MAX)
UNSIGNED_READER(hubgate_read_unsigned_16, unsigned short, USHRT_MAX)
UNSIGNED_READER(hubgate_read_unsigned_32, unsigned, UINT_MAX)
UNSIGNED_READER(hubgate_read_unsigned_long, unsigned long, ULONG_MAX)
UNSIGNED_READER(hubgate_read_unsigned_64, unsigned long long, ULLONG_MAX)

bool hubgate_read_double(hubgate_text json, void *into) {
  bool is_integer;
  if (!is_number(json, &is_integer)) return false;
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
