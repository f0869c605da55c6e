// Whole hubs and negotiators as the gateway calls them, and the imports that they alone have.
#include "whole_hub.h"

#include <string.h>

#ifdef __wasm__
#define IMPORT(interface, name) __attribute__((import_module("hubgate:plugin/" interface "@0.1.0"), import_name(name)))
#else
#define IMPORT(interface, name)
#endif

static hubgate_result with(hubgate_result result, hubgate_text text) {
  hubgate_set_problem(text);
  return result;
}

// An error of the contract: which, and a text of some.
typedef struct {
  uint8_t kind;
  union {
    hubgate_text text;
    hubgate_room room;
  };
} contract_error;

// ---- Streams

typedef struct {
  uint8_t is_error;
  union {
    hubgate_room room;
    contract_error error;
  };
} pushed;

IMPORT("streams", "push")
void import_push(const char *id, size_t length, const hubgate_payload *items, size_t count, pushed *result);
IMPORT("streams", "finish")
void import_finish(const char *id, size_t length, int is_error, int first, uintptr_t second, uintptr_t third, uintptr_t fourth, pushed *result);

static hubgate_result stream_failed(contract_error error) {
  switch (error.kind) {
    case 0:
      return with(HUBGATE_OVER, hubgate_text_of("stream: it has ended, or its client is gone"));
    case 1:
      return with(HUBGATE_FULL, hubgate_concat("stream: it is full; ", error.room.items, " items and ", error.room.bytes, " bytes may still be pushed"));
    case 2:
      return with(HUBGATE_TOO_LARGE, hubgate_text_of("stream: what is pushed would never fit"));
    default:
      return with(HUBGATE_INVALID, hubgate_concat("stream: ", error.text));
  }
}

hubgate_result hubgate_push_payloads(hubgate_stream stream, const hubgate_payload *items, size_t count, hubgate_room *room) {
  pushed result;
  hubgate_text id = hubgate_well_formed(stream.id);
  hubgate_payload *mended = hubgate_allocate(count * sizeof *mended);
  for (size_t index = 0; index < count; index++) {
    mended[index] = items[index];
    if (mended[index].format == HUBGATE_JSON_TEXT) mended[index].bytes = hubgate_well_formed(mended[index].bytes);
  }
  import_push(id.at, id.length, mended, count, &result);
  if (room != NULL && (!result.is_error || result.error.kind == 1)) *room = result.is_error ? result.error.room : result.room;
  return result.is_error ? stream_failed(result.error) : HUBGATE_OK;
}

hubgate_answer hubgate_finish(hubgate_stream stream, hubgate_answer answer) {
  pushed result;
  hubgate_text id = hubgate_well_formed(stream.id);
  if (answer.is_error) {
    hubgate_text text = hubgate_well_formed(answer.error.text);
    import_finish(id.at, id.length, 1, answer.error.kind, (uintptr_t)text.at, text.length, 0, &result);
  } else {
    hubgate_payload payload = answer.value.is_there ? answer.value.payload : (hubgate_payload){0};
    if (payload.format == HUBGATE_JSON_TEXT) payload.bytes = hubgate_well_formed(payload.bytes);
    import_finish(id.at, id.length, 0, answer.value.is_there, payload.format, (uintptr_t)payload.bytes.at, payload.bytes.length, &result);
  }
  if (!result.is_error) return hubgate_done();
  stream_failed(result.error);
  return hubgate_fail(hubgate_problem());
}

// ---- Questions

typedef struct {
  uint8_t is_error;
  union {
    hubgate_client_result answer;
    contract_error error;
  };
} asked;

IMPORT("client-results", "ask")
void import_ask(const char *id, size_t length, const char *method, size_t method_length, int format, const char *arguments,
                size_t arguments_length, uint32_t timeout, asked *result);

hubgate_result hubgate_ask_payload(hubgate_text id, hubgate_text method, hubgate_payload arguments, uint32_t timeout,
                                   hubgate_client_result *answer) {
  asked result;
  id = hubgate_well_formed(id);
  method = hubgate_well_formed(method);
  if (arguments.format == HUBGATE_JSON_TEXT) arguments.bytes = hubgate_well_formed(arguments.bytes);
  import_ask(id.at, id.length, method.at, method.length, arguments.format, arguments.bytes.at, arguments.bytes.length, timeout, &result);
  if (!result.is_error) {
    *answer = result.answer;
    return HUBGATE_OK;
  }
  switch (result.error.kind) {
    case 0:
      return with(HUBGATE_NONE, hubgate_text_of("The connection does not exist."));
    case 1:
      return with(HUBGATE_FAILED, result.error.text);
    case 2:
      return with(HUBGATE_TIMED_OUT, hubgate_text_of("The client did not answer in time."));
    case 3:
      return with(HUBGATE_LEFT, hubgate_text_of("The client left before it answered."));
    default:
      return with(HUBGATE_BUSY, hubgate_text_of("Too many wait for answers of clients; try again later."));
  }
}

