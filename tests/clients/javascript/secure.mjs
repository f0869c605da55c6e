// What a client of Node.js sees of the gateway's TLS.
//
//   node secure.mjs SCENARIO URL CA [TOKEN]
//
// CA is the file of the certificate that is trusted. A scenario says in lines what it sees, and `done` at its end.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import tls from "node:tls";

const [scenario, url, ca, token] = process.argv.slice(2);
const { hostname, port, origin } = new URL(url);
const trusted = { ca: readFileSync(ca) };

const scenarios = {
  async "requests on http/2"() {
    const session = http2.connect(origin, trusted);
    const negotiate = await request(session, "POST", "/client/negotiate?hub=probe&negotiateVersion=1");
    assert.equal(negotiate.status, 200);
    assert.equal(JSON.parse(negotiate.body).negotiateVersion, 1);
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => request(session, "POST", "/client/negotiate?hub=probe&negotiateVersion=1")),
    );
    const ids = new Set(answers.map((answer) => JSON.parse(answer.body).connectionToken));
    assert.equal(ids.size, 50, "requests side by side have answers of their own");
    const send = await request(session, "POST", "/api/v1/hubs/probe", { target: "said", arguments: ["by http/2"] });
    assert.equal(send.status, 401, "a client's token is for clients");
    const health = await request(session, "GET", "/api/health");
    assert.equal(health.status, 200);
    session.close();
  },

  async "silence on http/2"() {
    // Who chose HTTP/2 and says nothing, and who has asked and asks no more.
    const mute = tls.connect({ host: hostname, port, ALPNProtocols: ["h2"], ...trusted });
    const session = http2.connect(origin, trusted);
    const closed = [mute, session].map((each) => new Promise((resolve) => each.on("close", resolve).on("error", () => {})));
    mute.resume();
    assert.equal((await request(session, "GET", "/api/health")).status, 200);
    // An event stream is a request that goes on.
    const other = http2.connect(origin, trusted);
    const negotiated = await request(other, "POST", "/client/negotiate?hub=probe&negotiateVersion=1");
    const id = JSON.parse(negotiated.body).connectionToken;
    const path = `/client/?hub=probe&id=${id}`;
    const events = other.request({ ":path": path, accept: "text/event-stream", authorization: `Bearer ${token}` });
    events.resume();
    await Promise.all(closed);
    assert.equal(other.closed || other.destroyed || events.closed, false);
    other.destroy();
  },

  async "the certificate"() {
    const socket = tls.connect({ host: hostname, port, ...trusted });
    await new Promise((resolve, reject) => socket.on("secureConnect", resolve).on("error", reject));
    console.log(socket.getPeerCertificate().subject.CN);
    socket.destroy();
  },
};

function request(session, method, path, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":method": method, ":path": path, authorization: `Bearer ${token}` });
    const answer = { status: undefined, body: "" };
    stream.on("response", (headers) => (answer.status = headers[":status"]));
    stream.on("data", (data) => (answer.body += data));
    stream.on("end", () => resolve(answer));
    stream.on("error", reject);
    stream.end(body && JSON.stringify(body));
  });
}

await scenarios[scenario]();
console.log("done");
