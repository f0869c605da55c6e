// What a whole hub and a negotiator export. Nothing in here is for others.
#pragma once

const void *hubgate_run_begin(const hubgate_whole_hub *plugin, const void *given);
const void *hubgate_run_whole_invoke(const hubgate_whole_hub *plugin, const hubgate_call *call);
void hubgate_run_writable(const hubgate_whole_hub *plugin, hubgate_client client, hubgate_stream stream, hubgate_room room);
void hubgate_run_cancelled(const hubgate_whole_hub *plugin, hubgate_client client, hubgate_stream stream);
const void *hubgate_run_item(const hubgate_whole_hub *plugin, hubgate_client client, hubgate_text upload, hubgate_payload item);
const void *hubgate_run_ended(const hubgate_whole_hub *plugin, hubgate_client client, hubgate_text upload, hubgate_optional error);
const void *hubgate_run_fired(const hubgate_whole_hub *plugin, hubgate_text hub, hubgate_text timer, hubgate_text payload);
const void *hubgate_run_changed(const hubgate_whole_hub *plugin, hubgate_text hub, hubgate_text group, hubgate_presents joined, hubgate_presents left);
const void *hubgate_run_started(const hubgate_whole_hub *plugin, hubgate_text hub);
const void *hubgate_run_authorize(hubgate_decision (*authorize)(const hubgate_request *request), hubgate_request request);

#define HUBGATE_NAMED(name) const char *name, size_t name##_length
#define HUBGATE_THE(name) ((hubgate_text){name, name##_length})

#define HUBGATE_AUTHORIZER(plugin)                                                                                         \
  HUBGATE_EXPORT("authorizer@0.1.0#authorize")                                                                             \
  const void *hubgate_authorize(HUBGATE_NAMED(hub), const hubgate_pair *headers, size_t header_count,                      \
                                const hubgate_pair *query, size_t query_count, HUBGATE_NAMED(address)) {                   \
    hubgate_request request = {HUBGATE_THE(hub), {headers, header_count}, {query, query_count}, HUBGATE_THE(address)};     \
    return hubgate_run_authorize(plugin.authorize, request);                                                               \
  }                                                                                                                        \
  HUBGATE_ENDS("authorizer@0.1.0#authorize", hubgate_authorize_ends)

#define HUBGATE_STREAMS(plugin)                                                                                            \
  HUBGATE_EXPORT("upstream-streams@0.1.0#begin") const void *hubgate_begin(const void *given) {                            \
    return hubgate_run_begin(&plugin, given);                                                                              \
  }                                                                                                                        \
  HUBGATE_ENDS("upstream-streams@0.1.0#begin", hubgate_begin_ends)                                                         \
  HUBGATE_EXPORT("upstream-streams@0.1.0#writable")                                                                        \
  void hubgate_writable(HUBGATE_CLIENT_GIVEN, HUBGATE_NAMED(stream), uint32_t items, uint32_t bytes) {                     \
    hubgate_run_writable(&plugin, HUBGATE_CLIENT, (hubgate_stream){HUBGATE_THE(stream)}, (hubgate_room){items, bytes});    \
  }                                                                                                                        \
  HUBGATE_EXPORT("upstream-streams@0.1.0#cancelled")                                                                       \
  void hubgate_cancelled(HUBGATE_CLIENT_GIVEN, HUBGATE_NAMED(stream)) {                                                    \
    hubgate_run_cancelled(&plugin, HUBGATE_CLIENT, (hubgate_stream){HUBGATE_THE(stream)});                                 \
  }                                                                                                                        \
  HUBGATE_EXPORT("upstream-streams@0.1.0#item")                                                                            \
  const void *hubgate_item(HUBGATE_CLIENT_GIVEN, HUBGATE_NAMED(upload), int format, HUBGATE_NAMED(item)) {                 \
    return hubgate_run_item(&plugin, HUBGATE_CLIENT, HUBGATE_THE(upload), (hubgate_payload){(uint8_t)format, HUBGATE_THE(item)}); \
  }                                                                                                                        \
  HUBGATE_ENDS("upstream-streams@0.1.0#item", hubgate_item_ends)                                                           \
  HUBGATE_EXPORT("upstream-streams@0.1.0#ended")                                                                           \
  const void *hubgate_ended(HUBGATE_CLIENT_GIVEN, HUBGATE_NAMED(upload), int has_error, HUBGATE_NAMED(error)) {            \
    return hubgate_run_ended(&plugin, HUBGATE_CLIENT, HUBGATE_THE(upload), (hubgate_optional){has_error, HUBGATE_THE(error)}); \
  }                                                                                                                        \
  HUBGATE_ENDS("upstream-streams@0.1.0#ended", hubgate_ended_ends)

#define HUBGATE_EVENTS(plugin)                                                                                             \
  HUBGATE_EXPORT("scheduled@0.1.0#fired")                                                                                  \
  const void *hubgate_fired(HUBGATE_NAMED(hub), HUBGATE_NAMED(timer), HUBGATE_NAMED(payload)) {                            \
    return hubgate_run_fired(&plugin, HUBGATE_THE(hub), HUBGATE_THE(timer), HUBGATE_THE(payload));                         \
  }                                                                                                                        \
  HUBGATE_ENDS("scheduled@0.1.0#fired", hubgate_fired_ends)                                                                \
  HUBGATE_EXPORT("presence-events@0.1.0#changed")                                                                          \
  const void *hubgate_changed(HUBGATE_NAMED(hub), HUBGATE_NAMED(group), const hubgate_present *joined, size_t joined_count, \
                              const hubgate_present *left, size_t left_count) {                                            \
    return hubgate_run_changed(&plugin, HUBGATE_THE(hub), HUBGATE_THE(group), (hubgate_presents){joined, joined_count},    \
                               (hubgate_presents){left, left_count});                                                      \
  }                                                                                                                        \
  HUBGATE_ENDS("presence-events@0.1.0#changed", hubgate_changed_ends)                                                      \
  HUBGATE_EXPORT("hub-lifetime@0.1.0#started") const void *hubgate_started(HUBGATE_NAMED(hub)) {                           \
    return hubgate_run_started(&plugin, HUBGATE_THE(hub));                                                                 \
  }                                                                                                                        \
  HUBGATE_ENDS("hub-lifetime@0.1.0#started", hubgate_started_ends)

#define HUBGATE_WHOLE_HUB(...)                                     \
  static const hubgate_whole_hub hubgate_hub = {__VA_ARGS__};      \
  HUBGATE_LIFECYCLE(hubgate_hub.handler)                           \
  HUBGATE_UPSTREAM(&hubgate_hub.handler, hubgate_run_whole_invoke(&hubgate_hub, &call)) \
  HUBGATE_STREAMS(hubgate_hub)                                     \
  HUBGATE_EVENTS(hubgate_hub)                                      \
  HUBGATE_AUTHORIZER(hubgate_hub)

#define HUBGATE_NEGOTIATOR(...)                                    \
  static const hubgate_negotiator hubgate_plugin = {__VA_ARGS__};  \
  HUBGATE_LIFECYCLE(hubgate_plugin)                                \
  HUBGATE_AUTHORIZER(hubgate_plugin)