// ---- Timers

typedef struct {
  uint8_t is_error;
  union {
    uint8_t was_there;
    hubgate_timers timers;
    contract_error error;
  };
} timer_result;

IMPORT("timers", "set")
void import_timer_set(const char *name, size_t length, int when, uint64_t milliseconds, const char *payload, size_t payload_length,
                      int durable, timer_result *result);
IMPORT("timers", "cancel") void import_timer_cancel(const char *name, size_t length, timer_result *result);
IMPORT("timers", "list")
void import_timer_list(int has_after, const char *after, size_t length, uint32_t limit, timer_result *result);

static hubgate_result timer_ended(const timer_result *result) {
  if (!result->is_error) return HUBGATE_OK;
  switch (result->error.kind) {
    case 0:
      return with(HUBGATE_TOO_MANY, hubgate_text_of("timers: the plugin has as many as it may have (plugins.NAME.timers)"));
    case 1:
      return with(HUBGATE_TOO_SHORT, hubgate_text_of("timers: the period is shorter than the plugin's may be (plugins.NAME.shortest-period)"));
    case 2:
      return with(HUBGATE_TOO_LARGE, hubgate_text_of("timers: the name or the payload is too large"));
    default:
      return with(HUBGATE_UNAVAILABLE, hubgate_concat("timers: ", result->error.text));
  }
}

hubgate_result hubgate_timer_set(hubgate_text name, hubgate_schedule when, uint64_t milliseconds, hubgate_text payload, hubgate_kept kept) {
  timer_result result;
  name = hubgate_well_formed(name);
  import_timer_set(name.at, name.length, when, milliseconds, payload.at, payload.length, kept, &result);
  return timer_ended(&result);
}

hubgate_result hubgate_timer_forget(hubgate_text name) {
  timer_result result;
  name = hubgate_well_formed(name);
  import_timer_cancel(name.at, name.length, &result);
  if (result.is_error) return timer_ended(&result);
  return result.was_there ? HUBGATE_OK : with(HUBGATE_NONE, hubgate_text_of("timers: there is no such timer"));
}

hubgate_result hubgate_timer_list(hubgate_optional after, uint32_t limit, hubgate_timers *timers) {
  timer_result result;
  after.text = hubgate_well_formed(after.text);
  import_timer_list(after.is_there, after.text.at, after.text.length, limit, &result);
  if (!result.is_error) *timers = result.timers;
  return timer_ended(&result);
}

// ---- Presence

typedef struct {
  uint8_t is_error;
  union {
    uint64_t connections;
    hubgate_text reason;
  };
} counted;

typedef struct {
  uint8_t is_error;
  union {
    hubgate_presents members;
    hubgate_texts ids;
    hubgate_text reason;
    contract_error error;
  };
} presence_result;

IMPORT("presence", "count") void import_count(int kind, const char *name, size_t length, counted *result);
IMPORT("presence", "members")
void import_members(const char *group, size_t length, int has_after, const char *after, size_t after_length, uint32_t limit, presence_result *result);
IMPORT("presence", "connections")
void import_connections(const char *user, size_t length, int has_after, const char *after, size_t after_length, uint32_t limit, presence_result *result);
IMPORT("presence", "watch") void import_watch(const char *group, size_t length, presence_result *result);
IMPORT("presence", "unwatch") void import_unwatch(const char *group, size_t length, presence_result *result);

static hubgate_result presence_failed(hubgate_text reason) { return with(HUBGATE_UNAVAILABLE, hubgate_concat("presence: ", reason)); }

hubgate_result hubgate_presence_count(hubgate_target target, uint64_t *connections) {
  counted result;
  hubgate_text name = hubgate_well_formed(target.name);
  import_count(target.kind, name.at, name.length, &result);
  if (result.is_error) return presence_failed(result.reason);
  *connections = result.connections;
  return HUBGATE_OK;
}

hubgate_result hubgate_presence_members(hubgate_text group, hubgate_optional after, uint32_t limit, hubgate_presents *members) {
  presence_result result;
  group = hubgate_well_formed(group);
  after.text = hubgate_well_formed(after.text);
  import_members(group.at, group.length, after.is_there, after.text.at, after.text.length, limit, &result);
  if (result.is_error) return presence_failed(result.reason);
  *members = result.members;
  return HUBGATE_OK;
}

hubgate_result hubgate_presence_connections(hubgate_text user, hubgate_optional after, uint32_t limit, hubgate_texts *ids) {
  presence_result result;
  user = hubgate_well_formed(user);
  after.text = hubgate_well_formed(after.text);
  import_connections(user.at, user.length, after.is_there, after.text.at, after.text.length, limit, &result);
  if (result.is_error) return presence_failed(result.reason);
  *ids = result.ids;
  return HUBGATE_OK;
}

