// Finding words in texts, as far as it needs nothing of the gateway.

/** What is written in place of letters. */
const LOOKALIKES: Record<string, string> = { "0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i" };

/** A letter as it is compared; empty for what does not count. */
function folded(letter: string): string {
  const plain = letter.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  return LOOKALIKES[plain] ?? plain;
}

export interface Words {
  /** The first word of the list that the text has, or null. */
  find(text: string): string | null;
  /** The text with stars in place of all words of the list. */
  mask(text: string): string;
}

/** Of a list such as `damn, son of a gun`. */
export function wordList(list: string): Words {
  const words = list.split(",").map((word) => word.trim()).filter((word) => word !== "");
  const known = words.map((word) => ({ word, letters: Array.from(word, folded).join("") }));

  /** Where words of the list stand, whole words alone: `classic` has no `ass`. */
  function places(text: string): { word: string; start: number; end: number }[] {
    const original = Array.from(text);
    const letters = original.map(folded);
    const isLetter = (at: number): boolean => /[\p{L}\p{N}]/u.test(original[at] ?? "");
    const found = [];
    for (let start = 0; start < letters.length; start++) {
      if (isLetter(start - 1)) continue;
      for (const { word, letters: wanted } of known) {
        let [end, rest] = [start, wanted];
        while (end < letters.length && rest !== "" && rest.startsWith(letters[end] ?? "")) rest = rest.slice((letters[end++] ?? "").length);
        if (rest === "" && !isLetter(end)) found.push({ word, start, end });
      }
    }
    return found;
  }

  return {
    find: (text) => places(text)[0]?.word ?? null,
    mask(text) {
      const letters = Array.from(text);
      for (const { start, end } of places(text)) letters.fill("*", start, end);
      return letters.join("");
    },
  };
}
