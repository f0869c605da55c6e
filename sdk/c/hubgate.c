// Handlers and filters as the gateway calls them, and its imports.
#include "hubgate.h"

#include <string.h>

#ifdef __wasm__
#define IMPORT(interface, name) __attribute__((import_module("hubgate:plugin/" interface "@0.1.0"), import_name(name)))
#else
#define IMPORT(interface, name)
#endif

// What the gateway reads after an export has returned.
static union {
  hubgate_answer invoke;
  // Of nothing, or an error.
  struct {
    uint8_t is_error;
    struct {
      uint8_t kind;
      hubgate_text text;
    } error;
  } done;
  struct {
    uint8_t is_error;
    hubgate_text text;
  } text;
  hubgate_verdict verdict;
} answered;

// ---- What leaves: the gateway ends a call that gives it a text which is not well-formed.

static void mend(hubgate_text *text) { *text = hubgate_well_formed(*text); }

static void mend_optional(hubgate_optional *text) {
  if (text->is_there) mend(&text->text);
}

static void mend_payload(hubgate_payload *payload) {
  if (payload->format == HUBGATE_JSON_TEXT) mend(&payload->bytes);
}

hubgate_texts hubgate_mended_texts(hubgate_texts texts) {
  hubgate_text *mended = hubgate_allocate(texts.length * sizeof *mended);
  for (size_t index = 0; index < texts.length; index++) mended[index] = hubgate_well_formed(texts.at[index]);
  return (hubgate_texts){mended, texts.length};
}

hubgate_pairs hubgate_mended_pairs(hubgate_pairs pairs) {
  hubgate_pair *mended = hubgate_allocate(pairs.length * sizeof *mended);
  for (size_t index = 0; index < pairs.length; index++) {
    mended[index] = (hubgate_pair){hubgate_well_formed(pairs.at[index].name), hubgate_well_formed(pairs.at[index].value)};
  }
  return (hubgate_pairs){mended, pairs.length};
}

static hubgate_answer leaving(hubgate_answer answer) {
  hubgate_optional mistake = hubgate_mistake();
  if (!answer.is_error && mistake.is_there) answer = hubgate_fail_text(mistake.text);
  if (answer.is_error) {
    mend(&answer.error.text);
  } else if (answer.value.is_there) {
    mend_payload(&answer.value.payload);
  }
  return answer;
}

const void *hubgate_leaves(hubgate_answer given) {
  hubgate_answer answer = leaving(given);
  memset(&answered, 0, sizeof answered);
  if (answer.is_error) {
    answered.done.is_error = 1;
    answered.done.error.kind = answer.error.kind;
    answered.done.error.text = answer.error.text;
  }
  return &answered;
}

void hubgate_break_off_if_refused(void) {
  hubgate_optional mistake = hubgate_mistake();
  if (!mistake.is_there) return;
  hubgate_log(3, &mistake.text, 1);
  __builtin_trap();
}

static const void *decided(hubgate_verdict verdict) {
  // A verdict has no failure, so that breaking off is one.
  hubgate_break_off_if_refused();
  if (verdict.kind == 1) {
    mend_optional(&verdict.message.method);
    if (verdict.message.content.is_there) mend_payload(&verdict.message.content.payload);
    mend_optional(&verdict.message.error);
  } else if (verdict.kind == 2 || verdict.kind == 4) {
    mend(&verdict.text);
  }
  answered.verdict = verdict;
  return &answered;
}

const void *hubgate_leaves_text(hubgate_answer given) {
  hubgate_answer answer = leaving(given);
  memset(&answered, 0, sizeof answered);
  if (answer.is_error) {
    answered.text.is_error = 1;
    answered.text.text = answer.error.text;
  }
  return &answered;
}

const void *hubgate_run_init(hubgate_answer (*init)(void)) { return hubgate_leaves_text(init != NULL ? init() : hubgate_done()); }

const void *hubgate_run_connected(const hubgate_handler *handler, hubgate_client client) {
  return hubgate_leaves(handler->connected != NULL ? handler->connected(&client) : hubgate_done());
}

const void *hubgate_run_disconnected(const hubgate_handler *handler, hubgate_client client, hubgate_optional reason) {
  return hubgate_leaves(handler->disconnected != NULL ? handler->disconnected(&client, reason) : hubgate_done());
}

static hubgate_answer answer_to(const hubgate_handler *handler, const hubgate_call *call) {
  size_t most = sizeof handler->methods / sizeof handler->methods[0];
  for (const hubgate_method *method = handler->methods; method < handler->methods + most && method->name != NULL; method++) {
    if (hubgate_equals(call->method, method->name)) return method->answer(call);
  }
  if (handler->otherwise != NULL) return handler->otherwise(call);
  return hubgate_reject(hubgate_concat("There is no method '", call->method, "'."));
}

