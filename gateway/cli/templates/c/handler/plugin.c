// The handler: what clients call, answered.

#include "hubgate/hubgate.h"

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

// Answer with hubgate_reject("…") to refuse the client.
static hubgate_answer connected(const hubgate_client *client) {
  (void)client;
  return hubgate_done();
}

HUBGATE_HANDLER(.connected = connected, .methods = {{"hello", hello}, {"count", count}})
