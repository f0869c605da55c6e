// The filter: it hides a word in what clients send, and in what they are sent.

#include "hubgate/hubgate.h"

#include "hide.h"

static hubgate_verdict inspect(const hubgate_message *message) {
  hubgate_message hidden = *message;
  bool is_changed = false;
  // MessagePack comes to plugins with `payload = "native"` alone.
  if (message->content.is_there && message->content.payload.format == HUBGATE_JSON_TEXT) {
    is_changed |= hide(&hidden.content.payload.bytes);
  }
  if (message->error.is_there) is_changed |= hide(&hidden.error.text);
  return is_changed ? hubgate_replace(hidden) : hubgate_pass();
}

static hubgate_verdict inbound(const hubgate_client *client, const hubgate_message *message) {
  (void)client;
  return inspect(message);
}

static hubgate_verdict outbound(const hubgate_delivery *delivery, const hubgate_message *message) {
  (void)delivery;
  return inspect(message);
}

HUBGATE_FILTER(.inbound = inbound, .outbound = outbound)
