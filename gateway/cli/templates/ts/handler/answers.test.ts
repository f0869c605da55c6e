import assert from "node:assert/strict";
import test from "node:test";
import { greet } from "./answers.ts";

test("a greeting has the name", () => assert.equal(greet("ann"), "Hello, ann!"));
