"""Text to pieces and back: nothing is lost, every piece knows its characters, and no text can pass for a tag."""

import json
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError, ModelFolderError, UnknownLanguage
from nmt.text.learning import train_tokenizer
from nmt.text.tokenizer import BEGIN, END, PAD, UNKNOWN, Tokenizer, TokenizerConfig

Corpus = tuple[list[str], list[str]]

KINDS = {
    "unigram-joint": TokenizerConfig(algorithm="unigram", vocabulary_size=400),
    "unigram-separate": TokenizerConfig(algorithm="unigram", vocabulary_size=350, joint=False),
    "bpe-joint": TokenizerConfig(algorithm="bpe", vocabulary_size=400),
    "bpe-separate": TokenizerConfig(algorithm="bpe", vocabulary_size=350, joint=False),
    "char-joint": TokenizerConfig(algorithm="char", vocabulary_size=400),
    "char-separate": TokenizerConfig(algorithm="char", vocabulary_size=400, joint=False),
    "unigram-nfkc": TokenizerConfig(algorithm="unigram", vocabulary_size=400, normalization="nfkc"),
}
SPECIAL = [
    "<2de>",
    "<2en>",
    "<0x41>",
    "<0x0A>",
    "</s>",
    "<s>",
    "<unk>",
    "<pad>",
    "\u2581",
    "\u2581<2de>",
    "⁇",
    "\ufffd",
]
FAMILIAR = [" ", "  ", "\n", "Baken", "lösch", "schäung", "ß", ".", "unfully"]
UNFAMILIAR = [
    "😀",
    "👩‍👩‍👧",
    "🇩🇪",
    "日本",
    "한",
    "e\u0301",
    "\u1112\u1161",
    "ｶﾞ",
    "ﬁ",
    "\u00ad",
    "\x00",
    "\ud800",
    "\uffff",
]
texts = st.lists(
    st.one_of(st.sampled_from(SPECIAL), st.sampled_from(FAMILIAR), st.sampled_from(UNFAMILIAR), st.text(max_size=4)),
    max_size=8,
).map("".join)


@pytest.fixture(scope="session", params=KINDS)
def tokenizer(request: pytest.FixtureRequest, made_up_corpus: Corpus) -> Tokenizer:
    """One of every kind of tokenizer, each tiny."""
    return train_tokenizer(*made_up_corpus, ["de", "en"], KINDS[request.param])


@given(text=texts)
def test_decoding_what_was_encoded_gives_the_normalized_text(tokenizer: Tokenizer, text: str) -> None:
    """`decode(encode_target(x)) == normalize(x)`, whatever the text, even one that looks like a piece."""
    pieces = tokenizer.encode_target(text)

    assert tokenizer.decode(pieces.ids).text == tokenizer.normalize(text).text


@given(text=texts)
def test_every_text_can_be_represented(tokenizer: Tokenizer, text: str) -> None:
    """Byte fallback leaves nothing unknown, on either side."""
    assert UNKNOWN not in tokenizer.encode_source(text, "de").ids
    assert UNKNOWN not in tokenizer.encode_target(text).ids


@given(text=texts)
def test_no_text_can_pass_for_a_tag(tokenizer: Tokenizer, text: str) -> None:
    """Between the tag and the end there are no tags and no special pieces, whatever the text says."""
    body = tokenizer.encode_source(text, "de").ids[1:-1]

    assert not {PAD, UNKNOWN, BEGIN, END, tokenizer.tag("de"), tokenizer.tag("en")} & set(body)


@given(text=texts)
def test_spans_cover_exactly_the_visible_characters_of_the_callers_text(tokenizer: Tokenizer, text: str) -> None:
    """Together the pieces stand for every character that normalization kept, but for the spaces, and nothing else."""
    normalized = tokenizer.normalize(text)
    visible = [span for c, span in zip(normalized.text, normalized.spans, strict=True) if c != " "]

    for pieces in (tokenizer.encode_source(text, "en"), tokenizer.encode_target(text)):
        assert covered(pieces.spans) == covered(visible)


@given(text=texts)
def test_spans_stand_in_order_inside_the_callers_text(tokenizer: Tokenizer, text: str) -> None:
    """There is a piece, an id and a span each, no span leaves the text, and neither end goes back."""
    pieces = tokenizer.encode_target(text)

    assert len(pieces) == len(pieces.ids) == len(pieces.pieces) == len(pieces.spans)
    assert all(0 <= start <= end <= len(text) for start, end in pieces.spans)
    assert pieces.spans == sorted(pieces.spans)


@given(text=texts)
def test_spans_of_a_decoded_text_cover_all_but_its_spaces(tokenizer: Tokenizer, text: str) -> None:
    """Every visible character of a translation belongs to a piece."""
    decoded = tokenizer.decode(tokenizer.encode_target(text).ids)
    visible = {i for i, c in enumerate(decoded.text) if c != " "}

    assert covered(decoded.spans) == visible


