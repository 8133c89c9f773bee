"""How fast a trained model translates a test set, and how well, in each precision:
`python tests/benchmarks/trained.py MODEL TEST.tsv --source en --target de`.

All sentences at once, an engine a core, and some of them one by one; of three rounds the fastest. Then BLEU, and how
many translations are other ones than in fp32.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from statistics import median

from figures import report

from nmt import SearchConfig, Translation, Translator
from nmt.kernels import available
from nmt.runtime.threads import an_engine_a_core
from nmt.scoring.metrics import corpus_scores

ROUNDS, ALONE = 3, 100
SEARCHES = {"beam": SearchConfig(beam_size=5), "greedy": SearchConfig(method="greedy")}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("test", type=Path, help="lines of source, tab, reference, and perhaps tab, another reference")
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--tokenize", default="13a", help="for BLEU; none where the text is tokenized already")
    arguments = parser.parse_args()
    pairs = [line.split("\t") for line in arguments.test.read_text(encoding="utf-8").splitlines()]
    texts, references = [pair[0] for pair in pairs], [pair[1:] for pair in pairs]
    exact: dict[str, list[str]] = {}
    for precision in available():
        translator = Translator.load(arguments.model, precision=precision)
        for name, search in SEARCHES.items():
            translate = partial(translator.translate, target=arguments.target, source=arguments.source, search=search)
            details = {"precision": precision, "search": name}
            taken, found = whole(translate, texts)
            report("test_set.whole_s", taken, "s", sentences=len(texts), engines=an_engine_a_core(), **details)
            report("test_set.single_ms", 1000 * single(translate, texts[:ALONE]), "ms, the median", **details)
            score = corpus_scores(found, references, tokenize=arguments.tokenize, metrics=("bleu",))["bleu"]
            report("test_set.bleu", score.score, "BLEU", signature=score.signature, **details)
            other = sum(one != own for one, own in zip(found, exact.setdefault(name, found), strict=True))
            report("test_set.other_translations", other / len(found), f"of those in {available()[0]}", **details)


def whole(translate: "partial[list[Translation]]", texts: list[str]) -> tuple[float, list[str]]:
    """Seconds for all at once, and the translations."""
    taken, found = [], list[Translation]()
    for _ in range(ROUNDS):
        started = time.perf_counter()
        found = translate(texts, engines=an_engine_a_core())
        taken.append(time.perf_counter() - started)
    return min(taken), [own.text for own in found]


def single(translate: "partial[list[Translation]]", texts: list[str]) -> float:
    """Seconds for one, the median of all."""
    rounds = []
    for _ in range(ROUNDS):
        taken = []
        for text in texts:
            started = time.perf_counter()
            translate([text])
            taken.append(time.perf_counter() - started)
        rounds.append(median(taken))
    return min(rounds)


if __name__ == "__main__":
    main()
