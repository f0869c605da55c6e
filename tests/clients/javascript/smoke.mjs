// What all versions of the SignalR client can do, since 1.0.

/** Transports and hub protocols that go together. */
export const WAYS = [
  ["WebSockets", "json"],
  ["WebSockets", "messagepack"],
  ["ServerSentEvents", "json"],
  ["LongPolling", "json"],
  ["LongPolling", "messagepack"],
];

/**
 * Does it all in one way, and gives the names of what was done. It is given to pages as text, so that it uses nothing but its
 * arguments, and of the client only what 1.0 has; what came later is tried where it is.
 */
export async function smoke(signalR, MessagePackHubProtocol, { url, token, transport, protocol }) {
  const done = [];
  const check = (holds, what) => {
    if (!holds) {
      throw new Error(`${transport}, ${protocol}, after ${done.at(-1)}: ${what}`);
    }
  };
  const equal = (value, expected) =>
    check(JSON.stringify(value) === JSON.stringify(expected), `${JSON.stringify(value)} is not ${JSON.stringify(expected)}`);
  const rejected = async (promise, text) => {
    const outcome = await promise.then(
      (value) => `the value ${value}`,
      (error) => String(error),
    );
    check(text.test(outcome), `${outcome} has no ${text}`);
  };
  const started = async (path, accessToken) => {
    const options = { transport: signalR.HttpTransportType[transport] };
    if (accessToken) {
      options.accessTokenFactory = () => accessToken;
    }
    const builder = new signalR.HubConnectionBuilder().withUrl(url + path, options).configureLogging(signalR.LogLevel.Critical);
    if (protocol === "messagepack") {
      builder.withHubProtocol(new MessagePackHubProtocol());
    }
    const connection = builder.build();
    await connection.start();
    return connection;
  };
  /** What comes for `said`, one text after the other; an error if the connection ends before. */
  const listening = (connection) => {
    const [unread, waiting] = [[], []];
    let end;
    connection.on("said", (text) => (waiting.length > 0 ? waiting.shift().resolve(text) : void unread.push(text)));
    connection.onclose((error) => {
      end = new Error(`the connection ended, after ${done.at(-1)}: ${error}`);
      waiting.forEach(({ reject }) => reject(end));
    });
    const next = (resolve, reject) => void (end ? reject(end) : waiting.push({ resolve, reject }));
    return () => (unread.length > 0 ? unread.shift() : new Promise(next));
  };
  const items = (stream) =>
    new Promise((resolve, reject) => {
      const heard = [];
      stream.subscribe({ next: (item) => void heard.push(item), complete: () => resolve(heard), error: reject });
    });

  // Straight to the service with a token of the application, and by way of an application's negotiation.
  const [ann, bob] = [await started("/client/?hub=probe", token), await started("/hubs/probe")];
  done.push("connect and disconnect");
  equal((await ann.invoke("whoami")).userId, "ann");
  done.push("a token of the application");
  await rejected(started("/client/?hub=probe", `${token}x`), /401|Unauthorized/);
  done.push("a token that is refused");

  for (const value of ["text", "", 1.5, -7, 2 ** 40, true, null, [1, [2]], { a: { b: "ü 👋" } }, "x".repeat(200_000)]) {
    equal(await bob.invoke("echo", value), value);
  }
  const calls = Array.from({ length: 20 }, (_, number) => number);
  equal(await Promise.all(calls.map((number) => bob.invoke("echo", number))), calls);
  done.push("a call with a result");
  await rejected(bob.invoke("fail", "No, not today."), /No, not today\./);
  await rejected(bob.invoke("no such method"), /no such method/);
  done.push("a call with an error");

  const [annHears, bobHears] = [listening(ann), listening(bob)];
  await bob.send("say", "hello, all");
  equal([await annHears(), await bobHears()], ["hello, all", "hello, all"]);
  done.push("receiving from another client");
  await ann.invoke("join", "tea");
  await bob.invoke("sayTo", "tea", "one");
  await bob.invoke("sayTo", "coffee", "two");
  equal(await annHears(), "one");
  await ann.invoke("leave", "tea");
  await bob.invoke("sayTo", "tea", "three");
  await bob.invoke("say", "four");
  equal(await annHears(), "four");
  done.push("groups");

  const streaming = await started("/hubs/streams");
  equal(await items(streaming.stream("numbers", 300, 0)), Array.from({ length: 300 }, (_, number) => number));
  await rejected(items(streaming.stream("failAfter", 3)), /enough/);
  equal(await streaming.invoke("version"), "1");
  done.push("streams to the client");
  const major = Number.parseInt(signalR.VERSION, 10);
  // The MessagePack protocol of 1.x cannot write a cancellation.
  if (major > 1 || protocol === "json") {
    await new Promise((resolve, reject) => {
      const subscription = streaming.stream("numbers", 100_000, 10).subscribe({
        next() {
          subscription.dispose();
          resolve();
        },
        complete() {},
        error: reject,
      });
    });
    // The component hears of it after the client's calls that were on their way.
    for (let asked = 0; (await streaming.invoke("cancelled")) === 0; asked += 1) {
      check(asked < 1_000, "the component hears of no cancellation");
    }
    done.push("cancelling a stream");
  }
  if (signalR.Subject) {
    const numbers = new signalR.Subject();
    const sum = streaming.invoke("sum", numbers);
    Array.from({ length: 100 }, (_, number) => numbers.next(number));
    numbers.complete();
    equal(await sum, 4950);
    done.push("streams from the client");
  }
  if (major >= 7) {
    streaming.on("add", (x) => x + 1);
    equal(await streaming.invoke("askMe", "add", 41), 42);
    done.push("client results");
  }
  await streaming.stop();

  const closed = new Promise((resolve) => bob.onclose(resolve));
  bob.send("quit", "Enough for today.");
  check(String(await closed).includes("Enough for today."), `closed with ${await closed}`);
  done.push("close with a reason");
  const left = new Promise((resolve) => ann.onclose(resolve));
  await ann.stop();
  check(!(await left), `an end of one's own is no error: ${await left}`);
  return done;
}
