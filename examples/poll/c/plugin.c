// A live poll: everybody votes once, and all see the counts.

#include "hubgate/hubgate.h"

static hubgate_text choices(void) {
  hubgate_optional configured = hubgate_config_get("choices");
  return configured.is_there ? configured.text : hubgate_text_of("tea,coffee,water");
}

// An object, in the order of the choices.
static bool read_counts(hubgate_json *counts) {
  hubgate_text rest = choices(), choice;
  *counts = hubgate_object();
  while (hubgate_split(&rest, ',', &choice)) {
    int64_t votes;
    if (hubgate_state_increment(hubgate_concat("count/", choice), 0, HUBGATE_FOR_EVER, &votes) != HUBGATE_OK) return false;
    *counts = hubgate_with(*counts, choice, votes);
  }
  return true;
}

static bool is_choice(hubgate_text text) {
  hubgate_text rest = choices(), choice;
  while (hubgate_split(&rest, ',', &choice)) {
    if (hubgate_equals(choice, text)) return true;
  }
  return false;
}

static hubgate_answer counts(const hubgate_call *call) {
  hubgate_json counts;
  return read_counts(&counts) ? hubgate_reply(counts) : hubgate_fail(hubgate_problem());
}

static hubgate_answer vote(const hubgate_call *call) {
  hubgate_text choice, voter = call->client->user.is_there ? call->client->user.text : call->client->id;
  if (!hubgate_read(call, &choice)) return hubgate_wrong_arguments();
  if (!is_choice(choice)) return hubgate_reject(hubgate_concat("There is no choice '", choice, "'."));
  bool is_first;
  hubgate_text key = hubgate_concat("vote/", voter);
  if (hubgate_state_compare_and_set(key, HUBGATE_MISSING, HUBGATE_THERE(choice), HUBGATE_FOR_EVER, &is_first) != HUBGATE_OK) {
    return hubgate_fail(hubgate_problem());
  }
  if (!is_first) return hubgate_reject("You have voted already.");
  int64_t votes;
  hubgate_json counts;
  if (hubgate_state_increment(hubgate_concat("count/", choice), 1, HUBGATE_FOR_EVER, &votes) != HUBGATE_OK || !read_counts(&counts)) {
    return hubgate_fail(hubgate_problem());
  }
  hubgate_send_all("counts", hubgate_array(counts));
  return hubgate_reply(counts);
}

static hubgate_answer language(const hubgate_call *call) { return hubgate_reply("C"); }

HUBGATE_HANDLER(.methods = {{"vote", vote}, {"counts", counts}, {"language", language}})
