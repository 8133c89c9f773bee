/** Why there is no answer, in words for the person at the page. */
export class ServiceError extends Error {}

// Every address is relative, so that the page also works behind a path prefix.
async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new ServiceError("The service cannot be reached. Is it running, and are you online?");
  }
  const body = await response.json().catch(() => null); // a proxy in between may answer in HTML
  if (!response.ok) throw new ServiceError(body?.detail ?? `The service answered with status ${response.status}.`);
  if (!body) throw new ServiceError("The service sent an answer that this page cannot read.");
  return body;
}

let alternatives = 5; // of one translation, as far as the service gives so many

/** [{code, name, targets: [code]}] */
export async function fetchLanguages() {
  const { languages, max_n_best } = await ask("v1/languages");
  alternatives = Math.min(alternatives, max_n_best);
  return languages;
}

const LONG_TEXT = 1500; // characters, from which on a reply would not hold the attention of five translations

const UNALIGNED = { source: [], target: [], weights: [], links: [] };

/** The best translations of one text, or the best of a long one, each with its attention between words. */
export async function translate({ text, source, target }, signal) {
  const n_best = text.length > LONG_TEXT ? 1 : alternatives;
  const reply = await ask("v1/translate", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      text, source, target, search: { n_best }, alignment: "words", details: ["tokens"],
    }),
    signal,
  });
  for (const hypothesis of reply.translations[0].hypotheses) {
    hypothesis.alignment ??= UNALIGNED; // left out where it would make the reply too large
  }
  return reply;
}
