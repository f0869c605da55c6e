// What the macros of hubgate.h are made of, and what a plugin exports. Nothing in here is for others.
#pragma once

#define HUBGATE_TEXT(value) \
  _Generic((value), hubgate_text: hubgate_text_same, char *: hubgate_text_of, const char *: hubgate_text_of)(value)
#define HUBGATE_PIECE(value)                                                                                                                            \
  _Generic((value), hubgate_text: hubgate_text_same, char *: hubgate_text_of, const char *: hubgate_text_of,                                            \
      signed char: hubgate_digits, short: hubgate_digits, char: hubgate_digits, unsigned char: hubgate_unsigned_digits,                                 \
      unsigned short: hubgate_unsigned_digits, int: hubgate_digits, long: hubgate_digits, long long: hubgate_digits, unsigned: hubgate_unsigned_digits, \
      unsigned long: hubgate_unsigned_digits, unsigned long long: hubgate_unsigned_digits)(value)
#define HUBGATE_VALUE(value)                                                                                                                                           \
  _Generic((value), hubgate_json: hubgate_json_same, hubgate_text: hubgate_json_text, char *: hubgate_json_string,                                                     \
      const char *: hubgate_json_string, bool: hubgate_json_bool, signed char: hubgate_json_integer, char: hubgate_json_integer,                                       \
      unsigned char: hubgate_json_unsigned, short: hubgate_json_integer, unsigned short: hubgate_json_unsigned, int: hubgate_json_integer, long: hubgate_json_integer, \
      long long: hubgate_json_integer, unsigned: hubgate_json_unsigned, unsigned long: hubgate_json_unsigned,                                                          \
      unsigned long long: hubgate_json_unsigned, float: hubgate_json_number, double: hubgate_json_number)(value)
#define HUBGATE_SLOT(into)                                                                                                            \
  ((hubgate_slot){_Generic((into), hubgate_text *: hubgate_read_text, hubgate_json *: hubgate_read_raw, bool *: hubgate_read_bool,    \
                      int *: hubgate_read_32, long *: hubgate_read_long, long long *: hubgate_read_64, double *: hubgate_read_double, \
                      signed char *: hubgate_read_8, short *: hubgate_read_16, unsigned char *: hubgate_read_unsigned_8,              \
                      unsigned short *: hubgate_read_unsigned_16, unsigned *: hubgate_read_unsigned_32,                               \
                      unsigned long *: hubgate_read_unsigned_long, unsigned long long *: hubgate_read_unsigned_64),                   \
                  into, HUBGATE_KIND(into)})
// What a client calls a value that is read into what is pointed to.
#define HUBGATE_KIND(into)                                                                                               \
  _Generic((into), hubgate_text *: "a string", bool *: "true or false", double *: "a number", hubgate_json *: "a value", \
      default: "an integer")

#define HUBGATE_COUNT(...) HUBGATE_TENTH(__VA_ARGS__, 9, 8, 7, 6, 5, 4, 3, 2, 1, )
#define HUBGATE_TENTH(a, b, c, d, e, f, g, h, i, j, ...) j
#define HUBGATE_EACH(f, ...)                                                                                                \
  HUBGATE_TENTH(__VA_ARGS__, HUBGATE_9, HUBGATE_8, HUBGATE_7, HUBGATE_6, HUBGATE_5, HUBGATE_4, HUBGATE_3, HUBGATE_2, HUBGATE_1, ) \
  (f, __VA_ARGS__)
#define HUBGATE_1(f, a) f(a)
#define HUBGATE_2(f, a, ...) f(a), HUBGATE_1(f, __VA_ARGS__)
#define HUBGATE_3(f, a, ...) f(a), HUBGATE_2(f, __VA_ARGS__)
#define HUBGATE_4(f, a, ...) f(a), HUBGATE_3(f, __VA_ARGS__)
#define HUBGATE_5(f, a, ...) f(a), HUBGATE_4(f, __VA_ARGS__)
#define HUBGATE_6(f, a, ...) f(a), HUBGATE_5(f, __VA_ARGS__)
#define HUBGATE_7(f, a, ...) f(a), HUBGATE_6(f, __VA_ARGS__)
#define HUBGATE_8(f, a, ...) f(a), HUBGATE_7(f, __VA_ARGS__)
#define HUBGATE_9(f, a, ...) f(a), HUBGATE_8(f, __VA_ARGS__)

