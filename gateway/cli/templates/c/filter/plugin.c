// The filter: it hides a word in what clients send, and in what they are sent. `filter.h` is made from the contract by
// `hubgate plugin build`; `hubgate plugin wit` writes the contract itself.

#include "filter.h"
#include "hide.h"

static bool hide_payload(hubgate_plugin_types_payload_t *payload) {
  // The other kind comes to plugins with `payload = "native"` alone.
  if (payload->tag != HUBGATE_PLUGIN_TYPES_PAYLOAD_JSON) return false;
  return hide((char *)payload->val.json.ptr, payload->val.json.len);
}

static void inspect(hubgate_plugin_filtering_message_t *message, hubgate_plugin_filtering_verdict_t *verdict) {
  bool is_changed = message->content.is_some && hide_payload(&message->content.val);
  if (message->error.is_some && hide((char *)message->error.val.ptr, message->error.val.len)) is_changed = true;
  if (is_changed) {
    verdict->tag = HUBGATE_PLUGIN_FILTERING_VERDICT_REPLACE;
    verdict->val.replace = *message;
  } else {
    verdict->tag = HUBGATE_PLUGIN_FILTERING_VERDICT_PASS;
    hubgate_plugin_filtering_message_free(message);
  }
}

bool exports_hubgate_plugin_lifecycle_init(filter_string_t *error) {
  return true;
}

void exports_hubgate_plugin_inbound_filter_inspect(exports_hubgate_plugin_inbound_filter_connection_t *client,
                                                   exports_hubgate_plugin_inbound_filter_message_t *message,
                                                   exports_hubgate_plugin_inbound_filter_verdict_t *verdict) {
  inspect(message, verdict);
  // What an export is given is its own to free.
  exports_hubgate_plugin_inbound_filter_connection_free(client);
}

void exports_hubgate_plugin_outbound_filter_inspect(exports_hubgate_plugin_outbound_filter_delivery_t *delivery,
                                                    exports_hubgate_plugin_outbound_filter_message_t *message,
                                                    exports_hubgate_plugin_outbound_filter_verdict_t *verdict) {
  inspect(message, verdict);
  exports_hubgate_plugin_outbound_filter_delivery_free(delivery);
}