@given(data=st.data())
def test_any_ids_can_be_decoded(tokenizer: Tokenizer, data: st.DataObject) -> None:
    """A model may write pieces in any order, bytes that are no UTF-8 too; each gets a span inside the text, which does
    not end with a space."""
    ids = data.draw(st.lists(st.integers(0, tokenizer.target_vocabulary - 1), max_size=12))

    decoded = tokenizer.decode(ids)

    assert decoded.ids == ids
    assert not decoded.text.endswith(" ")
    assert len(decoded.spans) == len(decoded.pieces) == len(ids)
    assert all(0 <= start <= end <= len(decoded.text) for start, end in decoded.spans)


@given(batch=st.lists(texts, max_size=4))
def test_many_texts_are_encoded_as_each_alone(tokenizer: Tokenizer, batch: list[str]) -> None:
    """What a model is trained on is what it will be asked to translate."""
    assert tokenizer.source_ids(batch, "en") == [tokenizer.encode_source(text, "en").ids for text in batch]
    assert tokenizer.target_ids(batch) == [tokenizer.encode_target(text).ids for text in batch]


def test_a_source_is_a_tag_pieces_and_an_end(tokenizer: Tokenizer) -> None:
    """The first piece asks for the language and the last ends the sentence; neither stands for a character."""
    pieces = tokenizer.encode_source(" Baken. ", "de")

    assert (pieces.pieces[0], pieces.pieces[-1]) == ("<2de>", "</s>")
    assert (pieces.ids[0], pieces.ids[-1]) == (tokenizer.tag("de"), END)
    assert (pieces.spans[0], pieces.spans[-1]) == ((0, 0), (7, 7))


def test_every_byte_of_a_character_stands_for_all_of_it(tokenizer: Tokenizer) -> None:
    """Four bytes of an emoji have the span of the emoji, not three of nothing and one of it."""
    pieces = tokenizer.encode_target("x 😀")
    spans = [span for piece, span in zip(pieces.pieces, pieces.spans, strict=True) if piece in BYTES_OF_THE_EMOJI]

    assert spans == [(2, 3)] * 4


def test_tags_differ_and_are_not_padding(tokenizer: Tokenizer) -> None:
    """Each language has a piece of its own, after those that every vocabulary shares."""
    assert tokenizer.tag("de") != tokenizer.tag("en")
    assert min(tokenizer.tag("de"), tokenizer.tag("en")) > END


def test_special_ids_stand_for_nothing(tiny_tokenizer: Tokenizer) -> None:
    """Padding, start and end leave no text, and their spans are empty and where the text had got to."""
    ids = tiny_tokenizer.encode_target("Baken").ids

    decoded = tiny_tokenizer.decode([BEGIN, *ids, PAD])

    assert decoded.text == "Baken"
    assert (decoded.spans[0], decoded.spans[-2], decoded.spans[-1]) == ((0, 0), (5, 5), (5, 5))


def test_no_ids_are_no_text(tiny_tokenizer: Tokenizer) -> None:
    """A translation may be empty."""
    assert tiny_tokenizer.decode([]).text == ""


def test_vocabulary_has_the_size_that_was_asked_for(tiny_tokenizer: Tokenizer) -> None:
    """400 pieces were asked for, tags and bytes included."""
    assert (tiny_tokenizer.source_vocabulary, tiny_tokenizer.target_vocabulary) == (400, 400)


def test_an_unknown_language_is_refused_with_those_that_are_known(tiny_tokenizer: Tokenizer) -> None:
    """The message names the language that was asked for and those to choose from; the field is the target's."""
    with pytest.raises(UnknownLanguage) as caught:
        tiny_tokenizer.encode_source("Baken", "fr")

    assert str(caught.value) == "target language is 'fr'; this model knows de, en"
    assert caught.value.field == "target"


