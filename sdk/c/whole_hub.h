// A whole hub in C: what a handler is, and streams, questions to clients, timers, presence and sign-in beside it. Include this, and say
// once HUBGATE_WHOLE_HUB, or HUBGATE_NEGOTIATOR of what only decides who may come. All that is not said has a default.
//
//   static hubgate_answer countdown(const hubgate_opening *opening) {
//     int64_t from;
//     if (!hubgate_read(&opening->call, &from)) return hubgate_wrong_arguments();
//     for (; from > 0; from--) {
//       if (hubgate_push(opening->stream, from) != HUBGATE_OK) return hubgate_fail(hubgate_problem());
//     }
//     return hubgate_finish(opening->stream, hubgate_done());
//   }
//
//   HUBGATE_WHOLE_HUB(.handler = {.methods = {{"hello", hello}}}, .streams = {{"countdown", countdown}})
#pragma once

#include "hubgate.h"

// ---- Streams

// A call of a client that is not over: a stream to it, or a call whose answer it waits for. Its id may be kept, in state or in a
// timer's payload: HUBGATE_STREAM(id) goes on with it. What is done to it takes effect at once, whatever becomes of the call.
typedef struct {
  hubgate_text id;
} hubgate_stream;
#define HUBGATE_STREAM(id) ((hubgate_stream){HUBGATE_TEXT(id)})

// What may still be pushed before the client has taken some.
typedef struct {
  uint32_t items, bytes;
} hubgate_room;

typedef enum { HUBGATE_WANTS_ITEMS, HUBGATE_WANTS_VALUE, HUBGATE_WANTS_NOTHING } hubgate_wanted;
typedef struct {
  hubgate_call call;  // its client, method and arguments, for `hubgate_read`
  hubgate_stream stream;
  hubgate_texts uploads;  // the ids of the streams that come with the call, in the order of the method's parameters
  uint8_t wanted;         // hubgate_wanted
} hubgate_opening;

// Sends a VALUE. HUBGATE_FULL: there is no room now, and `writable` is called once there is; HUBGATE_OVER: it has ended, or its client
// is gone; HUBGATE_TOO_LARGE: it would never fit.
#define hubgate_push(stream, value) hubgate_push_payloads(stream, &(hubgate_payload){HUBGATE_JSON_TEXT, HUBGATE_VALUE(value).text}, 1, NULL)
// Sends all items or none. `room`, unless it is NULL, is what is left; also of a stream that is full.
hubgate_result hubgate_push_payloads(hubgate_stream stream, const hubgate_payload *items, size_t count, hubgate_room *room) HUBGATE_CHECKED;
// Ends a stream, or answers a call with uploads: with `hubgate_done()`, `hubgate_reply(value)` (of a call alone), `hubgate_reject(text)` or
// `hubgate_fail(text)`. What it gives ends a function: nothing, or a failure if the stream was no more.
hubgate_answer hubgate_finish(hubgate_stream stream, hubgate_answer answer);

// ---- Questions

// Calls a method of one connection, and waits for what it answers. HUBGATE_NONE: there is no such connection; HUBGATE_FAILED: the client's
// own error; HUBGATE_TIMED_OUT, HUBGATE_LEFT, HUBGATE_BUSY. `hubgate_problem()` is for the caller: `hubgate_reject(hubgate_problem())`.
// `timeout` is in milliseconds; 0 is the plugin's ask-time, which bounds every wait and does not count as call-time.
#define hubgate_ask(id, method, arguments, timeout, answer) \
  hubgate_ask_payload(HUBGATE_TEXT(id), HUBGATE_TEXT(method), (hubgate_payload){HUBGATE_JSON_TEXT, (arguments).text}, timeout, answer)
typedef struct {
  uint8_t is_there;  // a client may answer without a value
  hubgate_payload payload;
} hubgate_client_result;
hubgate_result hubgate_ask_payload(hubgate_text id, hubgate_text method, hubgate_payload arguments, uint32_t timeout,
                                   hubgate_client_result *answer) HUBGATE_CHECKED;

// ---- Timers

// A durable timer is kept as state is. Others last as long as the gateway runs, over swaps too, and write nothing.
typedef enum { HUBGATE_PROCESS, HUBGATE_DURABLE } hubgate_kept;
typedef enum { HUBGATE_AFTER, HUBGATE_AT, HUBGATE_EVERY } hubgate_schedule;
// In the place of the timer with that name. Milliseconds: from now, since 1970, or between two times; missed ones count once. The payload
// is a TEXT. HUBGATE_TOO_MANY, HUBGATE_TOO_SHORT, HUBGATE_TOO_LARGE, HUBGATE_UNAVAILABLE.
#define hubgate_timer_after(name, ms, payload, kept) hubgate_timer_set(HUBGATE_TEXT(name), HUBGATE_AFTER, ms, HUBGATE_TEXT(payload), kept)
#define hubgate_timer_at(name, time, payload, kept) hubgate_timer_set(HUBGATE_TEXT(name), HUBGATE_AT, time, HUBGATE_TEXT(payload), kept)
#define hubgate_timer_every(name, ms, payload, kept) hubgate_timer_set(HUBGATE_TEXT(name), HUBGATE_EVERY, ms, HUBGATE_TEXT(payload), kept)
hubgate_result hubgate_timer_set(hubgate_text name, hubgate_schedule when, uint64_t milliseconds, hubgate_text payload, hubgate_kept kept) HUBGATE_CHECKED;
// HUBGATE_NONE if there was none.
#define hubgate_timer_cancel(name) hubgate_timer_forget(HUBGATE_TEXT(name))
hubgate_result hubgate_timer_forget(hubgate_text name) HUBGATE_CHECKED;

