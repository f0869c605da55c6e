import assert from "node:assert/strict";
import test from "node:test";
import { countdown, greet } from "./answers.js";

test("a greeting has the name", () => assert.equal(greet("ann"), "Hello, ann!"));
test("what is no text is not greeted", () => assert.equal(greet(1), null));
test("a countdown ends with 1", () => assert.deepEqual(countdown(3), [3, 2, 1]));
test("a countdown is not endless", () => assert.equal(countdown(101), null));
