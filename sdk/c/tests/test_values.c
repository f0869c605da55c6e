// cc -fsanitize=address,undefined -fno-sanitize-recover=all -o test tests/test_values.c values.c && ./test
// Arguments are read as they were written, and nothing is read beyond the end of a text, whatever it is.

#include "../hubgate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

static void expect(bool is_right, const char *what) {
  if (is_right) return;
  printf("%s\n", what);
  failures++;
}

// In memory that ends where the text does.
static hubgate_call call_of(const char *arguments, size_t length) {
  char *exact = malloc(length > 0 ? length : 1);
  memcpy(exact, arguments, length);
  return (hubgate_call){.arguments = {HUBGATE_JSON_TEXT, {exact, length}}};
}

static void ends(hubgate_call call) {
  free((void *)call.arguments.bytes.at);
  hubgate_end(NULL);
}

static void reads_text(const char *arguments, const char *expected) {
  hubgate_call call = call_of(arguments, strlen(arguments));
  hubgate_text text;
  bool is_read = hubgate_read(&call, &text);
  expect(is_read == (expected != NULL) && (!is_read || hubgate_equals(text, expected)), arguments);
  ends(call);
}

static void reads_integer(const char *arguments, bool is_one, int64_t expected) {
  hubgate_call call = call_of(arguments, strlen(arguments));
  int64_t value = 0;
  bool is_read = hubgate_read(&call, &value);
  expect(is_read == is_one && (!is_read || value == expected), arguments);
  ends(call);
}

static void reads_all_kinds(void) {
  const char *arguments = " [ \"a,]\" , -7 , true , 1.5 , {\"k\": [1, \"}\"]} ] ";
  hubgate_call call = call_of(arguments, strlen(arguments));
  hubgate_text text;
  int integer;
  bool is_true;
  double number;
  hubgate_json json;
  bool is_read = hubgate_read(&call, &text, &integer, &is_true, &number, &json);
  expect(is_read && hubgate_equals(text, "a,]") && integer == -7 && is_true && number == 1.5, arguments);
  expect(hubgate_equals(json.text, "{\"k\": [1, \"}\"]}"), "an object as it came");
  expect(!hubgate_read(&call, &text) && hubgate_equals(hubgate_problem(), "Wrong arguments: 5 instead of 1."), "too many");
  ends(call);
}

static void writes(hubgate_json json, const char *expected) { expect(hubgate_equals(json.text, expected), expected); }

// Each beginning of the text, and each with one byte changed.
static void reads_whatever_comes(const char *arguments) {
  size_t length = strlen(arguments);
  for (size_t end = 0; end <= length; end++) {
    for (int change = -1; change < (int)end * 8; change++) {
      hubgate_call call = call_of(arguments, end);
      if (change >= 0) ((char *)call.arguments.bytes.at)[change / 8] ^= (char)(1 << change % 8);
      hubgate_text text;
      int64_t integer;
      double number;
      hubgate_json json;
      size_t count = hubgate_count(&call);
      for (size_t index = 0; index <= count; index++) {
        (void)hubgate_read_at(&call, index, &text);
        (void)hubgate_read_at(&call, index, &integer);
        (void)hubgate_read_at(&call, index, &number);
        (void)hubgate_read_at(&call, index, &json);
      }
      ends(call);
    }
  }
}

int main(void) {
  reads_text("[\"\"]", "");
  reads_text("[\"\\u00e4\\ud83d\\ude00\\/\\n\\\"\\\\\"]", "ä😀/\n\"\\");
  reads_text("[\"\\ud83d\"]", "\xef\xbf\xbd");
  reads_text("[\"\\ude00\\ud83d\"]", "\xef\xbf\xbd\xef\xbf\xbd");
  reads_text("[1]", NULL);
  reads_text("[]", NULL);
  reads_text("[\"one\",\"more\"]", NULL);
  reads_integer("[9223372036854775807]", true, INT64_MAX);
  reads_integer("[-9223372036854775808]", true, INT64_MIN);
  reads_integer("[9223372036854775808]", false, 0);
  reads_integer("[-9223372036854775809]", false, 0);
  reads_integer("[1.5]", false, 0);
  reads_integer("[1e3]", false, 0);
  reads_integer("[-]", false, 0);
  reads_integer("[\"1\"]", false, 0);
  reads_all_kinds();
  reads_whatever_comes("[\"a\\u00e4\\ud83d\\ude00\",[1,{\"b\":\"]\"}],-12.5e3,null]");
  writes(hubgate_array("a\n\"\x01", -1, 1.5, (bool)true, UINT64_MAX), "[\"a\\u000a\\\"\\u0001\",-1,1.5,true,18446744073709551615]");
  writes(hubgate_with(hubgate_with(hubgate_object(), "a", INT64_MIN), "b", hubgate_append(HUBGATE_NO_ARGUMENTS, "c")),
         "{\"a\":-9223372036854775808,\"b\":[\"c\"]}");
  writes(hubgate_value(1e308 * 10), "null");
  hubgate_end(NULL);
  return failures;
}
