import { linkTest } from "./words.js";

const FAINT = 0.05; // weights below this are noise to the eye
const percent = new Intl.NumberFormat("en", { style: "percent" });

// The invisible isolates keep a right-to-left word from turning the sentence around it.
const quoted = (word) => `“\u2068${word.text}\u2069”`;
const numberOf = (value) => (value === undefined ? undefined : Number(value));
const holdOf = (element) => ({ source: numberOf(element.dataset.source), target: numberOf(element.dataset.target) });
const isWord = (element) => element?.dataset?.source !== undefined || element?.dataset?.target !== undefined;

/**
 * Lights the partners of the word that is pointed at or focused.
 *
 * Words and headers carry data-source or data-target, cells of the map carry both; where they are in the page does
 * not matter. A "hold" is {source?, target?}: the indices of the word or cell in hand.
 */
export class Lights {
  #root;
  #readout;
  #alignment = null;
  #isLink = null;
  #probabilities = [];
  #marks = [];
  #pointed = null;

  constructor(root, readout) {
    this.#root = root;
    this.#readout = readout;
    root.addEventListener("pointermove", (event) => this.#point(event));
    root.addEventListener("pointerleave", () => this.#follow(null));
    root.addEventListener("focusin", (event) => this.hold(isWord(event.target) ? holdOf(event.target) : {}));
    root.addEventListener("focusout", (event) => isWord(event.relatedTarget) || this.hold({}));
    this.hold({});
  }

  /** Takes up the words now on the page; `alignment` null puts all lights out. */
  show(alignment, probabilities = []) {
    this.#alignment = alignment;
    this.#probabilities = probabilities;
    this.#isLink = alignment && linkTest(alignment);
    const elements = [...this.#root.querySelectorAll("[data-source], [data-target]")];
    this.#marks = elements.map((element) => ({ element, ...holdOf(element) }));
    this.#pointed = null;
    this.hold({});
  }

  hold(hold) {
    const held = this.#alignment ? hold : {};
    for (const mark of this.#marks) this.#paint(mark, held);
    const description = this.#describe(held);
    if (this.#readout.textContent === description) return; // or it would be announced again
    this.#readout.textContent = description;
  }

  // The words of the source lie beneath the textarea, so the topmost element is not enough.
  #point(event) {
    this.#follow(document.elementsFromPoint(event.clientX, event.clientY).find(isWord) ?? null);
  }

  #follow(element) {
    if (element === this.#pointed) return;
    this.#pointed = element;
    const chosen = element ?? document.activeElement;
    this.hold(isWord(chosen) ? holdOf(chosen) : {});
  }

  #paint({ element, source, target }, held) {
    const isCell = source !== undefined && target !== undefined;
    const inHand = (source !== undefined && source === held.source) || (target !== undefined && target === held.target);
    element.classList.toggle(isCell ? "crossed" : "held", inHand);
    if (isCell) return;

    const [s, t] = [source ?? held.source, target ?? held.target];
    const isWordInHand = (held.source === undefined) !== (held.target === undefined); // and not a cell
    const weight = (isWordInHand && !inHand && this.#alignment?.weights[t]?.[s]) || 0;
    element.classList.toggle("lit", weight >= FAINT);
    element.classList.toggle("linked", weight >= FAINT && this.#isLink(s, t));
    element.style.setProperty("--weight", weight.toFixed(3));
  }

  #describe({ source, target }) {
    if (source === undefined && target === undefined) {
      return "Point at a word, or use the arrow keys, to see what belongs together.";
    }
    const { source: sources, target: targets, weights } = this.#alignment;
    if (target === undefined) {
      return `${quoted(sources[source])} went into ${this.#list(targets, (t) => weights[t][source])}`;
    }

    const probability = this.#probabilities[target];
    const sure = probability === undefined ? "" : ` (${percent.format(probability)} sure)`;
    const partners = source === undefined
      ? this.#list(sources, (s) => weights[target][s])
      : this.#name(sources[source], weights[target][source]);
    return `${quoted(targets[target])}${sure} came from ${partners}`;
  }

  #list(words, weightOf) {
    const ranked = words.map((word, i) => [weightOf(i), word]).filter(([weight]) => weight >= FAINT);
    ranked.sort(([a], [b]) => b - a);
    return ranked.slice(0, 4).map(([weight, word]) => this.#name(word, weight)).join(", ") || "nothing in particular";
  }

  #name(word, weight) {
    return `${quoted(word)} ${percent.format(weight)}`;
  }
}
