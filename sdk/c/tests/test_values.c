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
  return (hubgate_call){.method = {"greet", 5}, .arguments = {HUBGATE_JSON_TEXT, {exact, length}}};
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
  expect(!hubgate_read(&call, &text) && hubgate_equals(hubgate_problem(), "Wrong arguments: greet takes 1, got 5."), "too many");
  ends(call);
}

// What a caller is told whose argument is read into what is pointed to.
#define TELLS(arguments, into, expected)                                                                          \
  do {                                                                                                            \
    hubgate_call call = call_of(arguments, strlen(arguments));                                                    \
    expect(!hubgate_read(&call, into) && hubgate_equals(hubgate_wrong_arguments().error.text, expected), expected); \
    expect(hubgate_equals(hubgate_problem(), expected), "the problem is what is wrong");                          \
    ends(call);                                                                                                   \
  } while (0)

static void tells_what_is_wrong(void) {
  hubgate_text text;
  int64_t integer;
  uint8_t byte;
  double number;
  bool is;
  TELLS("[]", &text, "Wrong arguments: greet takes 1, got 0.");
  TELLS("[1]", &text, "Wrong arguments: argument 1 must be a string, not an integer.");
  TELLS("[null]", &text, "Wrong arguments: argument 1 must be a string, not null.");
  TELLS("[\"1\"]", &integer, "Wrong arguments: argument 1 must be an integer, not a string.");
  TELLS("[1.5]", &integer, "Wrong arguments: argument 1 must be an integer, not a number.");
  TELLS("[9223372036854775808]", &integer, "Wrong arguments: argument 1 is out of range.");
  TELLS("[256]", &byte, "Wrong arguments: argument 1 is out of range.");
  TELLS("[-1]", &byte, "Wrong arguments: argument 1 is out of range.");
  TELLS("[[]]", &number, "Wrong arguments: argument 1 must be a number, not a list.");
  TELLS("[{}]", &is, "Wrong arguments: argument 1 must be true or false, not an object.");
  TELLS("[true]", &text, "Wrong arguments: argument 1 must be a string, not true or false.");

  hubgate_call call = call_of("[\"a\", 2]", 8);
  expect(hubgate_read(&call, &text, &integer), "two that are right");
  expect(hubgate_equals(hubgate_wrong_arguments().error.text, "Wrong arguments."), "nothing is known to be wrong");
  expect(!hubgate_read_at(&call, 1, &text), "an integer is no text");
  const char *expected = "Wrong arguments: argument 2 must be a string, not an integer.";
  expect(hubgate_equals(hubgate_wrong_arguments().error.text, expected), expected);
  expect(!hubgate_read_at(&call, 2, &text), "there is no third");
  expected = "Wrong arguments: greet takes at least 3, got 2.";
  expect(hubgate_equals(hubgate_wrong_arguments().error.text, expected), expected);
  ends(call);
}

static void reads_numbers(void) {
  static const char *const wrong[] = {"-abc", "0x1F", "-nan", "nan", "inf", "-", "007", "01.5", "1.", ".5", "1e", "1e+", "+1", "1 2", ""};
  double number;
  int64_t integer;
  for (size_t index = 0; index < sizeof wrong / sizeof wrong[0]; index++) {
    bool is_read = hubgate_json_read(hubgate_json_raw(wrong[index]), &number) || hubgate_json_read(hubgate_json_raw(wrong[index]), &integer);
    expect(!is_read, wrong[index]);
  }
  expect(hubgate_json_read(hubgate_json_raw(" -0.5e+1 "), &number) && number == -5, "-0.5e+1");
  expect(hubgate_json_read(hubgate_json_raw("0"), &number) && number == 0, "0");
  signed char least;
  uint16_t most;
  uint64_t widest;
  expect(hubgate_json_read(hubgate_json_raw("-128"), &least) && least == -128, "-128");
  expect(hubgate_json_read(hubgate_json_raw("65535"), &most) && most == 65535, "65535");
  expect(hubgate_json_read(hubgate_json_raw("18446744073709551615"), &widest) && widest == UINT64_MAX, "the widest");
  hubgate_end(NULL);
}

static void is_well_formed(const char *given, const char *expected) {
  hubgate_text text = hubgate_well_formed(hubgate_text_of(given));
  expect(hubgate_equals(text, expected) && (strcmp(given, expected) != 0 || text.at == given), expected);
}

