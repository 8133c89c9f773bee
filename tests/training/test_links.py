"""Links between words: made by an aligner, read, carried over to pieces and batches, and what they do to attention."""

import random
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import training.aligner
from nmt.config import ModelConfig
from nmt.errors import ConfigError, DataError, SaveError
from nmt.model.seq2seq import Seq2Seq
from nmt.text.tokenizer import END, Pieces, Tokenizer
from training.aligner import grow_diagonally, links
from training.batches import Batch, Batches
from training.config import TrainingConfig
from training.corpus.config import PrepareConfig
from training.corpus.prepared import PreparedCorpus, TrainingSet
from training.links import linked_rows, piece_links
from training.loss import guided_alignment
from training.objective import Objective
from training.piece_table import PieceTable
from training.prepare import prepare_corpus
from training.run_data import training_batches

INSTALLED = shutil.which("eflomal-align", path=Path(sys.executable).parent) or shutil.which("eflomal-align")
WORDS = ["house", "dog", "tree", "river", "seven", "blue", "runs", "sings", "under", "old"]


def upside_down(line: str) -> str:
    """The words in the opposite order, each in capitals and with another ending."""
    return " ".join(word.upper() + "O" for word in reversed(line.split()))


@pytest.fixture
def corpus(tmp_path: Path) -> PreparedCorpus:
    """Pairs whose links are known: the first word with the last, and so on; both directions."""
    rng = random.Random(0)
    lines = [" ".join(rng.sample(WORDS, rng.randint(3, 6))) for _ in range(300)]
    rows = "".join(f"{line}\t{upside_down(line)}\n" for line in dict.fromkeys(lines))
    (tmp_path / "c.tsv").write_text(rows, encoding="utf-8")
    own = {"files": [str(tmp_path / "c.tsv")], "source": "xx", "target": "yy", "dev_size": 5, "test_size": 0}
    tokenizer = {"algorithm": "char", "vocabulary_size": 400}
    config = PrepareConfig.read({"corpora": [own], "tokenizer": tokenizer}, where="test")
    return prepare_corpus(config, tmp_path / "data")


def write_links(part: TrainingSet) -> None:
    """The right ones."""
    sizes = [len(line.split("\t")[0].split()) for line in part.path.read_text().splitlines()]
    part.links.write_text("".join(" ".join(f"{i}-{n - 1 - i}" for i in range(n)) + "\n" for n in sizes))


