/** Where each code point of `text` begins in UTF-16: the API counts code points, JavaScript counts UTF-16 units. */
export function codePointStarts(text) {
  const starts = [0];
  for (const character of text) starts.push(starts.at(-1) + character.length);
  return starts;
}

/** The words with `start` and `end` in UTF-16 units of `text`. */
export function inUtf16(text, words) {
  const starts = codePointStarts(text);
  return words.map((word) => ({ ...word, start: starts[word.start], end: starts[word.end] }));
}

/** Fills `container` with `text`, each word a span that carries its index as data-source or data-target. */
export function renderWords(container, text, words, side) {
  const nodes = [];
  let written = 0;
  const spans = inUtf16(text, words).map(({ start, end }, index) => {
    const span = document.createElement("span");
    span.className = "word";
    span.dataset[side] = index;
    span.textContent = text.slice(start, end);
    nodes.push(text.slice(written, start), span);
    written = end;
    return span;
  });
  container.replaceChildren(...nodes, text.slice(written));
  return spans;
}

/** Probability of each word: the product over its pieces, undefined where none is known. */
export function wordProbabilities(words, tokens) {
  return words.map((word) => {
    const own = tokens.filter((token) => token.start < word.end && token.end > word.start);
    return own.length ? Math.exp(own.reduce((sum, token) => sum + token.log_prob, 0)) : undefined;
  });
}

/** Whether the alignment links a source word to a target word. */
export function linkTest({ links }) {
  const linked = new Set(links.map((link) => `${link.source}-${link.target}`));
  return (source, target) => linked.has(`${source}-${target}`);
}
