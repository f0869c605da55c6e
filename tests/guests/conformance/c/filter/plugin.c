// The filter of the conformance suite: see README.md above.

#include <stdlib.h>

#include "hubgate/hubgate.h"

static hubgate_verdict look(const hubgate_message *message, const char *way) {
  hubgate_text wish = {"", 0};
  hubgate_payload content = message->content.payload;
  if (!message->content.is_there || content.format != HUBGATE_JSON_TEXT) return hubgate_pass();
  bool is_array = hubgate_read_at(&(hubgate_call){.arguments = content}, 0, &wish);
  if (!is_array && !hubgate_json_read((hubgate_json){content.bytes}, &wish)) return hubgate_pass();
  hubgate_text rest = wish, before;
  if (hubgate_split(&rest, ':', &before) && rest.at != NULL && hubgate_equals(before, way)) wish = rest;
  if (hubgate_equals(wish, "reject")) return hubgate_refuse("The filter says no.");
  if (hubgate_equals(wish, "drop")) return hubgate_drop();
  if (hubgate_equals(wish, "close")) return hubgate_shut("The filter has had enough.");
  if (hubgate_equals(wish, "crash")) abort();
  if (!hubgate_equals(wish, "mark") || !is_array) return hubgate_pass();
  hubgate_message marked = *message;
  marked.content.payload.bytes = hubgate_append((hubgate_json){content.bytes}, hubgate_config_get("mark").text).text;
  return hubgate_replace(marked);
}

static hubgate_verdict inbound(const hubgate_client *client, const hubgate_message *message) { return look(message, "in"); }

static hubgate_verdict outbound(const hubgate_delivery *delivery, const hubgate_message *message) {
  return look(message, "out");
}

HUBGATE_FILTER(.inbound = inbound, .outbound = outbound)
