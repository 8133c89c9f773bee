"""A recipe for those who train."""

import random
from pathlib import Path

import pytest
from commands import nmt


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with its data, to write words in capitals: a hundred updates of a small network."""
    folder, rng = tmp_path_factory.mktemp("training"), random.Random(0)
    words = [f"w{a}{b}" for a in "abcdefgh" for b in "klmnop"]
    lines = [" ".join(rng.choices(words, k=rng.randint(3, 7))) for _ in range(600)]
    (folder / "corpus.tsv").write_text("".join(f"{line}\t{line.upper()}\n" for line in lines), encoding="utf-8")
    (folder / "recipe.toml").write_text(
        f"""
data = "{folder}/data"
updates = 100
warmup_updates = 2
decay_updates = 4
batch_pieces = 400
save_every = 2
[model]
embedding_size = 16
encoder_size = 8
decoder_size = 16
attention_size = 8
[validation]
every = 50
sentences = 4
tokenize = "none"
search = {{ beam_size = 2, max_length = 12 }}
[card]
data = "Made up for a test."
""",
        encoding="utf-8",
    )
    nmt(
        *("prepare", folder / "corpus.tsv", "--source", "xx", "--target", "yy", "--output", folder / "data"),
        *("--vocabulary-size", 360, "--dev-size", 20, "--test-size", 20),
    )
    return folder / "recipe.toml"
