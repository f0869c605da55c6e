// A feed of sensors. What they measure comes in MessagePack, and goes on to whoever watches as the same bytes.
//
//   publish(sensor, samples)   samples: binary, 32-bit floats in little-endian order; answers with their mean
//   watch(sensor)              from now on `measured` is called with each (sensor, samples); answers with the last samples, or nil
//   unwatch(sensor)

#include <string.h>

#include "hubgate/hubgate.h"
#include "messagepack.h"

// The last samples stay for an hour.
enum { KEPT = 60 * 60 * 1000 };

static hubgate_answer not_messagepack(void) {
  return hubgate_reject("Use the hub protocol messagepack: publish(text, binary), watch(text), unwatch(text).");
}

static hubgate_text key_of(hubgate_text sensor) { return hubgate_concat("last/", sensor); }

static double mean_of(hubgate_text samples) {
  double sum = 0;
  for (size_t at = 0; at < samples.length; at += sizeof(float)) {
    float sample;
    memcpy(&sample, samples.at + at, sizeof sample);
    sum += sample;
  }
  return sum / (double)(samples.length / sizeof(float));
}

static hubgate_answer publish(const hubgate_call *call) {
  reader reader = reader_of(call->arguments);
  hubgate_text sensor, samples;
  if (!read_array(&reader, 2) || !read_text(&reader, &sensor) || !read_binary(&reader, &samples)) return not_messagepack();
  if (samples.length == 0 || samples.length % sizeof(float) != 0) return hubgate_reject("Samples have four bytes each.");
  if (hubgate_state_set_bytes(key_of(sensor), samples, KEPT) != HUBGATE_OK) return hubgate_fail(hubgate_problem());
  hubgate_send_payload(HUBGATE_GROUP(sensor), hubgate_text_of("measured"), call->arguments, HUBGATE_NOBODY);
  return hubgate_reply_payload(messagepack_number(mean_of(samples)));
}

static hubgate_answer watch(const hubgate_call *call) {
  reader reader = reader_of(call->arguments);
  hubgate_text sensor, samples;
  if (!read_array(&reader, 1) || !read_text(&reader, &sensor)) return not_messagepack();
  hubgate_join(HUBGATE_CONNECTION(call->client->id), sensor);
  switch (hubgate_state_get_bytes(key_of(sensor), &samples)) {
    case HUBGATE_OK:
      return hubgate_reply_payload(messagepack_binary(samples));
    case HUBGATE_NONE:
      return hubgate_reply_payload(messagepack_nil());
    default:
      return hubgate_fail(hubgate_problem());
  }
}

static hubgate_answer unwatch(const hubgate_call *call) {
  reader reader = reader_of(call->arguments);
  hubgate_text sensor;
  if (!read_array(&reader, 1) || !read_text(&reader, &sensor)) return not_messagepack();
  hubgate_leave(HUBGATE_CONNECTION(call->client->id), sensor);
  return hubgate_done();
}

HUBGATE_HANDLER(.methods = {{"publish", publish}, {"watch", watch}, {"unwatch", unwatch}})
