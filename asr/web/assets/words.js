// spaced gives words the spaces that the text has before them, where they come without: words then make the text again.
export function spaced(words, text) {
  let at = 0;
  return words.map((w) => {
    const bare = w.word.trim();
    const found = text.indexOf(bare, at);
    if (found < 0) return w;
    const word = text.slice(at, found).trim() === '' ? text.slice(at, found) + bare : w.word;
    at = found + bare.length;
    return { ...w, word };
  });
}
