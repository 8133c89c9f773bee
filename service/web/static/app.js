import { fetchLanguages, ServiceError, translate } from "./api.js";
import { cutIntoParts, renderHeatMap } from "./heatmap.js";
import { LanguageChoice } from "./languages.js";
import { Lights } from "./lights.js";
import { rove } from "./roving.js";
import { inUtf16, renderWords, wordProbabilities } from "./words.js";

const TYPING_PAUSE_MS = 250;
const MAX_LINK_CHARACTERS = 2000; // longer addresses are cut by mail programs and chats
const UNSURE = 0.3;
const EXAMPLES = {
  de: "Zwei Hunde spielen im Schnee, während ein Mann sie fotografiert.",
  en: "Two dogs are playing in the snow while a man takes their picture.",
  es: "Dos perros juegan en la nieve mientras un hombre les hace una foto.",
  fr: "Deux chiens jouent dans la neige pendant qu'un homme les photographie.",
};

const $ = (id) => document.getElementById(id);
const sourceText = $("source-text");
const sourceWords = $("source-words");
const translation = $("translation");
const lights = new Lights($("page"), $("readout"));
const languages = new LanguageChoice($("source-language"), $("target-language"), translateNow);

let waiting = 0; // the timer of the pause in typing
let request = new AbortController(); // the latest; all before it are aborted
let answer = null; // what is shown: {text, pair, hypotheses, quality, …}; here `text` is the source

// --- asking ---------------------------------------------------------------------------------------------------------

function onInput() {
  renderSource([]);
  lights.show(null); // what is shown no longer belongs to what is written
  clearTimeout(waiting);
  waiting = setTimeout(translateNow, sourceText.value.trim() ? TYPING_PAUSE_MS : 0);
}

async function translateNow() {
  clearTimeout(waiting);
  request.abort();
  request = new AbortController();
  const { signal } = request;
  if (!languages.pair.target) return start(); // the languages could not be had before
  const wanted = { text: sourceText.value, ...languages.pair };
  rememberInAddress(wanted);
  showProblem(null);
  setBusy(false);
  if (!wanted.text.trim()) return showAnswer(null);

  setBusy(true);
  try {
    const reply = await translate(wanted, signal);
    if (!signal.aborted) showAnswer({ ...reply, ...reply.translations[0], text: wanted.text, pair: wanted });
  } catch (error) {
    if (signal.aborted) return;
    showAnswer(null);
    showProblem(error, translateNow);
  } finally {
    if (!signal.aborted) setBusy(false);
  }
}

async function start() {
  showProblem(null);
  try {
    const offered = await fetchLanguages();
    if (!offered.length) throw new ServiceError("The service has no model to translate with.");
    languages.offer(offered);
  } catch (error) {
    return showProblem(error, start);
  }
  readAddress();
}

// --- showing --------------------------------------------------------------------------------------------------------

function showAnswer(newAnswer) {
  answer = newAnswer;
  $("copy").hidden = !answer;
  $("insight").hidden = !answer?.hypotheses[0].alignment.target.length;
  $("model").textContent = answer ? `Model ${answer.model.name}, version ${answer.model.version}` : "";
  languages.showDetected(answer?.detected_source);
  if (!answer) {
    renderSource([]);
    translation.replaceChildren();
    $("facts").replaceChildren();
    return lights.show(null);
  }
  renderAlternatives();
  showHypothesis(0);
}

/** Whether the answer shown is that to the text now written: only then do its offsets fit. */
const isFresh = () => sourceText.value === answer?.text;

function showHypothesis(index) {
  const { text, alignment, tokens } = answer.hypotheses[index];
  const probabilities = wordProbabilities(alignment.target, tokens ?? []);
  renderSource(isFresh() ? alignment.source : []);
  const words = renderWords(translation, text, alignment.target, "target");
  words.forEach((word, i) => word.classList.toggle("unsure", probabilities[i] < UNSURE));
  rove(translation, [words]);
  translation.lang = answer.pair.target;
  renderFacts(index === 0);
  renderParts(text, alignment, () => lights.show(isFresh() ? alignment : null, probabilities));
}

/** The words beneath the textarea. They give it its height too, so its text stands there even without words. */
function renderSource(words) {
  renderWords(sourceWords, sourceText.value, words, "source");
  sourceWords.append("\n"); // without it an empty last line has no height
  sourceText.lang = answer?.detected_source ?? languages.pair.source.replace("auto", "");
  $("clear").hidden = !sourceText.value;
  $("example").hidden = Boolean(sourceText.value) || !(languages.pair.source in EXAMPLES);
}