void hubgate_set_problem(hubgate_text text);
// A problem that the call ends with, unless the plugin forgives it. The first one counts.
void hubgate_set_mistake(hubgate_text text);
hubgate_optional hubgate_mistake(void);
// The text, with U+FFFD in the place of each byte that is not well-formed UTF-8.
hubgate_text hubgate_well_formed(hubgate_text text);
hubgate_text hubgate_text_same(hubgate_text text);
hubgate_text hubgate_digits(int64_t value);
hubgate_text hubgate_unsigned_digits(uint64_t value);

typedef struct {
  bool (*read)(hubgate_text json, void *into);
  void *into;
  const char *kind;
} hubgate_slot;
bool hubgate_read_text(hubgate_text json, void *into);
bool hubgate_read_raw(hubgate_text json, void *into);
bool hubgate_read_bool(hubgate_text json, void *into);
bool hubgate_read_32(hubgate_text json, void *into);
bool hubgate_read_long(hubgate_text json, void *into);
bool hubgate_read_64(hubgate_text json, void *into);
bool hubgate_read_8(hubgate_text json, void *into);
bool hubgate_read_16(hubgate_text json, void *into);
bool hubgate_read_unsigned_8(hubgate_text json, void *into);
bool hubgate_read_unsigned_16(hubgate_text json, void *into);
bool hubgate_read_unsigned_32(hubgate_text json, void *into);
bool hubgate_read_unsigned_long(hubgate_text json, void *into);
bool hubgate_read_unsigned_64(hubgate_text json, void *into);
bool hubgate_read_double(hubgate_text json, void *into);
bool hubgate_read_all(const hubgate_call *call, const hubgate_slot *slots, size_t count);
bool hubgate_read_one(const hubgate_call *call, size_t index, hubgate_slot slot);
bool hubgate_read_json(hubgate_json json, hubgate_slot slot);

#ifdef __wasm__
#define HUBGATE_EXPORT(name) __attribute__((export_name("hubgate:plugin/" name)))
#define HUBGATE_ENDS(name, function) \
  __attribute__((export_name("cabi_post_hubgate:plugin/" name))) void function(const void *answer) { hubgate_end(answer); }
#else
#define HUBGATE_EXPORT(name)
#define HUBGATE_ENDS(name, function)
#endif

const void *hubgate_run_init(hubgate_answer (*init)(void));
const void *hubgate_run_connected(const hubgate_handler *handler, hubgate_client client);
const void *hubgate_run_disconnected(const hubgate_handler *handler, hubgate_client client, hubgate_optional reason);
const void *hubgate_run_invoke(const hubgate_handler *handler, const hubgate_call *call);
const void *hubgate_run_inbound(const hubgate_filter *filter, const void *given);
const void *hubgate_run_outbound(const hubgate_filter *filter, const void *given);
void hubgate_end(const void *answer);
// What an export gives back that has nothing to say but an error; a text alone, for the log.
const void *hubgate_leaves(hubgate_answer answer);
const void *hubgate_leaves_text(hubgate_answer answer);
// Logs what a hub has refused that nobody has dealt with, and breaks the call off: for what has no error to give back.
void hubgate_break_off_if_refused(void);
hubgate_texts hubgate_mended_texts(hubgate_texts texts);
hubgate_pairs hubgate_mended_pairs(hubgate_pairs pairs);

#define HUBGATE_LIFECYCLE(plugin)                                                                                  \
  HUBGATE_EXPORT("lifecycle@0.1.0#init") const void *hubgate_init(void) { return hubgate_run_init(plugin.init); }  \
  HUBGATE_ENDS("lifecycle@0.1.0#init", hubgate_init_ends)

