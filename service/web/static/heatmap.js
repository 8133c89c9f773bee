import { inUtf16, linkTest } from "./words.js";
import { rove } from "./roving.js";

const MAX_WORDS = 40; // a side; a larger map can neither be read nor painted at once

/**
 * Cuts the alignment of a long text into parts that can be shown: one a sentence of the target.
 * A part is {rows: [from, to], columns: [from, to]}, ends exclusive; a short text is one part.
 */
export function cutIntoParts(text, { source, target, weights }, language) {
  if (Math.max(source.length, target.length) <= MAX_WORDS) {
    return [{ rows: [0, target.length], columns: [0, source.length] }];
  }
  return sentenceRows(text, target, language).map((rows) => ({ rows, columns: columnsFor(weights.slice(...rows)) }));
}

function sentenceRows(text, target, language) {
  const sentences = new Intl.Segmenter(language || undefined, { granularity: "sentence" }).segment(text);
  const ranges = [];
  let sentence;
  inUtf16(text, target).forEach(({ start }, index) => {
    const here = sentences.containing(start)?.index;
    const [from] = ranges.at(-1) ?? [];
    if (here !== sentence || index - from >= MAX_WORDS) ranges.push([index, index]);
    ranges.at(-1)[1] = index + 1;
    sentence = here;
  });
  return ranges;
}

/** The source words that hold the middle 98 % of the rows' weight. */
function columnsFor(weights) {
  const masses = weights[0].map((_, column) => weights.reduce((sum, row) => sum + row[column], 0));
  const tail = 0.01 * weights.length;
  const first = (list) => {
    let passed = 0;
    return list.findIndex((mass) => (passed += mass) > tail);
  };
  const from = first(masses);
  const to = masses.length - first(masses.toReversed());
  return [from, Math.min(to, from + 2 * MAX_WORDS)];
}

/** Draws one part of the alignment into `box`: target words down, source words across. */
export function renderHeatMap(box, alignment, part) {
  const isLink = linkTest(alignment);
  const sources = range(part.columns);
  const targets = range(part.rows);
  const heads = sources.map((s) => headerCell("col", alignment.source[s].text, { source: s }));
  const rows = [[null, ...heads]];
  for (const t of targets) {
    const head = headerCell("row", alignment.target[t].text, { target: t });
    rows.push([head, ...sources.map((s) => weightCell(s, t, alignment.weights[t][s], isLink(s, t)))]);
  }

  const table = document.createElement("table");
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", "Attention in percent: translated words down, source words across");
  const corner = document.createElement("td");
  table.createTHead().insertRow().append(corner, ...heads);
  const body = table.createTBody();
  for (const row of rows.slice(1)) body.insertRow().append(...row);
  box.replaceChildren(table);
  rove(table, rows);
}

const range = ([from, to]) => Array.from({ length: to - from }, (_, i) => from + i);

function headerCell(scope, text, data) {
  const cell = document.createElement("th");
  cell.scope = scope;
  Object.assign(cell.dataset, data);
  const word = document.createElement("span");
  word.dir = "auto";
  word.textContent = text;
  cell.append(word);
  return cell;
}

function weightCell(source, target, weight, isLink) {
  const cell = document.createElement("td");
  Object.assign(cell.dataset, { source, target });
  cell.textContent = Math.round(100 * weight);
  cell.style.setProperty("--weight", weight);
  cell.classList.toggle("strong", weight > 0.55);
  cell.classList.toggle("faint", weight < 0.05);
  cell.classList.toggle("link", isLink);
  return cell;
}