typedef struct {
  hubgate_text name;
  struct {
    uint8_t kind;  // hubgate_schedule
    uint64_t milliseconds;
  } when;
  uint64_t due;  // milliseconds since 1970
  hubgate_text payload;
  bool is_durable;
} hubgate_timer;
typedef struct {
  const hubgate_timer *at;
  size_t length;
} hubgate_timers;
// Up to `limit` by name, after the name `after` if it is there.
hubgate_result hubgate_timer_list(hubgate_optional after, uint32_t limit, hubgate_timers *timers) HUBGATE_CHECKED;

// ---- Presence, in the whole cluster

typedef struct {
  hubgate_text connection;
  hubgate_optional user;
} hubgate_present;
typedef struct {
  const hubgate_present *at;
  size_t length;
} hubgate_presents;
hubgate_result hubgate_presence_count(hubgate_target target, uint64_t *connections) HUBGATE_CHECKED;
// Up to `limit` by connection, after the connection `after` if it is there.
hubgate_result hubgate_presence_members(hubgate_text group, hubgate_optional after, uint32_t limit, hubgate_presents *members) HUBGATE_CHECKED;
hubgate_result hubgate_presence_connections(hubgate_text user, hubgate_optional after, uint32_t limit, hubgate_texts *ids) HUBGATE_CHECKED;
// Whether `presence_changed` is told who joins and leaves a group. HUBGATE_TOO_MANY, HUBGATE_INVALID.
#define hubgate_presence_watch(group) hubgate_presence_follow(HUBGATE_TEXT(group), true)
#define hubgate_presence_unwatch(group) hubgate_presence_follow(HUBGATE_TEXT(group), false)
hubgate_result hubgate_presence_follow(hubgate_text group, bool is_watched) HUBGATE_CHECKED;

// ---- Sign-in

typedef struct {
  hubgate_text hub;
  hubgate_pairs headers, query;
  hubgate_text remote_address;
} hubgate_request;

// As whom a client may come; {0} is a client without a user.
typedef struct {
  hubgate_optional user;
  hubgate_pairs claims;
  hubgate_texts groups;  // that it is in from the beginning
  uint8_t has_lifetime;
  uint32_t lifetime;  // seconds
} hubgate_grant;
typedef struct {
  uint8_t is_refused;
  union {
    hubgate_grant grant;
    struct {
      uint8_t kind;
      hubgate_text text;
    } refusal;
  };
} hubgate_decision;
#define hubgate_granted(...) ((hubgate_decision){.is_refused = 0, .grant = (__VA_ARGS__)})
#define hubgate_unauthorized(reason) ((hubgate_decision){.is_refused = 1, .refusal = {0, HUBGATE_TEXT(reason)}})  // 401
#define hubgate_forbidden(reason) ((hubgate_decision){.is_refused = 1, .refusal = {1, HUBGATE_TEXT(reason)}})     // 403
#define hubgate_undecided(reason) ((hubgate_decision){.is_refused = 1, .refusal = {2, HUBGATE_TEXT(reason)}})     // for the log

// ---- What a plugin is

typedef struct {
  const char *name;
  hubgate_answer (*begin)(const hubgate_opening *opening);
} hubgate_streaming;

typedef struct {
  hubgate_handler handler;
  // What clients stream, and what they call with streams of their own. `hubgate_done()` leaves it open, an error ends it.
  hubgate_streaming streams[64];
  // There is room again in a stream that was full.
  void (*writable)(const hubgate_client *client, hubgate_stream stream, hubgate_room room);
  // The client wants no more of it, or has left, or a filter has ended it.
  void (*cancelled)(const hubgate_client *client, hubgate_stream stream);
  // An item of a client's stream. An error ends the call that came with it.
  hubgate_answer (*item)(const hubgate_client *client, hubgate_text upload, hubgate_payload item);
  // That stream is complete, or has failed with the client's error.
  hubgate_answer (*ended)(const hubgate_client *client, hubgate_text upload, hubgate_optional error);
  // A timer is due: at least once each time.
  hubgate_answer (*fired)(hubgate_text hub, hubgate_text timer, hubgate_text payload);
  // Who has joined and left a watched group: at most 1,000 members in a call.
  hubgate_answer (*presence_changed)(hubgate_text hub, hubgate_text group, hubgate_presents joined, hubgate_presents left);
  // This version begins to serve a hub that the configuration names.
  hubgate_answer (*started)(hubgate_text hub);
  // Who may come, where hubs.NAME.negotiate names the plugin.
  hubgate_decision (*authorize)(const hubgate_request *request);
} hubgate_whole_hub;

typedef struct {
  hubgate_answer (*init)(void);
  hubgate_decision (*authorize)(const hubgate_request *request);
} hubgate_negotiator;

#include "whole_hub_macros.h"
