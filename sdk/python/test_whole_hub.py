"""A whole hub on the host's own Python: streams, uploads, questions, timers, presence and sign-in."""

import unittest
from typing import Any, Iterator, Optional

from hubgate import Connection, Failed, Payload_Msgpack, Rejected, authorizer, exports, handler, hub, method, reject, whole_hub
from hubgate.authorizer import Grant, Request, authorize, bearer_token, cookie, forbidden, header, query, unauthorized
from hubgate.testing import Gateway
from hubgate.whole_hub import AskError, Member, Room, Stream, ask, cancelled, ended, fired, item, presence, presence_changed
from hubgate.whole_hub import started, streaming, timers, writable

from componentize_py_types import Err
from wit_world.exports.authorizer import Refusal_Failed, Refusal_Forbidden, Refusal_Unauthorized
from wit_world.imports import client_results, streams
from wit_world.imports.types import Error_Failed, Error_Rejected, Pair


class WholeHub(unittest.TestCase):
    """Begins without methods."""

    def setUp(self) -> None:
        for written in (handler._methods, handler._events, whole_hub._streaming, whole_hub._events, authorizer._functions):
            written.clear()
        self.gateway = Gateway()
        self.ann = self.gateway.connect("ann")

    def refused(self, name: str, *arguments: Any, uploads: int = 0) -> str:
        with self.assertRaises(Rejected) as caught:
            self.gateway.stream(self.ann, name, *arguments, uploads=uploads)
        return str(caught.exception)


class Streams(WholeHub):
    def test_get_items_from_the_method_that_opens_them(self) -> None:
        @streaming("countDown")
        def countdown(client: Connection, stream: Stream, start: int, word: Optional[str] = None) -> None:
            self.assertEqual((client, stream.room), (self.ann, None))
            self.assertTrue(stream.push(start) and stream.push_all(range(start - 1, 0, -1)))
            self.assertEqual(stream.room and stream.room.items, 253)
            self.assertTrue(stream.finish())
            self.assertFalse(stream.is_open or stream.finish() or stream.push(1))

        opened = self.gateway.stream(self.ann, "countDown", 3)
        self.assertEqual((opened.items, opened.is_open, opened.error), ([3, 2, 1], False, None))
        self.assertIn("argument 1 must be an integer, not a string", self.refused("countDown", "3"))
        self.assertIn("countDown takes 1 to 2, got 0", self.refused("countDown"))

    def test_go_on_in_later_calls_until_the_client_wants_no_more(self) -> None:
        @streaming
        def ticks(client: Connection, stream: Stream) -> None:
            timers.every(stream.id, 100, {"n": 1})

        @fired
        def tick(hub_name: str, timer: str, payload: Any) -> None:
            stream = Stream.from_id(timer)
            stream.push(payload["n"])
            if not stream.is_open:
                timers.cancel(timer)

        gone: list[str] = []

        @cancelled
        def no_more(client: Connection, stream: Stream) -> None:
            gone.append(stream.id)

        opened = self.gateway.stream(self.ann, "ticks")
        self.gateway.fire(opened.id)
        self.gateway.fire(opened.id)
        self.assertEqual(opened.items, [1, 1])
        self.gateway.cancel(opened)
        self.gateway.fire(opened.id)
        self.assertEqual((opened.items, gone, self.gateway.timers), ([1, 1], [opened.id], {}))

    def test_are_full_when_the_client_does_not_read(self) -> None:
        @streaming
        def many(client: Connection, stream: Stream) -> None:
            self.assertFalse(stream.push_all(range(300)))
            self.assertEqual((stream.room and stream.room.items, stream.is_open), (256, True))

        rooms: list[Room] = []

        @writable
        def more(client: Connection, stream: Stream, room: Room) -> None:
            self.assertEqual(stream.room, room)
            rooms.append(room)

        self.assertEqual(self.gateway.stream(self.ann, "many").items, [])
        whole_hub.UpstreamStreams().writable(self.ann, "stream-1", Room(9, 90))
        self.assertEqual(rooms, [Room(9, 90)])

    def test_end_with_errors(self) -> None:
        @streaming
        def broken(client: Connection, stream: Stream, how: str) -> None:
            stream.reject("No.") if how == "seen" else stream.fail("a fault")

        self.assertEqual(self.gateway.stream(self.ann, "broken", "seen").error, Error_Rejected("No."))
        self.assertEqual(self.gateway.stream(self.ann, "broken", "logged").error, Error_Failed("a fault"))

    def test_refuse_what_would_never_fit(self) -> None:
        def push(id: str, items: Any) -> Any:
            raise Err(streams.PushError_TooLarge())

        setattr(streams, "push", push)
        with self.assertRaisesRegex(Failed, "what is pushed would never fit"):
            Stream.from_id("s1").push(1)

    def test_and_calls_are_told_apart(self) -> None:
        @method
        def hello(client: Connection) -> str:
            return "hello"

        @streaming
        def ticks(client: Connection, stream: Stream) -> None:
            pass

        self.assertIn("the non-streaming 'hello' method with a streaming invocation", self.refused("hello"))
        self.assertIn("'hello' method with streams, of which it takes none", self.refused("hello", uploads=1))
        self.assertEqual(self.refused("nothing"), "There is no method 'nothing' with streams.")
        with self.assertRaisesRegex(Rejected, "the streaming 'ticks' method with a non-streaming invocation"):
            self.gateway.call(self.ann, "ticks")
        self.assertEqual(self.gateway.call(self.ann, "hello"), "hello")


