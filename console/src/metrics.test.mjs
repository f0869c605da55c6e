import assert from "node:assert/strict";
import { test } from "node:test";
import { by, growth, parse, quantile, sum } from "./metrics";

const TEXT = `# TYPE hubgate_messages counter
hubgate_messages_total{hub="chat",direction="in"} 12
hubgate_messages_total{hub="a\\"b\\\\c}d,e=\\"f",direction="in"} 3
hubgate_messages_total{hub="chat",direction="out"} 1.5e3 1700000000
hubgate_outbox_bytes 7
broken{hub="chat
hubgate_nothing nonsense
# EOF
`;

test("labels may have whatever a name may have", () => {
  const metrics = parse(TEXT);
  assert.equal(sum(metrics, "hubgate_messages_total", { direction: "in" }), 15);
  assert.equal(sum(metrics, "hubgate_messages_total", { hub: 'a"b\\c}d,e="f' }), 3);
  assert.equal(sum(metrics, "hubgate_messages_total", { direction: "out" }), 1500);
  assert.equal(sum(metrics, "hubgate_outbox_bytes"), 7);
  assert.deepEqual([...metrics.keys()], ["hubgate_messages_total", "hubgate_outbox_bytes"]);
});

test("a label that is called like a part of JavaScript is a label", () => {
  const metrics = parse('a_total{hub="__proto__"} 1\na_total{hub="constructor"} 2\n');
  assert.deepEqual(by(metrics, "a_total", "hub"), [["constructor", 2], ["__proto__", 1]]);
});

test("a counter that went back began anew, a new one at 0, and a gauge is as it is", () => {
  const before = parse('a_total{x="1"} 10\na_total{x="2"} 5\nb 3\n');
  const now = parse('a_total{x="1"} 4\na_total{x="2"} 9\na_total{x="3"} 2\nb 1\n');
  assert.deepEqual(by(growth(now, before), "a_total", "x"), [["1", 4], ["2", 4], ["3", 2]]);
  assert.equal(sum(growth(now, before), "b"), 1);
});

test("the time of most calls is below the bound of their bucket", () => {
  const calls = parse(
    ["0.001", "0.01", "+Inf"].map((le, index) => `c_seconds_bucket{plugin="p",le="${le}"} ${[50, 99, 100][index]}`).join("\n"),
  );
  assert.equal(quantile(calls, "c_seconds", 0.5, { plugin: "p" }), 0.001);
  assert.equal(quantile(calls, "c_seconds", 0.99, { plugin: "p" }), 0.01);
  assert.equal(quantile(calls, "c_seconds", 1, { plugin: "p" }), Infinity);
  assert.equal(quantile(calls, "c_seconds", 0.5, { plugin: "q" }), null);
});
