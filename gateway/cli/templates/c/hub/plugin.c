// The hub: what clients call and stream, and what it does by itself.

#include "hubgate/whole_hub.h"

#include "answers.h"

// hello(name) -> a greeting
static hubgate_answer hello(const hubgate_call *call) {
  hubgate_text name;
  if (!hubgate_read(call, &name)) return hubgate_wrong_arguments();
  return hubgate_reply(greeting(name));
}

// count() -> how often it was called. The gateway keeps the number: variables of a plugin may vanish between two calls.
static hubgate_answer count(const hubgate_call *call) {
  (void)call;
  int64_t calls;
  if (hubgate_state_increment("count", 1, HUBGATE_FOR_EVER, &calls) != HUBGATE_OK) return hubgate_fail(hubgate_problem());
  return hubgate_reply(calls);
}

// remind(ms, text): the caller hears `reminded` with the text, so many milliseconds later. The timer's name says who it is.
static hubgate_answer remind(const hubgate_call *call) {
  uint64_t ms;
  hubgate_text text;
  if (!hubgate_read(call, &ms, &text)) return hubgate_wrong_arguments();
  if (hubgate_timer_after(call->client->id, ms, text, HUBGATE_PROCESS) != HUBGATE_OK) return hubgate_fail(hubgate_problem());
  return hubgate_done();
}

static hubgate_answer fired(hubgate_text hub, hubgate_text timer, hubgate_text text) {
  (void)hub;
  hubgate_send_connection(timer, "reminded", hubgate_array(text));
  return hubgate_done();
}

// countdown(from) streams numbers down to 1.
static hubgate_answer countdown(const hubgate_opening *opening) {
  int64_t from;
  if (!hubgate_read(&opening->call, &from)) return hubgate_wrong_arguments();
  if (!is_countable(from)) return hubgate_reject("countdown needs a number up to 100");
  for (; from > 0; from--) {
    if (hubgate_push(opening->stream, from) != HUBGATE_OK) return hubgate_fail(hubgate_problem());
  }
  return hubgate_finish(opening->stream, hubgate_done());
}

HUBGATE_WHOLE_HUB(.handler = {.methods = {{"hello", hello}, {"count", count}, {"remind", remind}}},
                  .streams = {{"countdown", countdown}}, .fired = fired)