const void *hubgate_run_invoke(const hubgate_handler *handler, const hubgate_call *call) {
  answered.invoke = leaving(answer_to(handler, call));
  return &answered;
}

const void *hubgate_run_inbound(const hubgate_filter *filter, const void *given) {
  const struct {
    hubgate_client client;
    hubgate_message message;
  } *arguments = given;
  return decided(filter->inbound != NULL ? filter->inbound(&arguments->client, &arguments->message) : hubgate_pass());
}

const void *hubgate_run_outbound(const hubgate_filter *filter, const void *given) {
  const struct {
    hubgate_delivery delivery;
    hubgate_message message;
  } *arguments = given;
  return decided(filter->outbound != NULL ? filter->outbound(&arguments->delivery, &arguments->message) : hubgate_pass());
}

static hubgate_result with(hubgate_result result, hubgate_text text) {
  hubgate_set_problem(text);
  return result;
}

// Nobody need look at what the hub says: the call fails, too.
static hubgate_result refused(hubgate_text text) {
  hubgate_set_mistake(text);
  return HUBGATE_INVALID;
}

// ---- hub

typedef struct {
  uint8_t kind;
  hubgate_text name;
} member;

typedef struct {
  uint8_t kind;
  union {
    struct {
      hubgate_target to;
      hubgate_text method;
      hubgate_payload arguments;
      hubgate_texts except;
    } send;
    struct {
      member member;
      hubgate_text group;
      uint8_t has_seconds;
      uint32_t seconds;
    } join;
    struct {
      member member;
      hubgate_text group;
    } leave;
    member leave_all;
    struct {
      hubgate_target target;
      hubgate_texts except;
      hubgate_optional reason;
      bool allow_reconnect;
    } close;
  };
} action;

typedef struct {
  uint8_t is_error;
  uint32_t index;
  hubgate_text reason;
} submitted;

IMPORT("hub", "submit") void import_submit(const action *actions, size_t count, submitted *result);
IMPORT("hub", "flush") void import_flush(void);
IMPORT("hub", "exists") void import_exists(int kind, const char *name, size_t length, void *result);

static hubgate_result submit(action action) {
  submitted result;
  import_submit(&action, 1, &result);
  return result.is_error ? refused(result.reason) : HUBGATE_OK;
}

hubgate_result hubgate_send_payload(hubgate_target to, hubgate_text method, hubgate_payload arguments, hubgate_texts except) {
  mend(&to.name);
  mend(&method);
  mend_payload(&arguments);
  return submit((action){0, .send = {to, method, arguments, hubgate_mended_texts(except)}});
}

// Connections and users alone can be members.
static bool is_member(hubgate_target target, member *member) {
  member->kind = target.kind == 3 ? 0 : 1;
  member->name = hubgate_well_formed(target.name);
  if (target.kind >= 2) return true;
  refused(hubgate_text_of("all and groups cannot be in groups: connections and users can"));
  return false;
}

hubgate_result hubgate_join_for(hubgate_target target, hubgate_text group, int64_t seconds) {
  action join = {1, .join = {.group = hubgate_well_formed(group), .has_seconds = seconds != HUBGATE_FOR_EVER}};
  join.join.seconds = seconds < 0 ? 0 : seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds;
  return is_member(target, &join.join.member) ? submit(join) : HUBGATE_INVALID;
}

hubgate_result hubgate_leave_group(hubgate_target target, hubgate_text group) {
  action leave = {2, .leave = {.group = hubgate_well_formed(group)}};
  return is_member(target, &leave.leave.member) ? submit(leave) : HUBGATE_INVALID;
}

hubgate_result hubgate_leave_all(hubgate_target target) {
  action leave = {3, .leave_all = {0}};
  return is_member(target, &leave.leave_all) ? submit(leave) : HUBGATE_INVALID;
}

hubgate_result hubgate_close_target(hubgate_target target, hubgate_texts except, hubgate_optional reason, bool allow_reconnect) {
  mend(&target.name);
  mend_optional(&reason);
  return submit((action){4, .close = {target, hubgate_mended_texts(except), reason, allow_reconnect}});
}

void hubgate_flush(void) { import_flush(); }

hubgate_result hubgate_exists(hubgate_target target, bool *exists) {
  struct {
    uint8_t is_error;
    union {
      uint8_t exists;
      hubgate_text reason;
    };
  } result;
  mend(&target.name);
  import_exists(target.kind, target.name.at, target.name.length, &result);
  if (result.is_error) return refused(result.reason);
  *exists = result.exists;
  return HUBGATE_OK;
}

