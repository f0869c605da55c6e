"""The package on the host's own Python: what methods get and give, and what is refused at once."""

import math
import unittest
from typing import Any, Callable, Literal, Optional

from hubgate import Connection, Payload, Payload_Json, config, connected, disconnected, exports, fail, handler, hub, init
from hubgate import filter, log, method, reject, reply, state
from hubgate.errors import Failed, Rejected
from hubgate.testing import Gateway
from hubgate.texts import time_to_live

from componentize_py_types import Err
from wit_world.imports.state import Error_Quota
from wit_world.imports.types import Target_Group, Target_User


class Plugin(unittest.TestCase):
    """Begins without methods."""

    def setUp(self) -> None:
        handler._methods.clear()
        handler._events.clear()
        self.gateway = Gateway(config={"greeting": "hi"})
        self.client = Connection("test", "c1", None)

    def call(self, name: str, *arguments: object) -> object:
        return self.gateway.call(self.client, name, *arguments)

    def refused(self, name: str, *arguments: object) -> str:
        with self.assertRaises(Rejected) as caught:
            self.call(name, *arguments)
        return str(caught.exception)


class Arguments(Plugin):
    def test_are_those_that_the_client_gave(self) -> None:
        @method
        def add(client: Connection, a: int, b: float = 1.5) -> float:
            return a + b

        self.assertEqual(self.call("add", 2, 3), 5)
        self.assertEqual(self.call("add", 2**70), 2**70 + 1.5)
        self.assertEqual(self.refused("add"), "Wrong arguments: add takes 1 to 2, got 0.")
        self.assertEqual(self.refused("add", "2"), "Wrong arguments: argument 1 must be an integer, not a string.")
        self.assertEqual(self.refused("add", True), "Wrong arguments: argument 1 must be an integer, not true or false.")
        self.assertEqual(self.refused("add", 1, None), "Wrong arguments: argument 2 must be a number, not null.")

    def test_may_be_any_number_of_one_type(self) -> None:
        @method
        def join(client: Connection, between: str, *texts: str) -> str:
            return between.join(texts)

        self.assertEqual(self.call("join", "-", "a", "b", "c"), "a-b-c")
        self.assertIn("argument 3 must be a string, not an integer", self.refused("join", "-", "a", 1))
        self.assertIn("takes at least 1, got 0", self.refused("join"))

    def test_have_the_types_of_json(self) -> None:
        @method
        def take(
            client: Connection,
            maybe: Optional[str],
            either: int | Literal["all"],
            names: list[str],
            places: dict[str, float],
            anything: list,  # type: ignore[type-arg]
        ) -> None:
            pass

        right = [None, "all", ["a"], {"x": 1}, [1, "x", None]]
        self.assertIsNone(self.call("take", *right))
        for place, wrong in enumerate([1, "some", ["a", 1], {"x": "1"}, {}]):
            self.assertIn("must be", self.refused("take", *right[:place], wrong, *right[place + 1 :]))

    def test_of_a_type_that_json_has_not_are_refused_where_the_method_is_defined(self) -> None:
        with self.assertRaisesRegex(TypeError, "`when` of `ask` has the type <class 'set'>"):

            @method
            def ask(client: Connection, when: set) -> None:  # type: ignore[type-arg]
                pass

    def test_are_given_as_they_came_to_a_method_that_takes_the_payload(self) -> None:
        @method
        def echo(client: Connection, arguments: Payload) -> Payload:
            return arguments

        self.assertEqual(self.call("echo", 1, "x"), [1, "x"])