class Uploads(WholeHub):
    def test_are_answered_when_they_end(self) -> None:
        calls: dict[str, tuple[Stream, list[Any]]] = {}

        @streaming
        def collect(client: Connection, stream: Stream) -> None:
            calls[stream.uploads[1]] = (stream, [])

        @item
        def one(client: Connection, upload: str, value: Any) -> None:
            calls[upload][1].append(value)

        @ended
        def all_there(client: Connection, upload: str, error: Optional[str]) -> None:
            stream, items = calls.pop(upload)
            stream.answer(items) if error is None else stream.reject(error)

        opened = self.gateway.stream(self.ann, "collect", uploads=2)
        self.gateway.send_item(opened, {"a": 1}, upload=1)
        self.gateway.end(opened, upload=1)
        self.assertEqual(opened.answer, [{"a": 1}])
        failed = self.gateway.stream(self.ann, "collect", uploads=2)
        self.gateway.end(failed, "the client's own", upload=1)
        self.assertEqual(failed.error, Error_Rejected("the client's own"))

    def test_in_messagepack_come_as_they_are(self) -> None:
        heard: list[Any] = []
        item(lambda client, upload, value: heard.append(value))
        whole_hub.UpstreamStreams().item(self.ann, "u1", Payload_Msgpack(b"\x07"))
        self.assertEqual(heard, [Payload_Msgpack(b"\x07")])


class Asks(WholeHub):
    def test_wait_for_the_clients_answer(self) -> None:
        @method
        def confirm(client: Connection, text: str) -> Any:
            return ask(client, "confirm", text, timeout_ms=1000)

        self.gateway.asks.answer = lambda client, method, *arguments: [client, method, *arguments]
        self.assertEqual(self.gateway.call(self.ann, "confirm", "Sure?"), [self.ann.id, "confirm", "Sure?"])
        self.gateway.asks.answer = lambda *_: None
        self.assertIsNone(ask("c9", "ping"))

        def left(*_: Any) -> Any:
            raise Err(client_results.AskError_Left())

        setattr(client_results, "ask", left)
        with self.assertRaisesRegex(Rejected, "left"):
            self.gateway.call(self.ann, "confirm", "Sure?")
        with self.assertRaisesRegex(AskError, "The client left before it answered."):
            ask(self.ann, "ping")


class Timers(WholeHub):
    def test_are_set_listed_and_cancelled(self) -> None:
        self.gateway.now = 1000
        timers.after("soon", 1.5, "x", durable=True)
        timers.at("noon", 5000)
        listed = [(timer.name, timer.due, timer.payload, timer.durable) for timer in timers.list()]
        self.assertEqual(listed, [("noon", 5000, b"", False), ("soon", 1002, b'"x"', True)])
        self.assertEqual([timer.name for timer in timers.list(after="noon")], ["soon"])
        self.assertEqual([timers.cancel("noon"), timers.cancel("noon")], [True, False])
        with self.assertRaises(ValueError):
            timers.every("tick", float("nan"))

    def test_bring_what_they_were_set_with(self) -> None:
        heard: list[Any] = []
        fired(lambda hub, timer, payload: heard.append((timer, payload)))
        timers.after("value", 1, {"text": "é"})
        timers.after("none", 1)
        self.gateway.fire("value")
        self.gateway.fire("none")
        whole_hub.Scheduled().fired("test", "raw", b"\xff")
        self.assertEqual(heard, [("value", {"text": "é"}), ("none", None), ("raw", b"\xff")])

    def test_fail_with_a_text_for_the_log(self) -> None:
        @fired
        def refuse(hub_name: str, timer: str, payload: Any) -> None:
            reject("Not now.")

        with self.assertRaises(Err) as caught:
            whole_hub.Scheduled().fired("test", "tick", b"")
        self.assertEqual(caught.exception.value, "Not now.")