// ---- state

typedef struct {
  uint8_t kind;
  hubgate_text text;
} state_error;

typedef struct {
  uint8_t is_error;
  union {
    uint8_t is_done;
    hubgate_optional value;
    hubgate_texts keys;
    state_error error;
  };
} state_result;

typedef struct {
  uint8_t is_error;
  union {
    int64_t sum;
    state_error error;
  };
} state_sum;

IMPORT("state", "get") void import_get(const char *key, size_t length, state_result *result);
IMPORT("state", "set")
void import_set(const char *key, size_t length, const char *value, size_t value_length, int has_ttl, uint64_t ttl,
                state_result *result);
IMPORT("state", "compare-and-set")
void import_compare_and_set(const char *key, size_t length, int has_expected, const char *expected, size_t expected_length,
                            int has_value, const char *value, size_t value_length, int has_ttl, uint64_t ttl,
                            state_result *result);
IMPORT("state", "delete") void import_delete(const char *key, size_t length, state_result *result);
IMPORT("state", "increment")
void import_increment(const char *key, size_t length, int64_t by, int has_ttl, uint64_t ttl, state_sum *result);
IMPORT("state", "keys")
void import_keys(const char *prefix, size_t length, int has_after, const char *after, size_t after_length, uint32_t limit,
                 state_result *result);

static hubgate_result state_failed(state_error error) {
  switch (error.kind) {
    case 0:
      return with(HUBGATE_TOO_LARGE, hubgate_text_of("state: too large"));
    case 1:
      return with(HUBGATE_QUOTA, hubgate_text_of("state: the quota is used up"));
    default:
      return with(HUBGATE_UNAVAILABLE, hubgate_concat("state: ", error.text));
  }
}

static hubgate_result state_ended(const state_result *result) {
  return result->is_error ? state_failed(result->error) : HUBGATE_OK;
}

// Zero is over at once, and less is no time either.
static uint64_t milliseconds(int64_t ttl) { return ttl < 0 ? 0 : (uint64_t)ttl; }

hubgate_result hubgate_state_read(hubgate_text key, hubgate_text *bytes) {
  state_result result;
  mend(&key);
  import_get(key.at, key.length, &result);
  if (result.is_error) return state_failed(result.error);
  if (!result.value.is_there) return with(HUBGATE_NONE, hubgate_text_of("state: there is no such value"));
  *bytes = result.value.text;
  return HUBGATE_OK;
}

hubgate_result hubgate_state_write(hubgate_text key, hubgate_text bytes, int64_t ttl) {
  state_result result;
  mend(&key);
  import_set(key.at, key.length, bytes.at, bytes.length, ttl != HUBGATE_FOR_EVER, milliseconds(ttl), &result);
  return state_ended(&result);
}

hubgate_result hubgate_state_exchange(hubgate_text key, hubgate_optional expected, hubgate_optional value, int64_t ttl,
                                      bool *is_done) {
  state_result result;
  mend(&key);
  import_compare_and_set(key.at, key.length, expected.is_there, expected.text.at, expected.text.length, value.is_there,
                         value.text.at, value.text.length, ttl != HUBGATE_FOR_EVER, milliseconds(ttl), &result);
  if (!result.is_error) *is_done = result.is_done;
  return state_ended(&result);
}

hubgate_result hubgate_state_forget(hubgate_text key) {
  state_result result;
  mend(&key);
  import_delete(key.at, key.length, &result);
  return state_ended(&result);
}

hubgate_result hubgate_state_add(hubgate_text key, int64_t by, int64_t ttl, int64_t *sum) {
  state_sum result;
  mend(&key);
  import_increment(key.at, key.length, by, ttl != HUBGATE_FOR_EVER, milliseconds(ttl), &result);
  if (result.is_error) return state_failed(result.error);
  *sum = result.sum;
  return HUBGATE_OK;
}

hubgate_result hubgate_state_keys(hubgate_text prefix, hubgate_optional after, uint32_t limit, hubgate_texts *keys) {
  state_result result;
  mend(&prefix);
  mend_optional(&after);
  import_keys(prefix.at, prefix.length, after.is_there, after.text.at, after.text.length, limit, &result);
  if (!result.is_error) *keys = result.keys;
  return state_ended(&result);
}

// ---- config, log, context, connections

typedef struct {
  uint8_t is_there;
  hubgate_pairs pairs;
} optional_pairs;