hubgate_result hubgate_presence_follow(hubgate_text group, bool is_watched) {
  presence_result result;
  group = hubgate_well_formed(group);
  if (is_watched) {
    import_watch(group.at, group.length, &result);
  } else {
    import_unwatch(group.at, group.length, &result);
  }
  if (!result.is_error) return HUBGATE_OK;
  if (result.error.kind == 0) {
    return with(HUBGATE_TOO_MANY, hubgate_text_of("presence: the plugin watches as many groups as it may (plugins.NAME.presence-groups)"));
  }
  return with(HUBGATE_INVALID, hubgate_concat("presence: ", result.error.text));
}

// ---- What the gateway calls

enum { STREAMS = sizeof((hubgate_whole_hub *)0)->streams / sizeof(hubgate_streaming) };

static const hubgate_streaming *streaming_of(const hubgate_whole_hub *plugin, hubgate_text method) {
  for (const hubgate_streaming *one = plugin->streams; one < plugin->streams + STREAMS && one->name != NULL; one++) {
    if (hubgate_equals(method, one->name)) return one;
  }
  return NULL;
}

const void *hubgate_run_whole_invoke(const hubgate_whole_hub *plugin, const hubgate_call *call) {
  if (streaming_of(plugin, call->method) == NULL) return hubgate_run_invoke(&plugin->handler, call);
  // In the words of ASP.NET Core.
  hubgate_text text = hubgate_concat("The client attempted to invoke the streaming '", call->method, "' method with a non-streaming invocation.");
  return hubgate_leaves(hubgate_reject(text));
}

const void *hubgate_run_begin(const hubgate_whole_hub *plugin, const void *given) {
  const struct {
    hubgate_client client;
    hubgate_text id, method;
    hubgate_payload arguments;
    hubgate_texts uploads;
    uint8_t wanted;
  } *lent = given;
  hubgate_opening opening = {
      {&lent->client, lent->method, lent->arguments, lent->wanted == HUBGATE_WANTS_VALUE}, {lent->id}, lent->uploads, lent->wanted};
  const hubgate_streaming *method = streaming_of(plugin, lent->method);
  if (method == NULL) return hubgate_leaves(hubgate_reject(hubgate_concat("There is no method '", lent->method, "' with streams.")));
  return hubgate_leaves(method->begin(&opening));
}

void hubgate_run_writable(const hubgate_whole_hub *plugin, hubgate_client client, hubgate_stream stream, hubgate_room room) {
  if (plugin->writable != NULL) plugin->writable(&client, stream, room);
  hubgate_break_off_if_refused();
  hubgate_end(NULL);
}

void hubgate_run_cancelled(const hubgate_whole_hub *plugin, hubgate_client client, hubgate_stream stream) {
  if (plugin->cancelled != NULL) plugin->cancelled(&client, stream);
  hubgate_break_off_if_refused();
  hubgate_end(NULL);
}

const void *hubgate_run_item(const hubgate_whole_hub *plugin, hubgate_client client, hubgate_text upload, hubgate_payload item) {
  return hubgate_leaves(plugin->item != NULL ? plugin->item(&client, upload, item) : hubgate_done());
}

const void *hubgate_run_ended(const hubgate_whole_hub *plugin, hubgate_client client, hubgate_text upload, hubgate_optional error) {
  return hubgate_leaves(plugin->ended != NULL ? plugin->ended(&client, upload, error) : hubgate_done());
}

const void *hubgate_run_fired(const hubgate_whole_hub *plugin, hubgate_text hub, hubgate_text timer, hubgate_text payload) {
  return hubgate_leaves_text(plugin->fired != NULL ? plugin->fired(hub, timer, payload) : hubgate_done());
}

const void *hubgate_run_changed(const hubgate_whole_hub *plugin, hubgate_text hub, hubgate_text group, hubgate_presents joined,
                                hubgate_presents left) {
  return hubgate_leaves_text(plugin->presence_changed != NULL ? plugin->presence_changed(hub, group, joined, left) : hubgate_done());
}

const void *hubgate_run_started(const hubgate_whole_hub *plugin, hubgate_text hub) {
  return hubgate_leaves_text(plugin->started != NULL ? plugin->started(hub) : hubgate_done());
}

// ---- Sign-in

const void *hubgate_run_authorize(hubgate_decision (*authorize)(const hubgate_request *request), hubgate_request request) {
  static hubgate_decision decision;
  decision = authorize != NULL ? authorize(&request)
                               : hubgate_undecided(hubgate_concat("this plugin has no authorizer for the hub '", request.hub, "'"));
  hubgate_optional mistake = hubgate_mistake();
  if (!decision.is_refused && mistake.is_there) decision = hubgate_undecided(mistake.text);
  if (decision.is_refused) {
    decision.refusal.text = hubgate_well_formed(decision.refusal.text);
    return &decision;
  }
  decision.grant.user.text = hubgate_well_formed(decision.grant.user.text);
  decision.grant.claims = hubgate_mended_pairs(decision.grant.claims);
  decision.grant.groups = hubgate_mended_texts(decision.grant.groups);
  return &decision;
}