function renderAlternatives() {
  const best = new Set(answer.hypotheses[0].alignment.target.map((word) => word.text));
  const choices = answer.hypotheses.map(({ text, score, alignment }, index) => {
    const [label, radio, words, number] = ["label", "input", "span", "span"].map((tag) => document.createElement(tag));
    Object.assign(radio, { type: "radio", name: "alternative", checked: index === 0 });
    radio.addEventListener("change", () => showHypothesis(index));
    renderWords(words, text, alignment.target, "word").forEach((word, i) => {
      word.classList.toggle("new", !best.has(alignment.target[i].text));
    });
    words.dir = "auto";
    words.lang = answer.pair.target;
    number.className = "score";
    number.textContent = score.toFixed(2).replace("-", "−");
    label.append(radio, words, number);
    return label;
  });
  $("alternatives").replaceChildren($("alternatives").firstElementChild, ...choices);
}

function renderParts(text, alignment, onShown) {
  const parts = cutIntoParts(text, alignment, answer.pair.target);
  const show = () => {
    renderHeatMap($("map"), alignment, parts[$("part").value]);
    onShown();
  };
  $("part-choice").hidden = parts.length === 1;
  $("part").replaceChildren(...parts.map(({ rows: [from, to] }, index) => {
    const opening = alignment.target.slice(from, Math.min(to, from + 4)).map((word) => word.text).join(" ");
    return new Option(`${index + 1} of ${parts.length}: ${opening} …`, index);
  }));
  $("part").onchange = show;
  show();
}

/** The quality is that of the best hypothesis, so it is not said of another. */
function renderFacts(isBest) {
  const { quality, timing } = answer;
  const facts = [`translated in ${timing.decode_ms.toFixed(0)} ms`];
  if (isBest) {
    if (quality.coverage < 0.8) facts.unshift("parts may be missing");
    if (quality.repetition) facts.unshift("repeats itself");
  }
  if (answer.warnings) facts.push("too long to show which words came from which");
  $("facts").replaceChildren(...(isBest ? [confidenceBadge(quality.confidence)] : []), facts.join(" · "));
}

function confidenceBadge(confidence) {
  const level = confidence >= 0.75 ? "high" : confidence >= 0.5 ? "medium" : "low";
  const badge = document.createElement("span");
  badge.className = `badge ${level}`;
  badge.textContent = `Confidence ${level}, ${confidence.toFixed(2)}`;
  return badge;
}

function showProblem(error, again) {
  if (!error) return $("problem").replaceChildren();
  if (!(error instanceof ServiceError)) console.error(error);
  const [reason, button] = [document.createElement("p"), document.createElement("button")];
  reason.textContent = error instanceof ServiceError ? error.message : "This page failed to show the answer.";
  Object.assign(button, { type: "button", className: "quiet", textContent: "Try again", onclick: again });
  $("problem").replaceChildren(reason, button);
}

function setBusy(isBusy) {
  translation.setAttribute("aria-busy", isBusy);
}

// --- the address: #source=de&target=en&text=… is a link to what is shown ----------------------------------------

function rememberInAddress({ text, source, target }) {
  const link = new URLSearchParams({ source, target });
  if (text && text.length <= MAX_LINK_CHARACTERS) link.set("text", text);
  history.replaceState(null, "", `#${link}`);
}

function readAddress() {
  const link = new URLSearchParams(location.hash.slice(1));
  languages.choose({ source: link.get("source"), target: link.get("target") });
  sourceText.value ||= link.get("text") ?? ""; // who typed while the page was loading keeps the text
  renderSource([]);
  translateNow();
}

// --- hands ----------------------------------------------------------------------------------------------------------

/** As if it were typed, so that undo brings back what stood there. */
function write(text) {
  sourceText.focus();
  sourceText.select();
  if (!document.execCommand(text ? "insertText" : "delete", false, text)) sourceText.value = text;
  renderSource([]);
  translateNow();
}

function swap() {
  const { source, target } = languages.pair;
  const spoken = answer?.detected_source ?? source;
  languages.choose({ source: target, target: spoken });
  write((isFresh() && translation.textContent) || sourceText.value);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(translation.textContent);
  } catch { // over plain HTTP, as on a home network, browsers offer the old way only
    getSelection().selectAllChildren(translation);
    document.execCommand("copy");
  }
  $("copy").textContent = "Copied";
  setTimeout(() => { $("copy").textContent = "Copy"; }, 2000);
}

/** The word at the caret lights its partners, so the source can be gone through by keyboard as well. */
function lightWordAtCaret() {
  if (document.activeElement !== sourceText || !isFresh()) return;
  const caret = sourceText.selectionStart;
  const words = inUtf16(answer.text, answer.hypotheses[0].alignment.source);
  const source = words.findIndex((word) => word.start <= caret && caret <= word.end);
  lights.hold(source < 0 ? {} : { source });
}

sourceText.addEventListener("input", onInput);
document.addEventListener("selectionchange", lightWordAtCaret);
window.addEventListener("hashchange", () => {
  sourceText.value = "";
  readAddress();
});
$("clear").addEventListener("click", () => write(""));
$("example").addEventListener("click", () => write(EXAMPLES[languages.pair.source]));
$("swap").addEventListener("click", swap);
$("copy").addEventListener("click", copy);
start();
