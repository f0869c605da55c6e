// Plugins of Hubgate in C. Include this, and say once what the plugin is: HUBGATE_HANDLER, HUBGATE_FILTER,
// HUBGATE_INBOUND_FILTER or HUBGATE_OUTBOUND_FILTER; a whole hub includes whole_hub.h. The whole contract is covered: wit/plugin.wit of
// Hubgate.
//
// Memory: all that a function is given, reads or makes here lives until the call ends, and is freed then by itself. Nothing is to
// be freed, and nothing may be kept for later: a copy may (malloc, strdup), and what must stay belongs into state.
//
// Where a macro takes a TEXT, that is a `hubgate_text` or a `const char *`; a VALUE is one of these, an integer, a `double`, a
// `bool` or a `hubgate_json`. (`true` is an `int` before C23: write `(bool)true`.)
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- Texts and values

// UTF-8, or bytes. What is not well-formed in a text is U+FFFD when it leaves. A NUL follows if it comes from here or from the
// gateway; there may be others in it.
typedef struct {
  const char *at;
  size_t length;
} hubgate_text;

// A text that may be missing.
typedef struct {
  bool is_there;
  hubgate_text text;
} hubgate_optional;

// One value as JSON.
typedef struct {
  hubgate_text text;
} hubgate_json;

// The arguments of a call (one array), or one result.
typedef enum { HUBGATE_JSON_TEXT, HUBGATE_MESSAGEPACK } hubgate_format;
typedef struct {
  uint8_t format;  // hubgate_format; MessagePack comes to plugins with `payload = "native"` alone
  hubgate_text bytes;
} hubgate_payload;

// Room until the call ends.
void *hubgate_allocate(size_t size);

hubgate_text hubgate_text_of(const char *text);
bool hubgate_text_equals(hubgate_text one, hubgate_text other);
hubgate_text hubgate_text_join(const hubgate_text *texts, size_t count);
// The part before the separator; `rest` goes on after it. False at the end.
bool hubgate_split(hubgate_text *rest, char separator, hubgate_text *part);

#define hubgate_equals(one, other) hubgate_text_equals(HUBGATE_TEXT(one), HUBGATE_TEXT(other))
// One text of up to nine texts and integers.
#define hubgate_concat(...) hubgate_text_join((hubgate_text[]){HUBGATE_EACH(HUBGATE_PIECE, __VA_ARGS__)}, HUBGATE_COUNT(__VA_ARGS__))

// A VALUE as JSON, an array of up to nine of them, and what makes longer ones and objects, value by value: these extend what they
// are given in place, so go on with what they return, and with nothing else. What is no array or object fails the call.
#define hubgate_value(value) HUBGATE_VALUE(value)
#define hubgate_array(...) hubgate_json_array((hubgate_json[]){HUBGATE_EACH(HUBGATE_VALUE, __VA_ARGS__)}, HUBGATE_COUNT(__VA_ARGS__))
#define hubgate_append(array, value) hubgate_json_append(array, HUBGATE_VALUE(value))
#define hubgate_with(object, key, value) hubgate_json_with(object, HUBGATE_TEXT(key), HUBGATE_VALUE(value))
#define hubgate_object() hubgate_json_raw("{}")
#define HUBGATE_NO_ARGUMENTS hubgate_json_raw("[]")

hubgate_json hubgate_json_raw(const char *text);  // as it is
hubgate_json hubgate_json_array(const hubgate_json *values, size_t count);
hubgate_json hubgate_json_append(hubgate_json array, hubgate_json value);
hubgate_json hubgate_json_with(hubgate_json object, hubgate_text key, hubgate_json value);
hubgate_json hubgate_json_text(hubgate_text text);
hubgate_json hubgate_json_string(const char *text);
hubgate_json hubgate_json_integer(int64_t value);
hubgate_json hubgate_json_unsigned(uint64_t value);
hubgate_json hubgate_json_number(double value);
hubgate_json hubgate_json_bool(bool value);
hubgate_json hubgate_json_same(hubgate_json value);

// ---- Handlers

typedef struct {
  hubgate_text hub, id;
  hubgate_optional user;
} hubgate_client;

typedef struct {
  const hubgate_client *client;
  hubgate_text method;
  hubgate_payload arguments;
  bool wants_result;
} hubgate_call;

