// The handler: what clients call, answered. `handler.h` is made from the contract by `hubgate plugin build`;
// `hubgate plugin wit` writes the contract itself.

#include <stdio.h>
#include <string.h>

#include "answers.h"
#include "handler.h"

static void answer_json(exports_hubgate_plugin_upstream_option_payload_t *answer, const char *text, size_t length) {
  answer->is_some = true;
  answer->val.tag = HUBGATE_PLUGIN_TYPES_PAYLOAD_JSON;
  handler_string_dup_n(&answer->val.val.json, text, length);
}

static bool reject(exports_hubgate_plugin_upstream_error_t *error, const char *text) {
  error->tag = HUBGATE_PLUGIN_TYPES_ERROR_REJECTED;
  handler_string_dup(&error->val.rejected, text);
  return false;
}

static bool fail(exports_hubgate_plugin_upstream_error_t *error, const char *text) {
  error->tag = HUBGATE_PLUGIN_TYPES_ERROR_FAILED;
  handler_string_dup(&error->val.failed, text);
  return false;
}

static bool is(handler_string_t text, const char *other) {
  return text.len == strlen(other) && memcmp(text.ptr, other, text.len) == 0;
}

// hello(name) -> a greeting
static bool hello(handler_string_t arguments, exports_hubgate_plugin_upstream_option_payload_t *answer,
                  exports_hubgate_plugin_upstream_error_t *error) {
  char greeting[256];
  size_t length = greet((const char *)arguments.ptr, arguments.len, greeting, sizeof greeting);
  if (length == 0) return reject(error, "hello needs a name of at most 200 bytes");
  answer_json(answer, greeting, length);
  return true;
}

// count() -> how often it was called. The gateway keeps the number: variables of a plugin may vanish between two calls.
static bool count(exports_hubgate_plugin_upstream_option_payload_t *answer,
                  exports_hubgate_plugin_upstream_error_t *error) {
  handler_string_t key;
  handler_string_set(&key, "count");
  int64_t calls = 0;
  hubgate_plugin_state_error_t problem;
  if (!hubgate_plugin_state_increment(&key, 1, NULL, &calls, &problem)) {
    hubgate_plugin_state_error_free(&problem);
    return fail(error, "the count cannot be kept");
  }
  char digits[24];
  int length = snprintf(digits, sizeof digits, "%lld", (long long)calls);
  answer_json(answer, digits, (size_t)length);
  return true;
}

static bool dispatch(const exports_hubgate_plugin_upstream_invocation_t *call,
                     exports_hubgate_plugin_upstream_option_payload_t *answer,
                     exports_hubgate_plugin_upstream_error_t *error) {
  if (call->arguments.tag != HUBGATE_PLUGIN_TYPES_PAYLOAD_JSON) return fail(error, "this plugin reads JSON");
  if (is(call->target, "hello")) return hello(call->arguments.val.json, answer, error);
  if (is(call->target, "count")) return count(answer, error);
  return reject(error, "there is no such method; `hello` and `count` are");
}

bool exports_hubgate_plugin_lifecycle_init(handler_string_t *error) {
  return true;
}

// Return false with an error to refuse the client.
bool exports_hubgate_plugin_upstream_connected(exports_hubgate_plugin_upstream_connection_t *client,
                                               exports_hubgate_plugin_upstream_error_t *error) {
  exports_hubgate_plugin_upstream_connection_free(client);
  return true;
}

bool exports_hubgate_plugin_upstream_disconnected(exports_hubgate_plugin_upstream_connection_t *client,
                                                  handler_string_t *reason,
                                                  exports_hubgate_plugin_upstream_error_t *error) {
  exports_hubgate_plugin_upstream_connection_free(client);
  if (reason != NULL) handler_string_free(reason);
  return true;
}

bool exports_hubgate_plugin_upstream_invoke(exports_hubgate_plugin_upstream_connection_t *client,
                                            exports_hubgate_plugin_upstream_invocation_t *call,
                                            exports_hubgate_plugin_upstream_option_payload_t *answer,
                                            exports_hubgate_plugin_upstream_error_t *error) {
  bool is_answered = dispatch(call, answer, error);
  // What an export is given is its own to free.
  exports_hubgate_plugin_upstream_connection_free(client);
  exports_hubgate_plugin_upstream_invocation_free(call);
  return is_answered;
}
