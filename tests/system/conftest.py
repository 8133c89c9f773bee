"""A recipe for those who train."""

from pathlib import Path

import pytest
from commands import nmt, write_capitals


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with its data, to write words in capitals: a hundred updates of a small network."""
    folder = tmp_path_factory.mktemp("training")
    write_capitals(folder / "corpus.tsv", 600, 7)
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
version = "2026-11"
data = "Made up for a test."
""",
        encoding="utf-8",
    )
    nmt(
        *("prepare", folder / "corpus.tsv", "--source", "xx", "--target", "yy", "--output", folder / "data"),
        *("--vocabulary-size", 360, "--dev-size", 20, "--test-size", 20),
    )
    return folder / "recipe.toml"