class WhoIsThere(WholeHub):
    def test_is_counted_and_listed(self) -> None:
        bob = self.gateway.connect("bob")
        self.gateway.presence.groups["lobby"] = [self.ann, bob]
        self.assertEqual([presence.count(hub.group("lobby")), presence.count(hub.user("bob"))], [2, 1])
        self.assertEqual(presence.members("lobby", after=self.ann.id), [Member(bob.id, "bob")])
        self.assertEqual(presence.connections("ann"), [self.ann.id])
        presence.watch("lobby")
        self.assertEqual(self.gateway.presence.watched, {"lobby"})

    def test_is_told_of_watched_groups_and_of_a_hub_that_begins(self) -> None:
        heard: list[Any] = []
        presence_changed(lambda hub, group, joined, left: heard.append((group, joined, left)))
        started(lambda hub: heard.append(hub))
        whole_hub.PresenceEvents().changed("test", "lobby", [Member("c1", None)], [])
        whole_hub.HubLifetime().started("test")
        self.assertEqual(heard, [("lobby", [Member("c1", None)], []), "test"])


class SignIn(WholeHub):
    def asked(self, *headers: Pair, items: tuple[Pair, ...] = ()) -> Any:
        return authorizer.Authorizer().authorize(Request("chat", list(headers), list(items), "::1"))

    def refusal(self, *headers: Pair) -> Any:
        with self.assertRaises(Err) as caught:
            self.asked(*headers)
        return caught.exception.value

    def test_gives_a_grant_or_refuses(self) -> None:
        @authorize
        def who(request: Request) -> Grant:
            user = header(request, "X-User") or cookie(request, "user") or unauthorized("Who are you?")
            if user == "nobody":
                forbidden("Not you.")
            if user == "never":
                reject("Never.")
            return Grant(user, {"from": query(request, "from") or "-"}, ["lobby"], 60)

        granted = self.asked(Pair("cookie", "a=b; c; user=ann"), items=(Pair("from", "here"),))
        self.assertEqual(
            (granted.user_id, granted.claims, granted.groups, granted.lifetime_seconds),
            ("ann", [Pair("from", "here")], ["lobby"], 60),
        )
        self.assertEqual(self.refusal(Pair("x-user", "nobody")), Refusal_Forbidden("Not you."))
        self.assertEqual(self.refusal(Pair("x-user", "never")), Refusal_Forbidden("Never."))
        self.assertEqual(self.refusal(), Refusal_Unauthorized("Who are you?"))

    def test_reads_a_bearer_token(self) -> None:
        request = Request("chat", [Pair("Authorization", "bearer a.b")], [], "::1")
        self.assertEqual(bearer_token(request), "a.b")
        self.assertIsNone(bearer_token(Request("chat", [Pair("authorization", "Basic x")], [], "::1")))

    def test_is_refused_where_nobody_decides(self) -> None:
        self.assertEqual(self.refusal(), Refusal_Failed("this plugin has no authorizer for the hub 'chat'"))


class Decorators(WholeHub):
    def test_have_defaults_for_what_is_not_written(self) -> None:
        upstream = whole_hub.UpstreamStreams()
        upstream.writable(self.ann, "s1", Room(1, 1))
        upstream.cancelled(self.ann, "s1")
        upstream.ended(self.ann, "u1", None)
        whole_hub.Scheduled().fired("test", "tick", b"")
        whole_hub.PresenceEvents().changed("test", "lobby", [], [])
        whole_hub.HubLifetime().started("test")

    def test_refuse_what_cannot_work(self) -> None:
        with self.assertRaisesRegex(TypeError, "`later` is `async def`"):

            @streaming  # type: ignore[type-var]
            async def later(client: Connection, stream: Stream) -> None:
                pass

        with self.assertRaisesRegex(TypeError, "`endless` is a generator, .* `stream.push"):

            @streaming  # type: ignore[type-var]
            def endless(client: Connection, stream: Stream) -> Iterator[int]:
                yield 1

        with self.assertRaisesRegex(TypeError, r"write `def count\(client: Connection, stream: Stream, start: int\)`"):

            @streaming
            def count(client: Connection, start: int) -> None:
                pass

        with self.assertRaisesRegex(TypeError, r"must be `def tick\(hub: str, timer: str, payload: Any\)`"):

            @fired  # type: ignore[type-var]
            def tick(timer: str) -> None:
                pass

    def test_are_what_a_whole_hub_exports(self) -> None:
        streaming("ticks")(lambda client, stream: None)
        self.assertIs(exports.export("Upstream"), whole_hub.Upstream)
        for name in ("UpstreamStreams", "Scheduled", "PresenceEvents", "HubLifetime"):
            self.assertIs(exports.export(name), getattr(whole_hub, name))
        self.assertIs(exports.export("Authorizer"), authorizer.Authorizer)


if __name__ == "__main__":
    unittest.main()