static void mends_texts(void) {
  is_well_formed("", "");
  is_well_formed("ä漢😀\xf4\x8f\xbf\xbf", "ä漢😀\xf4\x8f\xbf\xbf");
  is_well_formed("caf\xc3", "caf\xef\xbf\xbd");
  is_well_formed("\xff!", "\xef\xbf\xbd!");
  is_well_formed("\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd");
  is_well_formed("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  is_well_formed("\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  is_well_formed("\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  expect(hubgate_equals(hubgate_value("caf\xc3").text, "\"caf\xef\xbf\xbd\""), "a value is well-formed, too");
  hubgate_text nothing = {NULL, 0};
  expect(hubgate_equals(nothing, "") && hubgate_equals(hubgate_concat(nothing, nothing), hubgate_well_formed(nothing)), "no text");
  hubgate_end(NULL);
}

static void fails(hubgate_json json, const char *before) {
  expect(hubgate_equals(json.text, before) && hubgate_mistake().is_there, before);
  hubgate_end(NULL);
  expect(!hubgate_mistake().is_there, "a mistake ends with its call");
}

static void extends_what_can_be_extended(void) {
  hubgate_json json;
  hubgate_call call = call_of("[[ ]]", 5);
  expect(hubgate_read(&call, &json) && hubgate_equals(hubgate_append(json, 1).text, "[1]"), "[ ]");
  ends(call);
  expect(hubgate_equals(hubgate_append(hubgate_json_raw(" [1] "), 2).text, "[1,2]"), "[1] ");
  expect(hubgate_equals(hubgate_with(hubgate_json_raw("{ }"), "a", 1).text, "{\"a\":1}"), "{ }");
  json = hubgate_append(hubgate_array(1), 2);
  expect(hubgate_equals(hubgate_append(json, json).text, "[1,2,[1,2]]"), "itself");
  expect(!hubgate_mistake().is_there, "nothing is wrong");
  fails(hubgate_append(hubgate_json_raw("\"a\""), 1), "\"a\"");
  fails(hubgate_append(hubgate_json_raw("5"), 1), "5");
  fails(hubgate_append(hubgate_object(), 1), "{}");
  fails(hubgate_append(HUBGATE_NO_ARGUMENTS, hubgate_json_raw(" ")), "[]");
  fails(hubgate_with(HUBGATE_NO_ARGUMENTS, "a", 1), "[]");
  hubgate_append(hubgate_json_raw("5"), 1);
  hubgate_forgive();
  expect(!hubgate_mistake().is_there, "it is forgiven");
}

// Two at a time, as long lists inside another are made.
static void extends_in_linear_room(void) {
  hubgate_json list = HUBGATE_NO_ARGUMENTS, object = hubgate_object();
  size_t count = 100000, copies = 0;
  for (size_t index = 0; index < count; index++) {
    const char *before = list.text.at;
    list = hubgate_append(list, 12345678);
    object = hubgate_with(object, "k", index);
    copies += list.text.at != before;
  }
  expect(list.text.length == 9 * count + 1 && hubgate_equals(((hubgate_text){list.text.at, 19}), "[12345678,12345678,"), "a long list");
  expect(copies < 20, "a list is copied when it has doubled");
  hubgate_end(NULL);
}

static void takes_every_integer(void) {
  hubgate_json all = hubgate_array((uint8_t)255, (int8_t)-128, (uint16_t)65535, (int16_t)-32768, (char)65, (float)0.5f);
  expect(hubgate_equals(all.text, "[255,-128,65535,-32768,65,0.5]"), "all widths");
  expect(hubgate_equals(hubgate_concat((uint8_t)255, " ", (int16_t)-1), "255 -1"), "all widths in a text");
  hubgate_end(NULL);
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

static void finds_pairs_by_their_names(void) {
  hubgate_pair all[] = {{{"X-User", 6}, {"ann", 3}}, {{"x-user", 6}, {"bob", 3}}};
  hubgate_pairs pairs = {all, 2};
  hubgate_optional found = hubgate_find(pairs, "x-USER");
  expect(found.is_there && hubgate_equals(found.text, "ann"), "the first one, in whatever case");
  expect(!hubgate_find(pairs, "x-use").is_there && !hubgate_find(pairs, "x-users").is_there, "a whole name");
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
  writes(hubgate_array(0.1, 1.0 / 3, 0.1 + 0.2, 5e-324, 1e21, -0.0), "[0.1,0.3333333333333333,0.30000000000000004,4.94065645841247e-324,1e+21,-0]");
  reads_numbers();
  tells_what_is_wrong();
  mends_texts();
  extends_what_can_be_extended();
  extends_in_linear_room();
  takes_every_integer();
  finds_pairs_by_their_names();
  hubgate_end(NULL);
  return failures;
}