def test_a_full_disk(corpus: PreparedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to do, and the way is free again."""
    path = corpus.training_sets[0].links
    path.with_name(f".{path.name}.partial").symlink_to("/dev/full")
    monkeypatch.setattr(training.aligner, "align_words", lambda part: [{(0, 0)}] * part.size)

    with pytest.raises(SaveError, match=r"No space left on device; free some space, then give the same command again$"):
        links(corpus.folder)
    links(corpus.folder)
    assert path.read_text() == "0-0\n" * corpus.training_sets[0].size


def test_links_of_words_become_links_of_all_their_pieces() -> None:
    """Signs are words of their own; tag and end of sentence have no links; target piece first."""
    source = Pieces("ab, c", [9, 4, 5, 6, 7, END], [""] * 6, [(0, 0), (0, 1), (1, 2), (2, 3), (4, 5), (5, 5)])
    target = Pieces("x yz", [8, 4, 5, END], [""] * 4, [(0, 1), (2, 3), (3, 4), (4, 4)])
    flat = piece_links(source, target, [(0, 1), (2, 0)])

    assert sorted(zip(flat[::2], flat[1::2], strict=True)) == [(0, 4), (1, 1), (1, 2), (2, 1), (2, 2)]
    assert piece_links(source, target, []) == []


def test_a_training_set_with_its_links_in_both_directions(corpus: PreparedCorpus) -> None:
    """Each piece of a word is linked with each piece of its translation; the other direction turns the links."""
    forward, backward = corpus.training_sets
    tokenizer = Tokenizer.load(corpus.tokenizer_folder)
    write_links(forward)
    there, back = (list(linked_rows(part, tokenizer, seed=1)) for part in (forward, backward))

    assert len(there) == forward.size
    for (sources, targets, flat), (_, _, turned) in zip(there, back, strict=True):
        text, other = tokenizer.decode(sources).text, tokenizer.decode(targets).text
        assert other == upside_down(text)
        assert len(flat) == 2 * sum(len(word) * (len(word) + 1) for word in text.split())
        ends = {(flat[0], flat[1]), (flat[-2], flat[-1])}
        assert all(0 < s < len(sources) - 1 and t < len(targets) - 1 for t, s in ends), "neither tag nor end is linked"
        assert len(turned) == len(flat)


def test_batches_bring_the_links_as_shares(corpus: PreparedCorpus, tmp_path: Path) -> None:
    """Rows of linked pieces sum to 1, others to 0; without guided_alignment there are none."""
    write_links(corpus.training_sets[0])
    tokenizer = Tokenizer.load(corpus.tokenizer_folder)
    guided = {"data": corpus.folder, "guided_alignment": 0.1}
    batches = training_batches(corpus, tokenizer, TrainingConfig.read(guided, where="test"), tmp_path)
    batch = batches.batch(np.arange(7))
    assert batch.links is not None
    sums = batch.links.sum(dim=-1)

    assert batch.links.shape == (*batch.target_out.shape, batch.source.size(1))
    assert torch.allclose(sums, sums.round())
    assert sums[batch.target_out <= END].sum() == 0
    assert sums[batch.target_out > END].mean() > 0.7, "all letters; spaces are linked to nothing"
    plain = training_batches(corpus, tokenizer, TrainingConfig.read({"data": corpus.folder}, where="test"), tmp_path)
    assert plain.batch(np.arange(7)).links is None
    corpus.training_sets[0].links.unlink()
    with pytest.raises(DataError, match="which is not there; make it: nmt links"):
        training_batches(corpus, tokenizer, TrainingConfig.read(guided, where="test"), tmp_path)


def test_a_piece_shares_itself_out_among_its_links() -> None:
    """As many links as there are, also none in a whole batch."""
    pieces, flat = [[5, 6, 7, 3]] * 2, [[0, 1, 0, 2, 2, 0], []]
    batches = Batches(pieces, pieces, 100, 100, PieceTable.of(flat))
    both, empty = batches.batch(np.array([0, 1])), batches.batch(np.array([1]))
    assert both.links is not None
    assert empty.links is not None

    assert both.links[0].tolist() == [[0, 0.5, 0.5, 0], [0] * 4, [1, 0, 0, 0], [0] * 4]
    assert both.links[1].sum() == empty.links.sum() == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0-0\n0-x\n", "line 2 is '0-x'; wanted source-target pairs, such as 0-0 1-2"),
        ("0-0 é\n", "links.xx-yy.txt is not UTF-8: .* make it again: nmt links"),
        ("0-0\n0-99\n", "line 2 links words that are not there: [3-6] to [3-6] words of"),
        ("0-0\n", r"has fewer lines than the \d+ pairs of .*train.xx-yy.tsv; make it again: nmt links"),
        ("0-0\n" * 999, r"has more lines than the \d+ pairs of"),
        (None, "guided_alignment wants .*links.xx-yy.txt, which is not there; make it: nmt links"),
    ],
)
def test_links_that_do_not_fit_are_refused(corpus: PreparedCorpus, content: str | None, message: str) -> None:
    """With the line and what is wanted."""
    part, tokenizer = corpus.training_sets[0], Tokenizer.load(corpus.tokenizer_folder)
    if content is not None:
        part.links.write_text(content, encoding="latin-1")

    with pytest.raises(DataError, match=message):
        list(linked_rows(part, tokenizer, seed=1))


def test_links_of_both_ways_are_joined() -> None:
    """What both say stays; what one says is taken beside a link, as long as a word of it has none yet."""
    forward, backward = {(0, 0), (1, 1), (4, 0), (2, 1)}, {(0, 0), (1, 1), (2, 2), (0, 1)}

    assert grow_diagonally(forward, backward) == {(0, 0), (1, 1), (2, 1), (2, 2)}
    assert grow_diagonally({(0, 0)}, {(1, 1)}) == set()


@pytest.mark.skipif(not INSTALLED, reason="eflomal is not installed")
def test_the_aligner_finds_the_links(corpus: PreparedCorpus) -> None:
    """Nearly all of them, in the order of the file's columns."""
    part = corpus.training_sets[0]
    write_links(part)
    expected = [set(line.split()) for line in part.links.read_text().splitlines()]
    links(corpus.folder)
    found = [set(line.split()) for line in part.links.read_text().splitlines()]
    right = sum(len(one & other) for one, other in zip(expected, found, strict=True))

    assert right > 0.9 * sum(map(len, expected))
    assert right > 0.9 * sum(map(len, found))


def test_an_aligner_that_is_not_there_is_explained(corpus: PreparedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    with pytest.raises(DataError, match=r"eflomal-align is not installed.*install it with `pip install eflomal`"):
        links(corpus.folder)


def test_an_aligner_that_fails_is_explained(corpus: PreparedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it said; links from before stay."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/bin/false")
    write_links(corpus.training_sets[0])

    with pytest.raises(DataError, match="eflomal-align ended with status 1"):
        links(corpus.folder)
    assert corpus.training_sets[0].links.read_text()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("true", r"ended well, but wrote 0 lines of forward links for \d+ pairs; install it anew, or write the files"),
        ('wc -l < "$2" | xargs seq > "$6"; cp "$6" "$8"', "a line of eflomal-align is '1'; wanted source-target pairs"),
    ],
)
def test_an_aligner_that_writes_no_links_is_explained(
    corpus: PreparedCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    """Though it says that all went well."""
    program = tmp_path / "eflomal-align"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: str(program))

    with pytest.raises(DataError, match=message):
        links(corpus.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subword_sampling": 0.1}, "guided_alignment and subword_sampling do not go together"),
        ({"model": {"attention": "none"}}, "guided_alignment has no attention to guide"),
    ],
)
def test_what_cannot_be_guided_is_refused(change: dict[str, object], message: str) -> None:
    """When the recipe is read."""
    with pytest.raises(ConfigError, match=message):
        TrainingConfig.read({"data": "x", "guided_alignment": 0.1, **change}, where="test")


