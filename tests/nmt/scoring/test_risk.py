"""The choice by expected utility, against a direct sum over all pairs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from nmt import SearchConfig, Translator
from nmt.scoring.risk import Utility, by_expected_utility
from nmt.search.hypothesis import Hypothesis

ORACLES: dict[Utility, Callable[[str, str], float]] = {
    "chrf": lambda candidate, other: sacrebleu.sentence_chrf(candidate, [other]).score,
    "bleu": lambda candidate, other: sacrebleu.sentence_bleu(candidate, [other], use_effective_order=True).score,
}
WORDS = st.lists(st.sampled_from("the a dog cat sleeps runs now".split()), min_size=1, max_size=5).map(" ".join)


@given(st.lists(st.tuples(WORDS, st.floats(0.01, 1)), min_size=1, max_size=6), st.sampled_from(["chrf", "bleu"]))
def test_candidates_are_ordered_by_their_expected_utility(candidates: list[tuple[str, float]], name: Utility) -> None:
    """Σ over all candidates of their share times the utility, each pair computed on its own."""
    texts, weights = zip(*candidates, strict=True)
    expected = [sum(w * ORACLES[name](own, other) for other, w in candidates) / sum(weights) for own in texts]
    order = by_expected_utility(texts, weights, name)

    assert sorted(order) == list(range(len(texts)))
    assert np.all(np.diff([expected[i] for i in order]) <= 1e-6)


def test_what_most_agree_on_wins_over_what_stands_first() -> None:
    """Even if no other says exactly the same."""
    texts = ["a cat ran", "the old dog sleeps now", "the old dog sleeps", "an old dog sleeps now"]

    assert texts[by_expected_utility(texts, [1, 1, 1, 1], "chrf")[0]] == "the old dog sleeps now"


@pytest.mark.parametrize("method", ["beam", "sample"])
def test_a_translation_is_chosen_from_all_that_the_search_keeps(tiny_folder: Path, method: str) -> None:
    """Samples weigh the same, hypotheses of a beam what their probability says; one is returned of a beam of 6."""
    translator = Translator.load(tiny_folder)
    size = {"beam_size": 6} if method == "beam" else {"n_best": 6, "seed": 1, "temperature": 2}
    plain = SearchConfig.model_validate({"method": method, "max_length": 8, "n_best": 6, **size})
    found = translator._search([translator.plan("Der Hund schläft.", "de", "en", plain)], plain, 1)[0][0]
    texts = [translator.tokenizer.decode(own.pieces).text for own in found]
    weights = [1.0 if method == "sample" else float(np.exp(own.log_prob)) for own in found]
    best = by_expected_utility(texts, weights, "chrf")[0]
    n_best = 6 if method == "sample" else 1
    chosen = translator.translate(
        ["Der Hund schläft."], "en", "de", plain.model_copy(update={"mbr": "chrf", "n_best": n_best})
    )[0]

    assert len(chosen.hypotheses) == n_best
    assert chosen.text == texts[best]
    assert chosen.score == pytest.approx(found[best].score, abs=1e-4)


@pytest.mark.parametrize(("method", "best"), [("beam", "Tom knows"), ("sample", "the dog sleeps")])
def test_hypotheses_weigh_what_the_model_gives_them_and_samples_the_same(
    tiny_folder: Path, method: str, best: str
) -> None:
    """Of one with the probability 0.8 and two with 0.1 that say the same, a beam chooses the one, sampling the two."""
    translator = Translator.load(tiny_folder)
    search = SearchConfig.model_validate({"method": method, "mbr": "chrf"})
    job = translator.plan("Der Hund.", "en", "de", search)

    def hypothesis(text: str, prob: float) -> Hypothesis:
        pieces = translator.tokenizer.encode_target(text).ids
        weights = np.full((len(pieces), len(job.sources[0])), 1 / len(job.sources[0]), np.float32)
        log_probs = np.full(len(pieces), np.log(prob) / len(pieces), np.float32)
        return Hypothesis(pieces, log_probs, weights, float(np.log(prob)))

    kept = [hypothesis("Tom knows", 0.8), hypothesis("the dog sleeps", 0.1), hypothesis("the dog sleeps", 0.1)]

    assert translator.assemble(job, [kept], search).text == best
