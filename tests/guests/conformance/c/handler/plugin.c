// The handler of the conformance suite: see README.md above.

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "hubgate/hubgate.h"

#define METHOD(name) static hubgate_answer name(const hubgate_call *call)
#define READ(...) \
  if (!hubgate_read(call, __VA_ARGS__)) return hubgate_wrong_arguments()
// Answers without a value, unless the gateway refuses.
#define DO(result) return (result) == HUBGATE_OK ? hubgate_done() : hubgate_fail(hubgate_problem())
#define TRY(result) \
  if ((result) != HUBGATE_OK) return hubgate_fail(hubgate_problem())

static hubgate_json or_null(hubgate_optional text) {
  return text.is_there ? hubgate_value(text.text) : hubgate_json_raw("null");
}

// A text or null.
static bool optional(hubgate_json json, hubgate_optional *text) {
  text->is_there = !hubgate_equals(json.text, "null");
  return !text->is_there || hubgate_json_read(json, &text->text);
}

METHOD(echo) {
  hubgate_json x;
  READ(&x);
  return hubgate_reply(x);
}

METHOD(add) {
  int64_t a, b;
  READ(&a, &b);
  return hubgate_reply(a + b);
}

METHOD(length) {
  hubgate_text text;
  READ(&text);
  int characters = 0;
  for (size_t at = 0; at < text.length; at++) characters += (text.at[at] & 0xc0) != 0x80;
  return hubgate_reply(characters);
}

METHOD(fail) {
  hubgate_text text;
  READ(&text);
  return hubgate_reject(text);
}

METHOD(failed) {
  hubgate_text text;
  READ(&text);
  return hubgate_fail(text);
}

METHOD(crash) {
  hubgate_text text;
  READ(&text);
  fprintf(stderr, "%s\n", text.at);
  abort();
}

METHOD(spin) {
  volatile unsigned turns = 0;
  for (;;) turns++;
}

METHOD(grow) {
  for (;;) *(volatile char *)hubgate_allocate(1 << 20) = 1;
}

METHOD(say) {
  hubgate_text text;
  READ(&text);
  DO(hubgate_send_all("said", hubgate_array(text)));
}

METHOD(say_to) {
  hubgate_text group, text;
  READ(&group, &text);
  DO(hubgate_send_group(group, "said", hubgate_array(text)));
}

METHOD(tell) {
  hubgate_text user, text;
  READ(&user, &text);
  DO(hubgate_send_user(user, "said", hubgate_array(text)));
}

METHOD(say_to_connection) {
  hubgate_text id, text;
  READ(&id, &text);
  DO(hubgate_send_connection(id, "said", hubgate_array(text)));
}

METHOD(say_to_others) {
  hubgate_text text;
  READ(&text);
  DO(hubgate_send(HUBGATE_ALL, "said", hubgate_array(text), ((hubgate_texts){&call->client->id, 1})));
}

METHOD(say_and_fail) {
  say(call);
  return fail(call);
}

METHOD(say_and_crash) {
  say(call);
  return crash(call);
}

METHOD(say_flush_and_fail) {
  say(call);
  hubgate_flush();
  hubgate_send_all("said", hubgate_array("late"));
  return fail(call);
}

METHOD(join) {
  hubgate_text group;
  READ(&group);
  // Nobody looks at the result: the call fails all the same where the hub refuses.
  hubgate_join(HUBGATE_CONNECTION(call->client->id), group);
  return hubgate_done();
}

METHOD(leave) {
  hubgate_text group;
  READ(&group);
  DO(hubgate_leave(HUBGATE_CONNECTION(call->client->id), group));
}

METHOD(leave_all) { DO(hubgate_leave_all(HUBGATE_CONNECTION(call->client->id))); }

METHOD(join_user) {
  hubgate_text user, group;
  READ(&user, &group);
  DO(hubgate_join(HUBGATE_USER(user), group));
}

METHOD(exists) {
  hubgate_text group;
  bool exists;
  READ(&group);
  TRY(hubgate_exists(HUBGATE_GROUP(group), &exists));
  return hubgate_reply(exists);
}

METHOD(quit) {
  hubgate_text reason;
  READ(&reason);
  DO(hubgate_close(call->client->id, reason, false));
}

METHOD(count) {
  hubgate_text key;
  int64_t sum;
  READ(&key);
  TRY(hubgate_state_increment(key, 1, HUBGATE_FOR_EVER, &sum));
  return hubgate_reply(sum);
}

METHOD(set) {
  hubgate_text key, value;
  hubgate_json ttl;
  int64_t milliseconds = HUBGATE_FOR_EVER;
  READ(&key, &value, &ttl);
  if (!hubgate_equals(ttl.text, "null") && !hubgate_json_read(ttl, &milliseconds)) return hubgate_reject("no such time");
  DO(hubgate_state_set_bytes(key, value, milliseconds));
}

METHOD(get) {
  hubgate_text key, value;
  READ(&key);
  hubgate_result result = hubgate_state_get_bytes(key, &value);
  if (result == HUBGATE_NONE) return hubgate_reply(hubgate_json_raw("null"));
  TRY(result);
  return hubgate_reply(value);
}

