const AUTO = "auto";

/** The two language selects: whatever is chosen, the pair they hold is one that the service offers. */
export class LanguageChoice {
  #source;
  #target;
  #languages = [];

  constructor(source, target, onChange) {
    this.#source = source;
    this.#target = target;
    source.addEventListener("change", () => {
      this.choose(this.pair);
      onChange();
    });
    target.addEventListener("change", onChange);
  }

  get pair() {
    return { source: this.#source.value, target: this.#target.value };
  }

  offer(languages) {
    this.#languages = languages;
    fill(this.#source, [{ code: AUTO, name: "Detect language" }, ...languages]);
    this.choose({ source: languages[0]?.code });
  }

  /** Takes the nearest offered pair to the wanted one. */
  choose({ source, target }) {
    if ([...this.#source.options].some((option) => option.value === source)) this.#source.value = source;
    const codes = this.#targetsOf(this.#source.value);
    fill(this.#target, codes.map((code) => ({ code, name: this.nameOf(code) })));
    if (codes.includes(target)) this.#target.value = target;
    this.showDetected(null);
  }

  showDetected(code) {
    this.#source.options[0].text = code ? `Detected: ${this.nameOf(code)}` : "Detect language";
  }

  nameOf(code) {
    return this.#languages.find((language) => language.code === code)?.name ?? code;
  }

  #targetsOf(code) {
    const sources = this.#languages.filter((language) => code === AUTO || language.code === code);
    return [...new Set(sources.flatMap((language) => language.targets))];
  }
}

function fill(select, languages) {
  select.replaceChildren(...languages.map(({ code, name }) => new Option(name, code)));
}