class Methods(Plugin):
    def test_have_the_name_that_clients_use(self) -> None:
        @method("sayTo")
        def say_to(client: Connection, group: str, text: str) -> None:
            hub.send_group(group, "said", text)

        self.assertIsNone(self.call("sayTo", "a", "hi"))
        self.assertEqual(self.gateway.sent, [(Target_Group("a"), "said", ["hi"])])
        self.assertEqual(self.refused("say_to", "a", "hi"), "There is no method 'say_to'.")
        self.assertEqual(self.refused("sayTo", "a"), "Wrong arguments: sayTo takes 2, got 1.")

    def test_take_no_keywords(self) -> None:
        with self.assertRaisesRegex(TypeError, "`loud` of `sayTo` takes a keyword"):

            @method("sayTo")
            def say_to(client: Connection, *, loud: bool) -> None:
                pass

    def test_that_are_async_are_refused_where_they_are_defined(self) -> None:
        async def later(client: Connection) -> None:
            pass

        for decorate in (method, connected, disconnected):
            with self.assertRaisesRegex(TypeError, "`later` is `async def`, .* write `def`"):
                decorate(later)  # type: ignore[type-var]

    def test_need_the_client_and_a_name_of_their_own(self) -> None:
        with self.assertRaisesRegex(TypeError, "needs the client"):

            @method
            def nothing() -> None:
                pass

        with self.assertRaisesRegex(TypeError, r"write `def hello\(client: Connection, name: str, \*rest: int\)`"):

            @method
            def hello(name: str, *rest: int) -> str:
                return name

        method("any")(lambda whoever: None)
        self.assertIsNone(self.call("any"))

        @method
        def twice(client: Connection) -> None:
            pass

        with self.assertRaisesRegex(TypeError, "two methods 'twice'"):
            method(twice)
        with self.assertRaisesRegex(TypeError, "write `@method`"):
            method()  # type: ignore[call-overload]

    def test_that_raise_have_done_nothing_but_what_they_flushed(self) -> None:
        @method
        def say(client: Connection, how: str) -> None:
            hub.send_all("said", 1)
            hub.flush()
            hub.send_all("said", 2)
            if how == "reject":
                reject("no")
            if how == "fail":
                fail("broken")
            raise KeyError(how)

        self.assertEqual(self.refused("say", "reject"), "no")
        with self.assertRaisesRegex(Failed, "broken"):
            self.call("say", "fail")
        with self.assertRaises(KeyError):
            self.call("say", "otherwise")
        self.assertEqual([arguments for _, _, arguments in self.gateway.sent], [[1], [1], [1]])

    def test_answer_with_values_that_are_json(self) -> None:
        answers = {"null": reply(None), "half": "\ud800", "list": [1.5, "ä"], "nan": float("nan"), "set": {1}}

        @method
        def answer(client: Connection, name: str) -> object:
            return answers[name]

        self.assertIsNone(self.call("answer", "null"))
        self.assertEqual(self.call("answer", "half"), "\ud800")
        self.assertEqual(self.call("answer", "list"), [1.5, "ä"])
        for name in ("nan", "set"):
            with self.assertRaisesRegex(Failed, "^what answer returned cannot be sent: a value is not JSON"):
                self.call("answer", name)
        self.assertEqual(reply("ä"), Payload_Json('"ä"'))
        self.assertEqual(reply("\ud800"), Payload_Json('"\\ud800"'))


class Events(Plugin):
    def test_are_told(self) -> None:
        heard: list[object] = []

        @connected
        def come(client: Connection) -> None:
            if client.user_id is None:
                reject("Sign in first.")

        @disconnected
        def go(client: Connection, reason: Optional[str]) -> None:
            heard.append((client.user_id, reason))

        with self.assertRaisesRegex(Rejected, "Sign in first."):
            self.gateway.connect()
        self.gateway.disconnect(self.gateway.connect("ann"), "gone")
        self.assertEqual(heard, [("ann", "gone")])

    def test_are_refused_to_functions_that_do_not_take_them(self) -> None:
        wrong: list[tuple[Callable[..., Any], Callable[..., None], str]] = [
            (connected, lambda: None, r"\(client: Connection\)"),
            (disconnected, lambda client: None, r"\(client: Connection, reason: Optional\[str\]\)"),
            (init, lambda client: None, r"\(\)"),
        ]
        for decorate, function, cure in wrong:
            with self.assertRaisesRegex(TypeError, f"must be `def <lambda>{cure}`"):
                decorate(function)

    def test_of_the_start_fails_with_the_text_of_its_exception(self) -> None:
        @init
        def start() -> None:
            log.info("started", greeting=config.get("greeting"))
            raise ValueError("no greeting")

        with self.assertRaises(Err) as caught:
            exports.Lifecycle().init()
        self.assertEqual(caught.exception.value, "ValueError: no greeting")
        self.assertEqual(self.gateway.log, [("INFO", "started")])


