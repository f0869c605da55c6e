import assert from "node:assert/strict";
import { test } from "node:test";
import { LONGEST_EVENT, follow, reader } from "./events";
import { LONGEST_PAYLOAD, MOST_SPANS, MOST_TRACES, NONE, about, extent, spanOf, tree, withSpans } from "./traces";

const span = (id, parent, more = {}) => ({ span: id, parent, name: id, begin: 0, micros: 1, failed: null, attributes: [], payload: null, ...more });

test("events are cut wherever the pieces of the stream end, and comments are none", () => {
  const text = ': hello\r\n\r\nevent: span\ndata: {"a":\ndata: 1}\n\nevent: missed\rdata:{"count":2}\r\rdata: x\n\nevent: none\n\n';
  const whole = reader()(text);
  assert.deepEqual(whole, [
    { type: "span", data: '{"a":\n1}' },
    { type: "missed", data: '{"count":2}' },
    { type: "message", data: "x" },
  ]);
  const cut = reader();
  assert.deepEqual([...text].flatMap((piece) => cut(piece)), whole);
});

test("an event that never ends is an error, in one line and in many", () => {
  const line = reader();
  assert.throws(() => line(`data: ${"a".repeat(LONGEST_EVENT)}`), /too long/);
  const lines = reader();
  assert.throws(() => {
    for (let index = 0; index < 5; index += 1) {
      lines(`data: ${"a".repeat(LONGEST_EVENT / 4)}\n`);
    }
  }, /too long/);
});

test("a stream is followed until it ends, and nobody waits for one that has gone silent", async () => {
  const took = [];
  const take = ({ data }) => took.push(data);
  await follow(new Response("data: ä\n\ndata: lost"), new AbortController().signal, 10_000, take);
  assert.deepEqual(took, ["ä"]);
  const silent = new Response(new ReadableStream({}));
  await assert.rejects(follow(silent, new AbortController().signal, 10, take), /said nothing/);
  const stopped = new AbortController();
  const following = follow(new Response(new ReadableStream({})), stopped.signal, 10_000, take);
  stopped.abort();
  await following;
});

test("a span is read with its time to the microsecond, its names and its payload apart", () => {
  const told = { trace: "t", span: "s", parent: null, name: "call", at: "1970-01-01T00:00:01.000123Z", micros: 7, failed: null, attributes: { hub: "chat", user: null, recipients: 3, arguments: "[1]" } };
  const { trace, span } = spanOf(JSON.stringify(told));
  assert.equal(trace, "t");
  assert.equal(span.begin, 1_000_123);
  assert.deepEqual(span.attributes, [["hub", "chat"], ["recipients", "3"]]);
  assert.equal(span.payload, "[1]");
  const long = spanOf(JSON.stringify({ ...told, attributes: { arguments: "a".repeat(LONGEST_PAYLOAD + 5) } }));
  assert.match(long.span.payload, / and 5 characters more$/);
  assert.equal(spanOf("null"), null);
  assert.equal(spanOf('{"trace":"t"}'), null);
});

test("traces are grouped, the newest first, and the oldest go", () => {
  const come = (from, to) => Array.from({ length: to - from }, (_, index) => ({ trace: `t${from + index}`, span: span("s", null) }));
  let traces = withSpans(NONE, come(0, 3));
  traces = withSpans(traces, [{ trace: "t1", span: span("later", "s") }]);
  assert.deepEqual(traces.all.map(({ id, spans }) => [id, spans.length]), [["t2", 1], ["t1", 2], ["t0", 1]]);
  traces = withSpans(traces, come(3, MOST_TRACES + 5));
  assert.equal(traces.all.length, MOST_TRACES);
  assert.equal(traces.dropped, 5);
  assert.equal(traces.all[0].id, `t${MOST_TRACES + 4}`);
  traces = withSpans(traces, come(1_000, 1_000 + 2 * MOST_TRACES));
  assert.equal(traces.all.length, MOST_TRACES);
});

test("a trace has so many spans, and counts those beyond", () => {
  const { all } = withSpans(NONE, Array.from({ length: MOST_SPANS + 3 }, (_, index) => ({ trace: "t", span: span(`s${index}`, null) })));
  assert.equal(all[0].spans.length, MOST_SPANS);
  assert.equal(all[0].more, 3);
});

test("spans are a tree in the order of their times, though children are told first, and whatever their parents are", () => {
  const spans = [span("b", "root", { begin: 5 }), span("aa", "a", { begin: 3 }), span("a", "root", { begin: 2 }), span("lost", "nobody", { begin: 9 }), span("self", "self", { begin: 10 }), span("root", "client")];
  assert.deepEqual(tree(spans).map(({ span, depth }) => `${span.span} ${depth}`), ["root 0", "a 1", "aa 2", "b 1", "lost 0", "self 0"]);
  assert.deepEqual(extent(spans), { begin: 0, micros: 11 });
});

test("a trace is named by its call, and failed where a part of it did", () => {
  const call = span("root", null, { name: "chat/say", attributes: [["method", "say"], ["hub", "chat"]] });
  const handle = span("h", "root", { name: "handle", begin: 1, failed: "trapped", attributes: [["hub", "another"]] });
  const known = about({ id: "t", spans: [handle, call], more: 0 });
  assert.deepEqual([known.name, known.failed, known.of("hub"), known.of("user")], ["say", "trapped", "chat", null]);
});
