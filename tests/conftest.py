"""What tests of several packages share: a small model folder, and a running service."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from serving import Service, serving

from nmt.config import ModelConfig
from nmt.model.seq2seq import Seq2Seq
from nmt.package import Description, save_model_folder
from nmt.text.learning import train_tokenizer
from nmt.text.tokenizer import TokenizerConfig

# How long an example takes is for the benchmarks: another process may have the core.
settings.register_profile("untimed", deadline=None)
settings.register_profile("repeatable", deadline=None, derandomize=True)

# The numbers of one precision are compared with those of another only where a test says so.
os.environ["NMT_PRECISION"] = "fp32"


def pytest_configure(config: pytest.Config) -> None:
    """`make test`, which CI runs, draws the same examples each time: it fails for the change that broke something, not
    for the next one. Other runs draw new ones."""
    settings.load_profile("repeatable" if "not slow" in config.option.markexpr else "untimed")


WORDS = [
    "the",
    "dog",
    "sleeps",
    "in",
    "a",
    "house",
    "and",
    "Tom",
    "does",
    "not",
    "know",
    "why",
    "der",
    "Hund",
    "schläft",
    "im",
    "Haus",
    "und",
    "weiß",
    "nicht",
    "warum",
]


def made_up_lines(count: int, seed: int) -> list[str]:
    """Sentences of random words: enough for a tokenizer, and no data of anybody's."""
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(2, 9))) + "." for _ in range(count)]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model folder, English and German, whose weights are random: what it says is nonsense, but repeatable."""
    lines = made_up_lines(400, seed=0)
    tokenizer = train_tokenizer(lines, lines, ["en", "de"], TokenizerConfig(vocabulary_size=300))
    torch.manual_seed(0)
    config = ModelConfig(
        source_vocabulary=tokenizer.source_vocabulary,
        target_vocabulary=tokenizer.target_vocabulary,
        embedding_size=16,
        encoder_size=12,
        decoder_size=20,
        attention_size=8,
    )
    model = Seq2Seq(config)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    description = Description(name="tiny", directions=[("en", "de"), ("de", "en")], model=config)
    save_model_folder(folder, description, tokenizer, model.arrays(), "# A model for tests\n")
    return folder


@pytest.fixture(scope="session")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `nmt serve` with the model in the box."""
    with serving(tmp_path_factory.mktemp("service") / "log.txt") as service:
        yield service.url


@pytest.fixture
def own_service(tmp_path: Path, tiny_folder: Path) -> Iterator[Service]:
    """`nmt serve` with the small model, for one test alone."""
    with serving(tmp_path / "log.txt", "--model", str(tiny_folder)) as service:
        yield service