class Imports(Plugin):
    def test_keep_values_and_bytes(self) -> None:
        state.set("a", {"x": [1, "ä"]})
        self.assertEqual(state.get("a"), {"x": [1, "ä"]})
        self.assertEqual(state.get("b", 7), 7)
        self.assertTrue(state.compare_and_set("b", None, b"1"))
        self.assertFalse(state.compare_and_set("b", None, b"2"))
        self.assertEqual(state.increment("b", 4), 5)
        self.assertEqual(state.keys(), ["a", "b"])
        state.delete("a")
        self.assertEqual(state.keys(after="a"), ["b"])

    def test_forget_values_whose_time_to_live_is_over(self) -> None:
        state.set("a", 1, ttl_ms=1000)
        state.set("b", 1, ttl_ms=1000)
        state.set("b", 2)
        state.increment("c", ttl_ms=1000)
        self.gateway.now = 500
        state.increment("c", ttl_ms=1000)
        state.compare_and_set("d", None, b"1", ttl_ms=1000)
        self.gateway.now = 999
        self.assertEqual(state.keys(), ["a", "b", "c", "d"])
        self.gateway.now = 1000
        self.assertEqual(self.gateway.state, {"b": b"2", "d": b"1"})
        self.gateway.now = 1500
        self.assertEqual(state.keys(), ["b"])
        state.set("b", 3, ttl_ms=0)
        self.assertEqual((state.increment("e", 2, ttl_ms=0), state.keys()), (2, []))

    def test_take_users_and_connections_into_groups(self) -> None:
        hub.join(self.client.id, "g")
        hub.leave(hub.user("ann"), "g")
        hub.send(hub.user("ann"), "m", except_=["c2"])
        hub.flush()
        actions = [type(action).__name__ for action in self.gateway.actions]
        self.assertEqual(actions, ["Action_Join", "Action_Leave", "Action_Send"])
        self.assertEqual(self.gateway.sent, [(Target_User("ann"), "m", [])])


    def test_get_what_is_unicode(self) -> None:
        half = "a\ud800b\udc00"

        @method
        def tell(client: Connection, text: str) -> None:
            log.info(text, name=text)
            hub.join(client.id, text)
            hub.send_group(text, text, text)
            state.set(text, text)
            reject(text)

        self.assertEqual(self.refused("tell", half), "a\ufffdb\ufffd")
        self.assertEqual(self.gateway.log, [("INFO", "a\ufffdb\ufffd")])
        self.assertEqual(self.gateway.state, {"a\ufffdb\ufffd": b'"a\\ud800b\\udc00"'})
        self.gateway._queued.clear()
        hub.join(half, half)
        hub.send_group(half, half, half)
        hub.flush()
        self.assertNotIn("\\ud800", repr(self.gateway.actions).replace("\\\\ud800", ""))
        self.assertEqual(self.gateway.sent[0][:2], (Target_Group("a\ufffdb\ufffd"), "a\ufffdb\ufffd"))

    def test_have_times_to_live_that_are_over_at_once_or_never_or_in_between(self) -> None:
        times = [(None, None), (0, 0), (-5, 0), (0.5, 1), (1500, 1500), (1e300, 2**64 - 1)]
        for given, told in times:
            self.assertEqual(time_to_live(given, 2**64 - 1), told)
        for given in (math.nan, math.inf, -math.inf):
            with self.assertRaisesRegex(ValueError, "a time to live is a finite number, or None to last for ever, not"):
                state.set("k", 1, given)

    def test_of_the_state_name_the_key_in_the_words_of_all_languages(self) -> None:
        refusal = state.Error("k", Error_Quota())
        self.assertEqual(str(refusal), "state, key 'k': there is no room left (plugins.NAME.state)")
        state.set_bytes("k", b"{")
        with self.assertRaisesRegex(Failed, "state, key 'k': it is not of the expected type: "):
            state.get("k")


class Filters(unittest.TestCase):
    def setUp(self) -> None:
        filter._halves.clear()

    def verdict(self) -> object:
        message = filter.Message(filter.Kind.INVOCATION, "say", Payload_Json("[]"), None)
        return filter.InboundFilter().inspect(Connection("test", "c1", None), message)

    def test_decide_by_what_they_give_or_reject(self) -> None:
        answers: list[object] = [None, filter.Drop(), filter.Reject("\ud800")]
        filter.inbound(lambda client, message: answers.pop(0))  # type: ignore[type-var]
        self.assertEqual(self.verdict(), filter.Pass())
        self.assertEqual(self.verdict(), filter.Drop())
        self.assertEqual(self.verdict(), filter.Reject("\ufffd"))
        filter._halves.clear()
        filter.inbound(lambda client, message: reject("no"))
        self.assertEqual(self.verdict(), filter.Reject("no"))

    def test_break_off_when_they_fail_or_give_no_verdict(self) -> None:
        filter.inbound(lambda client, message: fail("for the log"))
        with self.assertRaisesRegex(Failed, "for the log"):
            self.verdict()
        filter._halves.clear()
        filter.inbound(lambda client, message: True)  # type: ignore[type-var]
        with self.assertRaisesRegex(TypeError, "@inbound has given True, which is no verdict"):
            self.verdict()


class Tests(Plugin):
    def test_that_an_error_of_the_plugin_ends_are_reported(self) -> None:
        @method
        def no(client: Connection) -> None:
            reject("no")

        class Project(unittest.TestCase):
            def runTest(self) -> None:
                test.call("no")

        test, result = self, unittest.TestResult()
        Project().run(result)
        [(_, text)] = result.errors
        self.assertRegex(text, "hubgate.errors.Rejected: no\n$")


class Exports(Plugin):
    def test_of_a_project_that_decorated_nothing_are_refused_with_what_to_do(self) -> None:
        with self.assertRaisesRegex(TypeError, "decorate a function with `@hubgate.method`"):
            exports.export("Upstream")
        with self.assertRaisesRegex(TypeError, "decorate one with `@hubgate.filter.inbound`, or say \"filter-outbound\""):
            exports.export("InboundFilter")

    def test_of_a_handler_are_the_contracts(self) -> None:
        connected(lambda client: None)
        self.assertEqual(exports.export("Upstream").__name__, "Upstream")


if __name__ == "__main__":
    unittest.main()
