import assert from "node:assert/strict";
import test from "node:test";
import { hide } from "./hide.js";

test("the word is replaced wherever it stands", () => assert.equal(hide("a secret, secrets"), "a ******, ******s"));
test("the rest stays", () => assert.equal(hide("nothing"), "nothing"));
