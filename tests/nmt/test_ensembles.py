"""Ensembles of model folders: what fits together, and that all doors agree."""

import dataclasses
from pathlib import Path
from typing import get_args

import pytest
import torch

from nmt import SearchConfig, Translator
from nmt.config import AttentionControl
from nmt.errors import ModelFolderError
from nmt.model.seq2seq import Seq2Seq
from nmt.package import ModelFolder, save_model_folder
from nmt.runtime.ensemble import Mixing
from nmt.text.learning import train_tokenizer
from nmt.text.tokenizer import TokenizerConfig

TEXTS = ["Der Hund schläft. Und Tom?", "Tom weiß nicht."]
SEARCH = SearchConfig(max_length=10, n_best=3)


@pytest.fixture(scope="module")
def folder(tiny_folder: Path) -> ModelFolder:
    """A model with random weights."""
    return ModelFolder.load(tiny_folder)


@pytest.fixture(scope="module")
def other_folder(folder: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tokenizer, a network of another size, one direction."""
    torch.manual_seed(1)
    config = folder.description.model.model_copy(update={"encoder_size": 10, "decoder_size": 18})
    description = folder.description.model_copy(update={"name": "other", "model": config, "directions": [("de", "en")]})
    path = tmp_path_factory.mktemp("models") / "other"
    save_model_folder(path, description, folder.tokenizer, Seq2Seq(config).arrays(), "# Another\n")
    return path


@pytest.mark.parametrize("mixing", get_args(Mixing))
def test_a_model_with_itself_translates_as_alone(tiny_folder: Path, mixing: Mixing) -> None:
    """Texts, scores and links, also where attention is steered."""
    alone, twice = Translator.load(tiny_folder), Translator.load(tiny_folder, tiny_folder, mixing=mixing)
    search = SEARCH.model_copy(update={"attention": (AttentionControl(words="Tom", weight=3.0),)})

    for one, two in zip(*(t.translate(TEXTS, "en", "de", search) for t in (alone, twice)), strict=True):
        assert [h.text for h in one.hypotheses] == [h.text for h in two.hypotheses]
        assert [h.score for h in one.hypotheses] == pytest.approx([h.score for h in two.hypotheses], abs=1e-4)
        assert one.hypotheses[0].alignment().pharaoh == two.hypotheses[0].alignment().pharaoh


@pytest.mark.parametrize("mixing", get_args(Mixing))
def test_forced_scores_are_those_of_the_search(tiny_folder: Path, other_folder: Path, mixing: Mixing) -> None:
    """The likeliest pieces at each place have the probabilities with which the ensemble searched."""
    both = Translator.load(tiny_folder, other_folder, mixing=mixing)
    (found,) = both.translate(TEXTS[1:], "en", "de", SearchConfig(method="greedy", max_length=10))
    hypothesis = found.hypotheses[0]

    for token, place in zip(hypothesis.tokens[:-1], both.alternatives(hypothesis, 1), strict=False):
        assert place[0] == (token.piece, pytest.approx(token.log_prob, abs=1e-4))


def test_an_ensemble_is_neither_of_its_models(tiny_folder: Path, other_folder: Path) -> None:
    """It gives a translation another probability than each alone; both orders give the same."""
    pairs = [("Tom weiß nicht.", "the dog")]
    first, second, both, turned = (
        Translator.load(*paths).score(pairs, "en", "de")[0].log_prob
        for paths in ((tiny_folder,), (other_folder,), (tiny_folder, other_folder), (other_folder, tiny_folder))
    )

    assert len({round(value, 3) for value in (first, second, both)}) == 3
    assert both == pytest.approx(turned, abs=1e-4)


def test_an_ensemble_has_the_directions_that_all_have(tiny_folder: Path, other_folder: Path) -> None:
    """In the order of the first."""
    assert Translator.load(tiny_folder, other_folder).directions == [("de", "en")]


def test_models_without_a_common_direction_are_refused(folder: ModelFolder, other_folder: Path) -> None:
    """The message lists what each has."""
    reverse = dataclasses.replace(
        folder, description=folder.description.model_copy(update={"directions": [("en", "de")]})
    )

    with pytest.raises(ModelFolderError, match=r"no direction in common \(.*tiny: en-de; .*other: de-en\)"):
        Translator.from_folders([reverse, ModelFolder.load(other_folder)])


def test_models_that_cut_text_differently_are_refused(folder: ModelFolder) -> None:
    """Their numbers would mean different pieces."""
    lines = [f"der hund {word} im haus" for word in ("eins", "zwei", "drei", "vier")] * 30
    tokenizer = train_tokenizer(lines, lines, ["en", "de"], TokenizerConfig(vocabulary_size=280))
    stranger = dataclasses.replace(folder, tokenizer=tokenizer)

    with pytest.raises(ModelFolderError, match="cut text into different pieces; an ensemble wants models that were"):
        Translator.from_folders([folder, stranger])