// Reads the arguments into what is pointed to: hubgate_text, integers of 8 to 64 bits, double, bool, hubgate_json. If it is
// false, their number or a type is wrong: answer with `hubgate_wrong_arguments()`.
#define hubgate_read(call, ...) hubgate_read_all(call, (hubgate_slot[]){HUBGATE_EACH(HUBGATE_SLOT, __VA_ARGS__)}, HUBGATE_COUNT(__VA_ARGS__))
// Reads one argument, from 0; false if it is missing or of another type.
#define hubgate_read_at(call, index, into) hubgate_read_one(call, index, HUBGATE_SLOT(into))
// Reads a value, such as one of state.
#define hubgate_json_read(json, into) hubgate_read_json(json, HUBGATE_SLOT(into))
size_t hubgate_count(const hubgate_call *call);

// What a function answers with.
typedef struct {
  uint8_t is_error;
  union {
    struct {
      uint8_t is_there;
      hubgate_payload payload;
    } value;
    struct {
      uint8_t kind;
      hubgate_text text;
    } error;
  };
} hubgate_answer;

hubgate_answer hubgate_done(void);  // without a value
#define hubgate_reply(value) hubgate_reply_payload((hubgate_payload){HUBGATE_JSON_TEXT, HUBGATE_VALUE(value).text})
hubgate_answer hubgate_reply_payload(hubgate_payload payload);
#define hubgate_reject(text) hubgate_reject_text(HUBGATE_TEXT(text))  // the client sees the text
#define hubgate_fail(text) hubgate_fail_text(HUBGATE_TEXT(text))      // the text is for the log
hubgate_answer hubgate_reject_text(hubgate_text text);
hubgate_answer hubgate_fail_text(hubgate_text text);
hubgate_answer hubgate_wrong_arguments(void);

typedef struct {
  const char *name;
  hubgate_answer (*answer)(const hubgate_call *call);
} hubgate_method;

typedef struct {
  // Once in each new instance. An error keeps the plugin from serving.
  hubgate_answer (*init)(void);
  // May refuse the client with `hubgate_reject`.
  hubgate_answer (*connected)(const hubgate_client *client);
  hubgate_answer (*disconnected)(const hubgate_client *client, hubgate_optional reason);
  // What clients call. A method that is not there is rejected with its name, or answered by `otherwise`.
  hubgate_method methods[64];
  hubgate_answer (*otherwise)(const hubgate_call *call);
} hubgate_handler;

// ---- The imports

typedef enum {
  HUBGATE_OK,
  HUBGATE_NONE,  // there is no such value
  HUBGATE_TOO_LARGE,
  HUBGATE_QUOTA,
  HUBGATE_UNAVAILABLE,
  HUBGATE_INVALID,
  HUBGATE_DENIED,
  HUBGATE_TIMED_OUT,
  HUBGATE_FAILED,
  HUBGATE_FULL,
  HUBGATE_OVER,
  HUBGATE_LEFT,
  HUBGATE_BUSY,
  HUBGATE_TOO_MANY,
  HUBGATE_TOO_SHORT,
} hubgate_result;
// What the last result that was not HUBGATE_OK means, for a log or for `hubgate_fail`.
hubgate_text hubgate_problem(void);
// A hub that refuses fails the call even if nobody looks at the result, unless a plugin that has dealt with it says so here.
void hubgate_forgive(void);
#define HUBGATE_CHECKED __attribute__((warn_unused_result))

typedef struct {
  hubgate_text name, value;
} hubgate_pair;
typedef struct {
  const hubgate_pair *at;
  size_t length;
} hubgate_pairs;
typedef struct {
  const hubgate_text *at;
  size_t length;
} hubgate_texts;
// The first value of this name, in whatever case.
#define hubgate_find(pairs, name) hubgate_find_text(pairs, HUBGATE_TEXT(name))
hubgate_optional hubgate_find_text(hubgate_pairs pairs, hubgate_text name);

typedef struct {
  uint8_t kind;
  hubgate_text name;
} hubgate_target;
#define HUBGATE_ALL ((hubgate_target){0})
#define HUBGATE_GROUP(name) ((hubgate_target){1, HUBGATE_TEXT(name)})
#define HUBGATE_USER(id) ((hubgate_target){2, HUBGATE_TEXT(id)})
#define HUBGATE_CONNECTION(id) ((hubgate_target){3, HUBGATE_TEXT(id)})

