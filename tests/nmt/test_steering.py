"""Attention that is steered from outside, from the settings of a search to the weights of a hypothesis."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phrases import SEARCHES
from table import TableStepper

from nmt import SearchConfig, Translator
from nmt.arrays import Floats
from nmt.config import LONGEST
from nmt.errors import InputError
from nmt.search.control import Control
from nmt.search.engine import Engine, search_all
from nmt.search.guides import Guide
from nmt.text.tokenizer import END

TEXT = "Der Hund weiß nicht. Tom schläft im Haus, weiß der Hund."
STEPPER = TableStepper()


@pytest.fixture(scope="module")
def translator(tiny_folder: Path) -> Translator:
    return Translator.load(tiny_folder)


def _logarithms(factors: list[float]) -> Floats:
    with np.errstate(divide="ignore"):
        return np.log(np.array(factors, np.float32))


controls = st.builds(
    lambda factors, first, size: Control(_logarithms(factors), first, first + size),
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 7.0]), min_size=3, max_size=3).map(lambda own: [*own, 1.0]),
    st.integers(0, 4),
    st.integers(1, 4),
)


@given(steering=st.lists(controls, max_size=3), options=st.sampled_from(SEARCHES))
def test_weights_are_steered_in_the_steps_that_were_asked_for(
    steering: list[Control], options: dict[str, object]
) -> None:
    """And nobody's who is decoded beside: each has what its own controls make of it."""
    source, other = [4, 5, 6, END], [6, 5, 4, 4, 5, END]
    config, guide = SearchConfig.model_validate({"max_length": 6, **options}), Guide.anywhere()
    engine = Engine(STEPPER)
    engine.submit(other, config)
    engine.step()
    own = engine.submit(source, config, guide=Guide(guide.automata, guide.anchors, tuple(steering)))
    found = {finished.ticket == own: finished.hypotheses[0] for finished in engine.run()}

    for steered, (ids, controls) in {True: (source, steering), False: (other, [])}.items():
        pieces = found[steered].pieces
        for step, weights in enumerate(found[steered].weights):
            wanted = STEPPER.weights(ids, pieces[:step])
            for control in controls:
                wanted = wanted * (np.exp(control.bias) if control.first <= step < control.last else 1)
            assert weights == pytest.approx(wanted / wanted.sum(), abs=1e-5)


@pytest.mark.parametrize("options", SEARCHES)
def test_masked_words_get_no_attention(translator: Translator, options: dict[str, object]) -> None:
    """Wherever they stand, in those steps; all others still get some."""
    control = {"words": "weiß", "weight": 0, "steps": [1, 3]}
    config = SearchConfig.model_validate({"max_length": 9, "min_length": 5, "attention": [control], **options})

    for hypothesis in translator.translate([TEXT], "en", "de", config)[0].hypotheses:
        for part in hypothesis.parts:
            masked = ["weiß" in part.source.text[start:end] for start, end in part.source.spans]
            assert any(masked)
            assert np.all(part.hypothesis.weights[1:3, masked] == 0)
            assert np.all(part.hypothesis.weights[[0, 3]] > 0)


def test_all_steps_are_steered_if_nothing_is_said(translator: Translator) -> None:
    """Of the longest translation that there can be, that of its end as well."""
    control = {"words": "Hund", "weight": 0}
    values = {"method": "greedy", "max_length": LONGEST, "min_length": LONGEST, "attention": [control]}
    found = translator.translate(["Der Hund schläft."], "en", "de", SearchConfig.model_validate(values))[0]
    (part,) = found.hypotheses[0].parts
    masked = ["Hund" in part.source.text[start:end] for start, end in part.source.spans]

    assert len(part.hypothesis.pieces) == LONGEST + 1
    assert np.all(part.hypothesis.weights[:, masked] == 0)


def test_alternatives_see_what_the_search_saw(translator: Translator) -> None:
    """With the same steering, what was written has the probability among them that it had for the search."""
    config = SearchConfig.model_validate(
        {"method": "greedy", "max_length": 6, "attention": [{"start": 0, "end": 8, "weight": 0, "steps": [1, 4]}]}
    )
    hypothesis = translator.translate([TEXT], "en", "de", config)[0].hypotheses[0]
    every = translator.alternatives(hypothesis, translator.tokenizer.target_vocabulary)
    found = [dict(top)[token.piece] for top, token in zip(every, hypothesis.tokens, strict=True)]
    plain = translator.score([(part.source.text, part.target.text) for part in hypothesis.parts], "en", "de")

    assert found == pytest.approx([token.log_prob for token in hypothesis.tokens], abs=1e-4)
    assert sum(own.log_prob for own in plain) != pytest.approx(hypothesis.log_prob, abs=1e-3)


def test_a_span_is_that_of_the_text(translator: Translator) -> None:
    """It may lie in any of its sentences, or in several."""
    config = SearchConfig.model_validate({"attention": [{"start": 14, "end": 24, "weight": 0.25}]})
    job = translator.plan(TEXT, "de", "en", config)
    steered = []
    for source, guide in zip(job.sources, job.guides, strict=True):
        bias = guide.controls[0].bias.tolist()
        steered.append("".join(source.text[slice(*span)] for span, own in zip(source.spans, bias, strict=True) if own))
        assert all(own in (0, pytest.approx(math.log(0.25))) for own in bias)

    assert steered == ["nicht.", "Tom"]


@pytest.mark.parametrize("text", ["Der Bär.", "Der Ba\u0308r.", "Der B\u00adär."])
def test_words_are_found_in_whatever_form(translator: Translator, text: str) -> None:
    """Composed or not, with or without what cannot be seen: as terms of a glossary are."""
    config = SearchConfig.model_validate({"attention": [{"words": "Bär", "weight": 0}]})

    assert translator.plan(text, "de", "en", config).guides[0].controls


def test_words_that_a_text_does_not_have_change_nothing(translator: Translator) -> None:
    """So that the same settings do for many lines."""
    config = SearchConfig.model_validate({"attention": [{"words": "Katze", "weight": 0}]})

    assert translator.plan(TEXT, "de", "en", config).guides[0].controls == ()


@pytest.mark.parametrize(
    ("attention", "message"),
    [
        ([{"words": "\u00ad ", "weight": 0}], "attention has an empty phrase; send words"),
        ([{"start": 20, "end": 21, "weight": 2}], "attention 0 is for the characters 20 to 21, where the text has no"),
        (
            [
                {"start": 0, "end": 12, "weight": 0, "steps": [2, 9]},
                {"start": 9, "end": 20, "weight": 0, "steps": [4, 6]},
            ],
            "attention masks all of 'Der Hund weiß nicht.' in step 4; leave a word to look at",
        ),
    ],
)
def test_what_leaves_nothing_to_see_is_refused(
    translator: Translator, attention: list[dict[str, object]], message: str
) -> None:
    """Before anything is searched."""
    with pytest.raises(InputError, match=message) as raised:
        translator.translate([TEXT], "en", "de", SearchConfig.model_validate({"attention": attention}))

    assert raised.value.field == "search.attention"


def test_a_search_that_is_not_steered_is_the_same_as_ever() -> None:
    """A factor of 1 changes nothing."""
    guide, source, config = Guide.anywhere(), [4, 5, END], SearchConfig(max_length=5)
    neutral = Guide(guide.automata, guide.anchors, (Control(np.zeros(3, np.float32), 0, 9),))
    free, steered = (search_all(STEPPER, [source], config, guides=[own])[0][0] for own in (guide, neutral))

    assert free.pieces == steered.pieces
    assert np.allclose(free.weights, steered.weights, atol=1e-6)
