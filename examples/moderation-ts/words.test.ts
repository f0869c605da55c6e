import assert from "node:assert/strict";
import test from "node:test";
import { wordList } from "./words.ts";

const words = wordList("damn, son of a gun, ass");

test("words are found whatever their case, accents and lookalikes", () => {
  for (const text of ["damn", "Oh DAMN!", "d4mn", "dámn it", "(damn)", "d@mn!"]) assert.equal(words.find(text), "damn", text);
  assert.equal(words.find("you Son of a GUN."), "son of a gun");
});
test("words in other words are none", () => assert.equal(words.find("a classic, goddamn"), null));
test("stars take the place of letters, and the rest stays", () => assert.equal(words.mask("Oh Dámn, 🦀 damn classic"), "Oh ****, 🦀 **** classic"));
test("an empty list finds nothing", () => assert.equal(wordList(" , ").find("damn"), null));