// `arguments` is a hubgate_json, an array: `hubgate_send_all("said", hubgate_array(name, 3))`.
#define hubgate_send_all(method, arguments) hubgate_send(HUBGATE_ALL, method, arguments, HUBGATE_NOBODY)
#define hubgate_send_group(group, method, arguments) hubgate_send(HUBGATE_GROUP(group), method, arguments, HUBGATE_NOBODY)
#define hubgate_send_user(user, method, arguments) hubgate_send(HUBGATE_USER(user), method, arguments, HUBGATE_NOBODY)
#define hubgate_send_connection(id, method, arguments) hubgate_send(HUBGATE_CONNECTION(id), method, arguments, HUBGATE_NOBODY)
// `except` are connections.
#define hubgate_send(to, method, arguments, except) \
  hubgate_send_payload(to, HUBGATE_TEXT(method), (hubgate_payload){HUBGATE_JSON_TEXT, (arguments).text}, except)
#define HUBGATE_NOBODY ((hubgate_texts){0})
hubgate_result hubgate_send_payload(hubgate_target to, hubgate_text method, hubgate_payload arguments, hubgate_texts except);
// A time that never ends. One of zero or less is over at once.
#define HUBGATE_FOR_EVER INT64_MAX
// A member is HUBGATE_CONNECTION(id) or HUBGATE_USER(id). `seconds` is how long it stays, or HUBGATE_FOR_EVER.
#define hubgate_join(member, group) hubgate_join_for(member, HUBGATE_TEXT(group), HUBGATE_FOR_EVER)
hubgate_result hubgate_join_for(hubgate_target member, hubgate_text group, int64_t seconds);
#define hubgate_leave(member, group) hubgate_leave_group(member, HUBGATE_TEXT(group))
hubgate_result hubgate_leave_group(hubgate_target member, hubgate_text group);
hubgate_result hubgate_leave_all(hubgate_target member);
#define hubgate_close(id, reason, allow_reconnect) \
  hubgate_close_target(HUBGATE_CONNECTION(id), HUBGATE_NOBODY, (hubgate_optional){true, HUBGATE_TEXT(reason)}, allow_reconnect)
hubgate_result hubgate_close_target(hubgate_target target, hubgate_texts except, hubgate_optional reason, bool allow_reconnect);
void hubgate_flush(void);  // runs what is queued now
hubgate_result hubgate_exists(hubgate_target target, bool *exists) HUBGATE_CHECKED;

// Values that the gateway keeps. `ttl` is in milliseconds, or HUBGATE_FOR_EVER.
#define hubgate_state_get(key, json) hubgate_state_get_bytes(key, &(json)->text)
#define hubgate_state_set(key, value, ttl) hubgate_state_set_bytes(key, HUBGATE_VALUE(value).text, ttl)
#define hubgate_state_get_bytes(key, bytes) hubgate_state_read(HUBGATE_TEXT(key), bytes)
#define hubgate_state_set_bytes(key, bytes, ttl) hubgate_state_write(HUBGATE_TEXT(key), HUBGATE_TEXT(bytes), ttl)
#define hubgate_state_delete(key) hubgate_state_forget(HUBGATE_TEXT(key))
#define hubgate_state_increment(key, by, ttl, sum) hubgate_state_add(HUBGATE_TEXT(key), by, ttl, sum)
#define HUBGATE_MISSING ((hubgate_optional){0})
#define HUBGATE_THERE(bytes) ((hubgate_optional){true, HUBGATE_TEXT(bytes)})
// Writes `value` (or deletes, if it is HUBGATE_MISSING) only if the present one is `expected`; `is_done` says whether it did.
#define hubgate_state_compare_and_set(key, expected, value, ttl, is_done) \
  hubgate_state_exchange(HUBGATE_TEXT(key), expected, value, ttl, is_done)
hubgate_result hubgate_state_read(hubgate_text key, hubgate_text *bytes) HUBGATE_CHECKED;  // HUBGATE_NONE if there is none
hubgate_result hubgate_state_write(hubgate_text key, hubgate_text bytes, int64_t ttl) HUBGATE_CHECKED;
hubgate_result hubgate_state_forget(hubgate_text key) HUBGATE_CHECKED;
hubgate_result hubgate_state_add(hubgate_text key, int64_t by, int64_t ttl, int64_t *sum) HUBGATE_CHECKED;
hubgate_result hubgate_state_exchange(hubgate_text key, hubgate_optional expected, hubgate_optional value, int64_t ttl, bool *is_done) HUBGATE_CHECKED;
// Up to `limit` keys that begin with `prefix`, after the key `after` if it is there.
hubgate_result hubgate_state_keys(hubgate_text prefix, hubgate_optional after, uint32_t limit, hubgate_texts *keys) HUBGATE_CHECKED;

