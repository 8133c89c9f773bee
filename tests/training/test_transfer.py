"""Weights for other pieces, against what the known pieces have."""

import pytest
import torch

from nmt.config import ModelConfig
from nmt.model.seq2seq import Seq2Seq
from nmt.text.learning import train_tokenizer
from nmt.text.tokenizer import Tokenizer, TokenizerConfig
from training.transfer import transferred

KNOWN = ["the dog sleeps in the house", "der Hund schläft in dem Haus"] * 30
WANTED = ["the dog sleeps", "le chien dort dans la maison ça ira"] * 30


@pytest.fixture(scope="module")
def known() -> Tokenizer:
    """Pieces of English and German."""
    return train_tokenizer(KNOWN, KNOWN, ["en", "de"], TokenizerConfig(vocabulary_size=284))


@pytest.fixture(scope="module")
def wanted() -> Tokenizer:
    """Pieces of English and French."""
    return train_tokenizer(WANTED, WANTED, ["en", "fr"], TokenizerConfig(vocabulary_size=284))


@pytest.fixture(scope="module")
def network(known: Tokenizer) -> Seq2Seq:
    """A network of the known pieces."""
    torch.manual_seed(1)
    size = known.source_vocabulary
    shape = {"embedding_size": 5, "encoder_size": 3, "decoder_size": 7, "attention_size": 2}
    return Seq2Seq(ModelConfig(source_vocabulary=size, target_vocabulary=size, **shape))


def test_the_same_pieces_change_nothing(known: Tokenizer, network: Seq2Seq) -> None:
    """Each piece is known."""
    weights = transferred(network.weights(), known, known)

    assert weights.keys() == network.weights().keys()
    assert all(torch.equal(weights[name], own) for name, own in network.weights().items())


def test_a_known_piece_keeps_its_row(known: Tokenizer, wanted: Tokenizer, network: Seq2Seq) -> None:
    """Wherever it stands in the other vocabulary."""
    weights = transferred(network.weights(), known, wanted)
    both = known.ids("source").keys() & wanted.ids("source").keys()

    assert both >= {"<2en>", "<0x41>", "▁", "e"}
    for name in ("source_embedding.weight", "output.bias"):
        own = network.weights()[name]
        assert all(torch.equal(weights[name][wanted.ids("source")[p]], own[known.ids("source")[p]]) for p in both)


def test_an_unknown_piece_is_the_mean_of_what_spells_it(known: Tokenizer, wanted: Tokenizer, network: Seq2Seq) -> None:
    """The longest known pieces, and bytes where a character is none."""
    ids, before = known.ids("source"), network.weights()["source_embedding.weight"]
    after = transferred(network.weights(), known, wanted)["source_embedding.weight"]
    unknown = {
        piece: at for piece, at in wanted.ids("source").items() if piece not in ids and not piece.startswith("<")
    }

    assert unknown.keys() >= {"ç"}
    spelled = before[[ids["<0xC3>"], ids["<0xA7>"]]].mean(dim=0)
    assert torch.allclose(after[unknown["ç"]], spelled)
    for at in unknown.values():
        assert torch.isfinite(after[at]).all()


def test_a_new_language_begins_with_the_mean_of_all(known: Tokenizer, wanted: Tokenizer, network: Seq2Seq) -> None:
    """Of their tags; the tag of a known language stays."""
    before = network.weights()["source_embedding.weight"]
    after = transferred(network.weights(), known, wanted)["source_embedding.weight"]

    assert torch.allclose(after[wanted.tag("fr")], before[[known.tag("en"), known.tag("de")]].mean(dim=0))
    assert torch.equal(after[wanted.tag("en")], before[known.tag("en")])
