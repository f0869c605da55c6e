// An application that answers upstream events as an Azure Functions SignalR trigger does: it routes them by category and event,
// verifies their signature by its own code, and answers calls with Completions in the protocol of their body.
//
//   node upstream.mjs KEYS PORT [CERTIFICATE KEY]
//
// KEYS are the access keys, with commas between them; PORT 0 is any free one. The user `answer-503` is answered 503 at
// `connected`, and so on. Says `listening PORT`, and then a line of JSON for each event.

import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { decode, encode } from "@msgpack/msgpack";

const [keys, port, certificate, certificateKey] = process.argv.slice(2);

/** Hub methods; what one throws is the error of its call. */
const methods = {
  echo: (x) => x,
  größe: (x) => x,
  join: () => undefined,
  fail: (text) => {
    throw new Error(text);
  },
  trap: () => {
    throw new Error("An unexpected error occurred invoking 'trap' on the server.");
  },
  whoami(_, request) {
    const userId = request.headers["x-asrs-user-id"] ?? null;
    return { connectionId: request.headers["x-asrs-connection-id"], userId };
  },
};

/** A header's text: its bytes are UTF-8, and Node.js takes each for a character. */
const headerText = (value) => Buffer.from(value, "latin1").toString("utf8");

/** Calls whose answers are no Completion, or none at all. */
const oddAnswers = {
  nothing: (answer) => answer.writeHead(200).end(),
  noContent: (answer) => answer.writeHead(204).end(),
  created: (answer) => answer.writeHead(201).end("{}"),
  forbidden: (answer) => answer.writeHead(403).end("secret words"),
  broken: (answer) => answer.writeHead(500).end(),
  elsewhere: (answer) => answer.writeHead(302, { location: `${answer.base}/moved` }).end(),
  huge: (answer) => answer.writeHead(200).end(Buffer.alloc(16 * 1024 * 1024 + 1, 32)),
  garbage: (answer) => answer.writeHead(200).end("hello"),
  foreign: (answer) => answer.writeHead(200).end('{"type":3,"invocationId":"another","result":1}\x1e'),
  two: (answer, id) => {
    const completion = `{"type":3,"invocationId":"${id}","result":1}\x1e`;
    answer.writeHead(200).end(completion + completion);
  },
  cut: (answer) => {
    answer.writeHead(200, { "content-length": "100" });
    answer.write('{"type":3');
    setTimeout(() => answer.destroy(), 50);
  },
  unending: (answer) => answer.writeHead(200, { "content-length": "100" }).write('{"type":3'),
  gone: (answer) => answer.destroy(),
  never: () => {},
};

let connections = 0;
/** How often a connection was told of, by its id. */
const told = new Map();

function isSigned(request) {
  const id = request.headers["x-asrs-connection-id"];
  const expected = keys.split(",").map((key) => createHmac("sha256", key).update(id).digest());
  const signatures = request.headers["x-asrs-signature"].split(",").map((each) => each.replace(/^sha256=/, ""));
  const equal = (hex, digest) => hex.length === 64 && timingSafeEqual(Buffer.from(hex, "hex"), digest);
  return signatures.length === expected.length && signatures.every((hex, index) => equal(hex, expected[index]));
}

/** The Completion of a call, with what frames it. */
function completion(isPacked, id, outcome) {
  if (!isPacked) {
    return `${JSON.stringify({ type: 3, invocationId: id, ...outcome })}\x1e`;
  }
  const kind = "error" in outcome ? 1 : "result" in outcome && outcome.result !== undefined ? 3 : 2;
  const message = encode([3, {}, id, kind, ...(kind === 2 ? [] : [kind === 1 ? outcome.error : outcome.result])]);
  const prefix = [];
  for (let length = message.length; ; length >>= 7) {
    prefix.push(length > 127 ? (length & 127) | 128 : length);
    if (length <= 127) {
      return Buffer.concat([Buffer.from(prefix), message]);
    }
  }
}

function call(request, body, answer) {
  const isPacked = request.headers["content-type"] === "application/x-msgpack";
  const message = isPacked ? decode(body) : JSON.parse(body);
  const [id, target, args] = isPacked
    ? [message[2], message[3], message[4]]
    : [message.invocationId, message.target, message.arguments];
  if (target !== headerText(request.headers["x-asrs-event"])) {
    return answer.writeHead(500).end();
  }
  if (oddAnswers[target]) {
    return oddAnswers[target](answer, id);
  }
  let outcome;
  try {
    if (!Object.hasOwn(methods, target)) {
      return answer.writeHead(404).end();
    }
    const result = methods[target](args[0], request);
    outcome = result === undefined ? {} : { result };
  } catch (error) {
    outcome = { error: error.message };
  }
  answer.writeHead(200).end(id ? completion(isPacked, id, outcome) : "");
}

function handle(request, answer) {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    const { "x-asrs-category": category, "x-asrs-event": event } = request.headers;
    console.log(JSON.stringify({ url: request.url, category, event, connections, headers: request.headers, body: body.toString() }));
    answer.base = `http://127.0.0.1:${server.address().port}`;
    if (request.method !== "POST" || !isSigned(request)) {
      return answer.writeHead(401).end();
    }
    if (category === "messages") {
      return call(request, body, answer);
    }
    const { "x-asrs-user-id": user, "x-asrs-connection-id": id } = request.headers;
    told.set(id, (told.get(id) ?? 0) + 1);
    if (event === "connected" && user === "refuse-me") {
      return answer.writeHead(403).end();
    }
    const status = /^answer-(\d+)$/.exec(user ?? "")?.[1];
    if (status) {
      return answer.writeHead(Number(status)).end();
    }
    answer.writeHead(event === "connected" && user === "busy-at-first" && told.get(id) === 1 ? 503 : 200).end();
  });
}

const server = certificate
  ? https.createServer({ cert: readFileSync(certificate), key: readFileSync(certificateKey) }, handle)
  : http.createServer(handle);
server.on("connection", () => (connections += 1));
server.listen(Number(port), "127.0.0.1", () => console.log(`listening ${server.address().port}`));