#define hubgate_config_get(key) hubgate_config_value(HUBGATE_TEXT(key))
hubgate_optional hubgate_config_value(hubgate_text key);

// A text, and names and values in turn: hubgate_log_info("voted", "choice", choice).
#define hubgate_log_debug(...) HUBGATE_LOG(0, __VA_ARGS__)
#define hubgate_log_info(...) HUBGATE_LOG(1, __VA_ARGS__)
#define hubgate_log_warn(...) HUBGATE_LOG(2, __VA_ARGS__)
#define hubgate_log_error(...) HUBGATE_LOG(3, __VA_ARGS__)
#define HUBGATE_LOG(level, ...) hubgate_log(level, (hubgate_text[]){HUBGATE_EACH(HUBGATE_PIECE, __VA_ARGS__)}, HUBGATE_COUNT(__VA_ARGS__))
void hubgate_log(int level, const hubgate_text *texts, size_t count);

uint64_t hubgate_now(void);        // milliseconds since 1970, the same during one call
uint32_t hubgate_time_left(void);  // milliseconds
hubgate_text hubgate_random(uint32_t length);
hubgate_text hubgate_event_id(void);
hubgate_pairs hubgate_message_headers(void);

// False if there is no such connection.
bool hubgate_claims(hubgate_text id, hubgate_pairs *claims);
bool hubgate_headers(hubgate_text id, hubgate_pairs *headers);
hubgate_optional hubgate_query(hubgate_text id);
hubgate_optional hubgate_remote_address(hubgate_text id);
hubgate_optional hubgate_protocol(hubgate_text id);

// A plugin that calls this needs `allow-http`.
typedef struct {
  hubgate_text method, url;
  hubgate_pairs headers;
  hubgate_text body;
  uint32_t timeout;  // milliseconds, 0 for that of the call
} hubgate_http_request;
typedef struct {
  uint16_t status;
  hubgate_pairs headers;
  hubgate_text body;
} hubgate_http_response;
hubgate_result hubgate_http_send(const hubgate_http_request *request, hubgate_http_response *response) HUBGATE_CHECKED;

// ---- Filters

typedef enum { HUBGATE_INVOCATION, HUBGATE_STREAM_INVOCATION, HUBGATE_STREAM_ITEM, HUBGATE_COMPLETION } hubgate_message_kind;
typedef struct {
  uint8_t kind;  // hubgate_message_kind
  hubgate_optional method;
  struct {
    bool is_there;
    hubgate_payload payload;
  } content;
  hubgate_optional error;  // of a completion
} hubgate_message;

typedef enum { HUBGATE_HUB_SERVER, HUBGATE_PLUGIN, HUBGATE_WEBHOOK, HUBGATE_REST, HUBGATE_MANAGEMENT } hubgate_origin;
typedef struct {
  hubgate_text hub;
  struct {
    const hubgate_target *at;
    size_t length;
  } to;
  struct {
    uint8_t kind;       // hubgate_origin
    hubgate_text name;  // of a hub server or a plugin
  } from;
} hubgate_delivery;

typedef struct {
  uint8_t kind;
  union {
    hubgate_message message;
    hubgate_text text;
  };
} hubgate_verdict;
#define hubgate_pass() ((hubgate_verdict){.kind = 0})
#define hubgate_replace(new_message) ((hubgate_verdict){.kind = 1, .message = (new_message)})
#define hubgate_refuse(reason) ((hubgate_verdict){.kind = 2, .text = HUBGATE_TEXT(reason)})
#define hubgate_drop() ((hubgate_verdict){.kind = 3})
#define hubgate_shut(reason) ((hubgate_verdict){.kind = 4, .text = HUBGATE_TEXT(reason)})

typedef struct {
  hubgate_answer (*init)(void);
  hubgate_verdict (*inbound)(const hubgate_client *client, const hubgate_message *message);
  hubgate_verdict (*outbound)(const hubgate_delivery *delivery, const hubgate_message *message);
} hubgate_filter;

#include "hubgate_macros.h"