#define HUBGATE_CLIENT (hubgate_client){{hub, hub_length}, {id, id_length}, {has_user, {user, user_length}}}
#define HUBGATE_CLIENT_GIVEN \
  const char *hub, size_t hub_length, const char *id, size_t id_length, int has_user, const char *user, size_t user_length

#define HUBGATE_HANDLER(...)                                   \
  static const hubgate_handler hubgate_plugin = {__VA_ARGS__}; \
  HUBGATE_LIFECYCLE(hubgate_plugin)                            \
  HUBGATE_UPSTREAM(&hubgate_plugin, hubgate_run_invoke(&hubgate_plugin, &call))

// `answer` is what a call, `call`, is answered with.
#define HUBGATE_UPSTREAM(handler, answer)                                                                                          \
  HUBGATE_EXPORT("upstream@0.1.0#connected") const void *hubgate_connected(HUBGATE_CLIENT_GIVEN) {                                 \
    return hubgate_run_connected(handler, HUBGATE_CLIENT);                                                                         \
  }                                                                                                                                \
  HUBGATE_ENDS("upstream@0.1.0#connected", hubgate_connected_ends)                                                                 \
  HUBGATE_EXPORT("upstream@0.1.0#disconnected")                                                                                    \
  const void *hubgate_disconnected(HUBGATE_CLIENT_GIVEN, int has_reason, const char *reason, size_t reason_length) {               \
    return hubgate_run_disconnected(handler, HUBGATE_CLIENT, (hubgate_optional){has_reason, {reason, reason_length}});             \
  }                                                                                                                                \
  HUBGATE_ENDS("upstream@0.1.0#disconnected", hubgate_disconnected_ends)                                                           \
  HUBGATE_EXPORT("upstream@0.1.0#invoke")                                                                                          \
  const void *hubgate_invoke(HUBGATE_CLIENT_GIVEN, const char *method, size_t method_length, int format, const char *arguments,    \
                             size_t arguments_length, int wants_result) {                                                          \
    hubgate_client client = HUBGATE_CLIENT;                                                                                        \
    hubgate_call call = {&client, {method, method_length}, {(uint8_t)format, {arguments, arguments_length}}, wants_result};        \
    return answer;                                                                                                                 \
  }                                                                                                                                \
  HUBGATE_ENDS("upstream@0.1.0#invoke", hubgate_invoke_ends)

#define HUBGATE_INBOUND_HALF                                                                    \
  HUBGATE_EXPORT("inbound-filter@0.1.0#inspect") const void *hubgate_inbound(const void *given) { \
    return hubgate_run_inbound(&hubgate_plugin, given);                                         \
  }                                                                                             \
  HUBGATE_ENDS("inbound-filter@0.1.0#inspect", hubgate_inbound_ends)
#define HUBGATE_OUTBOUND_HALF                                                                     \
  HUBGATE_EXPORT("outbound-filter@0.1.0#inspect") const void *hubgate_outbound(const void *given) { \
    return hubgate_run_outbound(&hubgate_plugin, given);                                          \
  }                                                                                               \
  HUBGATE_ENDS("outbound-filter@0.1.0#inspect", hubgate_outbound_ends)

#define HUBGATE_FILTER_LIFECYCLE(...)                         \
  static const hubgate_filter hubgate_plugin = {__VA_ARGS__}; \
  HUBGATE_LIFECYCLE(hubgate_plugin)
#define HUBGATE_FILTER(...) HUBGATE_FILTER_LIFECYCLE(__VA_ARGS__) HUBGATE_INBOUND_HALF HUBGATE_OUTBOUND_HALF
#define HUBGATE_INBOUND_FILTER(...) HUBGATE_FILTER_LIFECYCLE(__VA_ARGS__) HUBGATE_INBOUND_HALF
#define HUBGATE_OUTBOUND_FILTER(...) HUBGATE_FILTER_LIFECYCLE(__VA_ARGS__) HUBGATE_OUTBOUND_HALF