IMPORT("config", "get") void import_config(const char *key, size_t length, hubgate_optional *value);
IMPORT("log", "write")
void import_log(int level, const char *text, size_t length, const hubgate_pair *fields, size_t count);
IMPORT("context", "now") uint64_t import_now(void);
IMPORT("context", "random") void import_random(uint32_t length, hubgate_text *bytes);
IMPORT("context", "event-id") void import_event_id(hubgate_text *id);
IMPORT("context", "message-headers") void import_message_headers(hubgate_pairs *headers);
IMPORT("context", "time-left") uint32_t import_time_left(void);
IMPORT("connections", "claims") void import_claims(const char *id, size_t length, optional_pairs *claims);
IMPORT("connections", "query") void import_query(const char *id, size_t length, hubgate_optional *query);
IMPORT("connections", "headers") void import_headers(const char *id, size_t length, optional_pairs *headers);
IMPORT("connections", "remote-address")
void import_remote_address(const char *id, size_t length, hubgate_optional *address);
IMPORT("connections", "protocol") void import_protocol(const char *id, size_t length, hubgate_optional *protocol);

hubgate_optional hubgate_config_value(hubgate_text key) {
  hubgate_optional value;
  mend(&key);
  import_config(key.at, key.length, &value);
  return value;
}

void hubgate_log(int level, const hubgate_text *texts, size_t count) {
  // Names and values in turn lie in memory as pairs do. The last name may have no value.
  hubgate_text *mended = hubgate_allocate((count + 1) * sizeof *mended);
  for (size_t index = 0; index < count; index++) mended[index] = hubgate_well_formed(texts[index]);
  mended[count] = hubgate_text_of("(missing)");
  import_log(level, mended[0].at, mended[0].length, (const hubgate_pair *)(mended + 1), count / 2);
}

uint64_t hubgate_now(void) { return import_now(); }

uint32_t hubgate_time_left(void) { return import_time_left(); }

hubgate_text hubgate_random(uint32_t length) {
  hubgate_text bytes;
  import_random(length, &bytes);
  return bytes;
}

hubgate_text hubgate_event_id(void) {
  hubgate_text id;
  import_event_id(&id);
  return id;
}

hubgate_pairs hubgate_message_headers(void) {
  hubgate_pairs headers;
  import_message_headers(&headers);
  return headers;
}

bool hubgate_claims(hubgate_text id, hubgate_pairs *claims) {
  optional_pairs result;
  mend(&id);
  import_claims(id.at, id.length, &result);
  *claims = result.is_there ? result.pairs : (hubgate_pairs){0};
  return result.is_there;
}

bool hubgate_headers(hubgate_text id, hubgate_pairs *headers) {
  optional_pairs result;
  mend(&id);
  import_headers(id.at, id.length, &result);
  *headers = result.is_there ? result.pairs : (hubgate_pairs){0};
  return result.is_there;
}

hubgate_optional hubgate_query(hubgate_text id) {
  hubgate_optional query;
  mend(&id);
  import_query(id.at, id.length, &query);
  return query;
}

hubgate_optional hubgate_remote_address(hubgate_text id) {
  hubgate_optional address;
  mend(&id);
  import_remote_address(id.at, id.length, &address);
  return address;
}

hubgate_optional hubgate_protocol(hubgate_text id) {
  hubgate_optional protocol;
  mend(&id);
  import_protocol(id.at, id.length, &protocol);
  return protocol;
}

// ---- http

typedef struct {
  uint8_t is_error;
  union {
    hubgate_http_response response;
    struct {
      uint8_t kind;
      hubgate_text text;
    } error;
  };
} http_result;

IMPORT("http", "send")
void import_http(const char *method, size_t method_length, const char *url, size_t url_length, const hubgate_pair *headers,
                 size_t header_count, const char *body, size_t body_length, int has_timeout, uint32_t timeout,
                 http_result *result);

hubgate_result hubgate_http_send(const hubgate_http_request *request, hubgate_http_response *response) {
  http_result result;
  hubgate_text method = hubgate_well_formed(request->method), url = hubgate_well_formed(request->url);
  hubgate_pairs headers = hubgate_mended_pairs(request->headers);
  import_http(method.at, method.length, url.at, url.length, headers.at, headers.length,
              request->body.at, request->body.length, request->timeout > 0, request->timeout, &result);
  if (!result.is_error) {
    *response = result.response;
    return HUBGATE_OK;
  }
  switch (result.error.kind) {
    case 0:
      return with(HUBGATE_DENIED, hubgate_concat("http: denied: ", result.error.text));
    case 1:
      return with(HUBGATE_TIMED_OUT, hubgate_text_of("http: timed out"));
    case 2:
      return with(HUBGATE_TOO_LARGE, hubgate_text_of("http: too large"));
    default:
      return with(HUBGATE_FAILED, hubgate_concat("http: ", result.error.text));
  }
}