def test_a_saved_tokenizer_is_read_back_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Config, languages and every id are as before."""
    text = "Schäung kelo 😀 <2de>"
    tokenizer.save(tmp_path / "made" / "on the way")

    loaded = Tokenizer.load(tmp_path / "made" / "on the way")

    assert (loaded.config, loaded.languages) == (tokenizer.config, tokenizer.languages)
    assert loaded.encode_source(text, "en") == tokenizer.encode_source(text, "en")
    assert loaded.encode_target(text) == tokenizer.encode_target(text)


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    """The message names the folder."""
    with pytest.raises(ModelFolderError, match="no tokenizer can be read from") as caught:
        Tokenizer.load(tmp_path / "nowhere")

    assert "nowhere" in str(caught.value)


@pytest.mark.parametrize(
    "description", ["", "{", "[]", "null", "{}", '{"languages": null}', '{"languages": ["de"], "algorithm": "words"}']
)
def test_a_damaged_description_is_refused(tiny_tokenizer: Tokenizer, tmp_path: Path, description: str) -> None:
    """Whatever `tokenizer.json` holds, the error is ours and names the folder."""
    tiny_tokenizer.save(tmp_path)
    (tmp_path / "tokenizer.json").write_text(description)

    with pytest.raises(ModelFolderError) as caught:
        Tokenizer.load(tmp_path)

    assert str(caught.value).startswith(f"no tokenizer can be read from {tmp_path}: ")


def test_an_unknown_key_in_the_description_is_named(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """A tokenizer of a later version says what this one does not know."""
    tiny_tokenizer.save(tmp_path)
    description = json.loads((tmp_path / "tokenizer.json").read_text()) | {"morphology": True}
    (tmp_path / "tokenizer.json").write_text(json.dumps(description))

    with pytest.raises(ModelFolderError, match="unknown key 'morphology'"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_damaged_model_is_refused(made_up_corpus: Corpus, tmp_path: Path, content: bytes | None) -> None:
    """A SentencePiece file that is empty, or something else, or missing is told at once, not at the first text."""
    train_tokenizer(*made_up_corpus, ["de"], KINDS["char-separate"]).save(tmp_path)
    (tmp_path / "target.model").unlink()
    if content is not None:
        (tmp_path / "target.model").write_bytes(content)

    with pytest.raises(ModelFolderError) as caught:
        Tokenizer.load(tmp_path)

    assert "target" in str(caught.value)


def test_a_missing_side_is_named(tiny_tokenizer: Tokenizer) -> None:
    """A tokenizer of two vocabularies needs two models."""
    with pytest.raises(ModelFolderError, match="SentencePiece model of the source side is missing or damaged"):
        Tokenizer(TokenizerConfig(joint=False), ["de"], {})


@pytest.mark.parametrize("lines", [[], ["", " \n", "\u200b"]])
def test_a_corpus_without_text_is_refused(lines: list[str]) -> None:
    """There is nothing to learn from, and the message says where to look."""
    with pytest.raises(DataError) as caught:
        train_tokenizer(lines, lines, ["de"], TokenizerConfig())

    assert str(caught.value) == "the tokenizer got no text to learn from; check the corpus files"


@pytest.mark.parametrize("algorithm", ["unigram", "bpe"])
def test_a_corpus_too_small_for_the_vocabulary_is_refused(algorithm: str) -> None:
    """The message gives the size that was wanted and the largest one, which can be learned, and no larger one."""
    lines = ["Two words and two more words."], ["Zwei Wörter und zwei weitere Wörter."]

    def refused(size: int) -> str:
        with pytest.raises(DataError) as caught:
            train_tokenizer(*lines, ["de"], TokenizerConfig(algorithm=algorithm, vocabulary_size=size))
        return str(caught.value)

    said = refused(8000)
    start = "vocabulary_size is 8,000, but the text of 2 lines gives at most "
    largest = int(said.removeprefix(start).split()[0])

    assert said.startswith(start)
    assert said.endswith("; set vocabulary_size to half as many, or bring more text")
    assert refused(largest + 1).startswith(f"vocabulary_size is {largest + 1}, but")
    train_tokenizer(*lines, ["de"], TokenizerConfig(algorithm=algorithm, vocabulary_size=largest))


def test_a_vocabulary_too_small_for_the_characters_is_refused() -> None:
    """The message says how many pieces there are before any word."""
    lines = ["abcdefghijklmnopqrstuvwxyz"]
    with pytest.raises(DataError) as caught:
        train_tokenizer(lines, lines, ["de"], TokenizerConfig(vocabulary_size=270))

    assert "vocabulary_size is 270, but bytes, tags and the characters of the text alone are 288" in str(caught.value)
    assert "set vocabulary_size to more than that" in str(caught.value)


def test_long_lines_are_learned_from() -> None:
    """Which SentencePiece leaves out by itself, and with them the letters that only they have."""
    long, short = " ".join(["abcde"] * 1000), "xyz zyx yxz"
    made = train_tokenizer([long], [short] * 20, ["de"], TokenizerConfig(vocabulary_size=273))

    assert set("abcdexyz") <= set("".join(made.ids("source")))


def test_what_else_stops_the_tokenizer_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """In SentencePiece's own words."""
    monkeypatch.setattr(sentencepiece.SentencePieceTrainer, "train", MagicMock(side_effect=RuntimeError("a bad day")))

    with pytest.raises(DataError, match=r"no 8,000 pieces can be learned from 2 lines; .*: a bad day"):
        train_tokenizer(["a"], ["b"], ["de"], TokenizerConfig())


BYTES_OF_THE_EMOJI = {f"<0x{byte:02X}>" for byte in "😀".encode()}


def covered(spans: list[tuple[int, int]]) -> set[int]:
    """The indices that lie in any of the spans."""
    return {i for start, end in spans for i in range(start, end)}
