import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { accessOf, claimsOf, signer } from "./client_token";
import { endpointOf } from "./clients";

test("a connection string has its parts in any order and case, and keys may end with =", () => {
  const access = { endpoint: "http://localhost:8888", key: "abc==" };
  assert.deepEqual(accessOf("Endpoint=http://localhost:8888/;AccessKey=abc==;Version=1.0;"), access);
  assert.deepEqual(accessOf("version=1.0; accesskey=abc==; endpoint=http://localhost:8888"), access);
  assert.throws(() => accessOf("Endpoint=http://localhost:8888;"), /no key/);
});

test("claims are lines, the same name again is a list, and those of the token itself are refused", () => {
  assert.deepEqual(claimsOf(""), {});
  assert.deepEqual(claimsOf("role=admin\n\n tenant = a=b \nrole=reader\nrole=writer"), { role: ["admin", "reader", "writer"], tenant: "a=b" });
  assert.throws(() => claimsOf("role"), /not name=value/);
  assert.throws(() => claimsOf("=x"), /not name=value/);
  assert.throws(() => claimsOf("aud=x"), /aud/);
  assert.deepEqual(Object.keys(claimsOf("__proto__=x")), ["__proto__"]);
});

test("a token is signed for the hub, with user and claims, and leads to the endpoint", async () => {
  const token = await (await signer({ endpoint: "http://localhost:8888/eu", key: "key" }, "chat", "Ännchen", { role: ["a", "b"] }))();
  const [head, body, signature] = token.split(".");
  assert.equal(signature, createHmac("sha256", "key").update(`${head}.${body}`).digest("base64url"));
  const { exp, iat, ...claims } = JSON.parse(Buffer.from(body, "base64url").toString());
  assert.deepEqual(claims, { role: ["a", "b"], nameid: "Ännchen", aud: "http://localhost:8888/eu/client/?hub=chat" });
  assert.equal(exp - iat, 3_600);
  assert.equal(endpointOf(token), "http://localhost:8888/eu");
  const anonymous = await (await signer({ endpoint: "http://localhost", key: "key" }, "chat", "", {}))();
  assert.equal("nameid" in JSON.parse(Buffer.from(anonymous.split(".")[1], "base64url").toString()), false);
  assert.throws(() => endpointOf("nonsense"), /none that a client/);
});
