import assert from "node:assert/strict";
import test from "node:test";
import { countdown, greet } from "./answers.ts";

test("a greeting has the name", () => assert.equal(greet("ann"), "Hello, ann!"));
test("a countdown ends with 1", () => assert.deepEqual(countdown(3), [3, 2, 1]));
test("a countdown is not endless", () => assert.equal(countdown(101), null));