def linked_batch() -> Batch:
    """Three pairs, linked upside down; the last target piece, the end, has no link."""
    rows = [[5, 6, 7, 8, 3], [9, 5, 10, 3], [6, 6, 11, 12, 13, 3]]
    flat = [[n for i in range(len(row) - 1) for n in (i, len(row) - 1 - i)] for row in rows]
    return Batches(rows, rows, 1000, 100, PieceTable.of(flat)).batch(np.arange(3))


def model() -> Seq2Seq:
    """Small, without dropout."""
    torch.manual_seed(0)
    sizes = {"embedding_size": 16, "encoder_size": 16, "decoder_size": 32, "attention_size": 16}
    nothing = {"embedding_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0}
    return Seq2Seq(ModelConfig(source_vocabulary=23, target_vocabulary=23, **sizes, **nothing))


def objective(**settings: object) -> Objective:
    """A recipe's."""
    return Objective(TrainingConfig.model_validate({"data": Path(), **settings}))


def test_the_guide_is_the_cross_entropy_of_the_attention() -> None:
    """Against the library's, on the rows that have links."""
    weights = torch.rand(2, 3, 5, dtype=torch.float64).softmax(dim=-1)
    wanted = torch.rand(2, 3, 5, dtype=torch.float64).softmax(dim=-1)
    wanted[1, 2] = 0
    rows = wanted.sum(dim=-1) > 0
    expected = torch.nn.functional.cross_entropy(weights[rows].log(), wanted[rows], reduction="sum")

    assert guided_alignment(weights, wanted).item() == pytest.approx(expected.item())


def on_links(network: Seq2Seq, batch: Batch) -> Tensor:
    """The attention that lies on the links, on average over the linked pieces."""
    assert batch.links is not None
    _, weights = network(batch.source, batch.lengths, batch.target_in)
    return (weights * (batch.links > 0)).sum() / (batch.links.sum(dim=-1) > 0).sum()


@pytest.mark.parametrize(("weight", "low", "high"), [(0.0, 0.0, 0.6), (1.0, 0.9, 1.0)])
def test_attention_moves_to_the_links(weight: float, low: float, high: float) -> None:
    """Where they pull; without, a network that learns to copy does not look upside down."""
    network, batch, own = model(), linked_batch(), objective(guided_alignment=weight)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        loss, _ = own.loss(network, batch)
        torch.autograd.backward(loss)
        optimizer.step()

    assert low <= on_links(network, batch).item() <= high


def test_the_guide_reaches_the_network_through_attention_alone() -> None:
    """The layers behind it, from the context to the output, get no gradient of it."""
    network, batch = model(), linked_batch()
    assert batch.links is not None
    _, weights = network(batch.source, batch.lengths, batch.target_in)
    torch.autograd.backward(guided_alignment(weights, batch.links))
    reached = {name for name, own in network.named_parameters() if own.grad is not None and own.grad.abs().sum() > 0}

    assert {"decoder.attention.energy", "decoder.attention.query.weight", "source_embedding.weight"} <= reached
    assert not {name for name in reached if name.startswith(("decoder.layers.1", "decoder.readout", "output"))}


@pytest.mark.parametrize("settings", [{}, {"consistency": 1.0}, {"scheduled_sampling": 0.5}])
def test_a_weight_of_zero_changes_no_number(settings: dict[str, float]) -> None:
    """And a weight adds its multiple of the guide, whatever else the recipe asks for."""
    batch = linked_batch()
    assert batch.links is not None
    bare = Batch(batch.source, batch.lengths, batch.target_in, batch.target_out)
    losses = []
    for own, given in ((0.0, bare), (0.0, batch), (1.0, batch), (3.0, batch)):
        torch.manual_seed(0)
        losses.append(objective(guided_alignment=own, **settings).loss(model(), given)[0].item())

    assert losses[0] == losses[1]
    assert losses[3] - losses[0] == pytest.approx(3 * (losses[2] - losses[0]), rel=1e-4)
    assert losses[2] > losses[0]