METHOD(swap) {
  hubgate_text key;
  hubgate_json expected_json, value_json;
  hubgate_optional expected, value;
  bool is_done;
  READ(&key, &expected_json, &value_json);
  if (!optional(expected_json, &expected) || !optional(value_json, &value)) return hubgate_reject("texts or null");
  TRY(hubgate_state_compare_and_set(key, expected, value, HUBGATE_FOR_EVER, &is_done));
  return hubgate_reply(is_done);
}

METHOD(forget) {
  hubgate_text key;
  READ(&key);
  DO(hubgate_state_delete(key));
}

METHOD(keys) {
  hubgate_text prefix;
  hubgate_texts keys;
  hubgate_json list = hubgate_json_raw("[]");
  READ(&prefix);
  TRY(hubgate_state_keys(prefix, HUBGATE_MISSING, 1000, &keys));
  for (size_t at = 0; at < keys.length; at++) list = hubgate_append(list, keys.at[at]);
  return hubgate_reply(list);
}

METHOD(setting) {
  hubgate_text key;
  READ(&key);
  return hubgate_reply(or_null(hubgate_config_get(key)));
}

METHOD(note) {
  hubgate_text text;
  READ(&text);
  hubgate_log_info(text, "by", call->client->id);
  return hubgate_done();
}

METHOD(context) {
  hubgate_text random = hubgate_random(8);
  hubgate_json bytes = hubgate_json_raw("[]"), context = hubgate_object();
  for (size_t at = 0; at < random.length; at++) bytes = hubgate_append(bytes, (unsigned)(unsigned char)random.at[at]);
  context = hubgate_with(context, "now", hubgate_now());
  context = hubgate_with(context, "eventId", hubgate_event_id());
  context = hubgate_with(context, "timeLeft", hubgate_time_left());
  return hubgate_reply(hubgate_with(context, "random", bytes));
}

METHOD(whoami) {
  hubgate_text id = call->client->id;
  hubgate_pairs claims;
  hubgate_json list = hubgate_json_raw("[]"), who = hubgate_object();
  hubgate_claims(id, &claims);
  for (size_t at = 0; at < claims.length; at++) {
    list = hubgate_append(list, hubgate_array(claims.at[at].name, claims.at[at].value));
  }
  who = hubgate_with(who, "connectionId", id);
  who = hubgate_with(who, "userId", or_null(call->client->user));
  who = hubgate_with(who, "hub", call->client->hub);
  who = hubgate_with(who, "claims", list);
  who = hubgate_with(who, "query", or_null(hubgate_query(id)));
  who = hubgate_with(who, "protocol", or_null(hubgate_protocol(id)));
  return hubgate_reply(hubgate_with(who, "address", or_null(hubgate_remote_address(id))));
}

METHOD(chance) {
  unsigned number;
  if (getentropy(&number, sizeof number) != 0) return hubgate_fail("no entropy");
  return hubgate_reply(number);
}

METHOD(now) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return hubgate_reply((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

METHOD(raw) { return hubgate_reply_payload(call->arguments); }

METHOD(fetch) {
  hubgate_http_request request = {.method = hubgate_text_of("GET")};
  hubgate_http_response response;
  READ(&request.url);
  TRY(hubgate_http_send(&request, &response));
  hubgate_json fetched = hubgate_with(hubgate_object(), "status", (int)response.status);
  return hubgate_reply(hubgate_with(fetched, "body", response.body));
}

static hubgate_answer connected(const hubgate_client *client) {
  bool is_refused = client->user.is_there && hubgate_equals(client->user.text, "refuse-me");
  return is_refused ? hubgate_reject("You are not welcome.") : hubgate_done();
}

static hubgate_answer disconnected(const hubgate_client *client, hubgate_optional reason) {
  int64_t sum;
  DO(hubgate_state_increment("gone", 1, HUBGATE_FOR_EVER, &sum));
}

HUBGATE_HANDLER(.connected = connected, .disconnected = disconnected,
                .methods = {{"add", add},
                            {"chance", chance},
                            {"clock", now},
                            {"context", context},
                            {"count", count},
                            {"crash", crash},
                            {"delete", forget},
                            {"echo", echo},
                            {"exists", exists},
                            {"fail", fail},
                            {"failed", failed},
                            {"fetch", fetch},
                            {"get", get},
                            {"grow", grow},
                            {"join", join},
                            {"joinUser", join_user},
                            {"keys", keys},
                            {"leave", leave},
                            {"leaveAll", leave_all},
                            {"length", length},
                            {"note", note},
                            {"quit", quit},
                            {"raw", raw},
                            {"say", say},
                            {"sayAndCrash", say_and_crash},
                            {"sayAndFail", say_and_fail},
                            {"sayFlushAndFail", say_flush_and_fail},
                            {"sayTo", say_to},
                            {"sayToConnection", say_to_connection},
                            {"sayToOthers", say_to_others},
                            {"set", set},
                            {"setting", setting},
                            {"spin", spin},
                            {"swap", swap},
                            {"tell", tell},
                            {"whoami", whoami}})
