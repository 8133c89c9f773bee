"""A tokenizer and a network that are tiny, learned from made-up sentences, and shared by the tests of the library."""

import random

import pytest

from nmt import Translator
from nmt.config import ModelConfig
from nmt.text.learning import train_tokenizer
from nmt.text.tokenizer import Tokenizer, TokenizerConfig

_SYLLABLES = {
    "en": [
        "ba",
        "ke",
        "lo",
        "th",
        "ing",
        "sho",
        "er",
        "un",
        "ful",
        "ness",
        "mi",
        "ta",
        "cro",
        "we",
        "ly",
        "spi",
        "ron",
        "dea",
        "gu",
        "st",
    ],
    "de": [
        "ba",
        "ke",
        "lö",
        "sch",
        "ung",
        "schä",
        "er",
        "un",
        "voll",
        "heit",
        "mi",
        "tä",
        "kro",
        "wü",
        "lich",
        "spi",
        "ren",
        "dau",
        "ße",
        "st",
    ],
}


def _made_up_lines(language: str) -> list[str]:
    """400 sentences of made-up words, the same ones each time."""
    generator = random.Random(language)
    lexicon = ["".join(generator.choices(_SYLLABLES[language], k=generator.randint(1, 4))) for _ in range(300)]
    lines = [" ".join(generator.choices(lexicon, k=generator.randint(2, 9))) for _ in range(400)]
    return [line.capitalize() + generator.choice(".!?") for line in lines]


@pytest.fixture(scope="session")
def made_up_corpus() -> tuple[list[str], list[str]]:
    """Source and target lines that look like English and German."""
    return _made_up_lines("en"), _made_up_lines("de")


@pytest.fixture(scope="session")
def tiny_tokenizer(made_up_corpus: tuple[list[str], list[str]]) -> Tokenizer:
    """A joint unigram tokenizer of 400 pieces that knows the targets `de` and `en`."""
    return train_tokenizer(*made_up_corpus, ["de", "en"], TokenizerConfig(vocabulary_size=400))


@pytest.fixture(scope="session")
def tiny_config(tiny_tokenizer: Tokenizer) -> ModelConfig:
    """The smallest network of the default kind for `tiny_tokenizer`."""
    return ModelConfig(
        source_vocabulary=tiny_tokenizer.source_vocabulary,
        target_vocabulary=tiny_tokenizer.target_vocabulary,
        embedding_size=6,
        encoder_size=5,
        encoder_layers=1,
        decoder_size=7,
        decoder_layers=1,
        attention_size=3,
    )


@pytest.fixture(scope="session")
def box() -> Translator:
    """The model in the box, which was trained."""
    return Translator.load()
