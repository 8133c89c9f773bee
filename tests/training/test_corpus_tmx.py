"""TMX as it is found: every version, every encoding, broken units, and attacks."""

from pathlib import Path

import pytest
from corpora import lines_of, little_memory, pairs, rejected
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError
from training.corpus.records import Pair

HEAD = '<?xml version="1.0"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx version="1.4"><header srclang="en"/><body>\n'
TAIL = "</body></tmx>\n"


def unit(source: str, target: str = "Geh.") -> str:
    return f'<tu><tuv xml:lang="en"><seg>{source}</seg></tuv><tuv xml:lang="de"><seg>{target}</seg></tuv></tu>\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.tmx"


def source_of(file: Path, segment: str) -> str:
    ((source, _),) = pairs(lines_of(file, HEAD + unit(segment) + TAIL))
    return source


def test_units_are_pairs_with_their_lines(file: Path) -> None:
    """Source and target in the order that was asked for, whatever their order in the unit."""
    lines = lines_of(file, HEAD + unit("Go.", "Geh.") + unit("Run.", "Lauf.") + TAIL)

    assert lines == [Pair("Go.", ("Geh.",), str(file), 4), Pair("Run.", ("Lauf.",), str(file), 5)]
    assert pairs(lines_of(file, HEAD + unit("Go.") + TAIL, ("de", "en"))) == [("Geh.", "Go.")]


@pytest.mark.parametrize(
    ("segment", "text"),
    [
        ('a <bpt i="1">&lt;b></bpt>bold<ept i="1">&lt;/b></ept> word', "a bold word"),
        ('one<ph type="lb">&lt;br/></ph>two', "one two"),
        ("H<it pos='begin'>{sub</it>2O", "H2O"),
        ("a <?editor x?>big<!-- very --> <hi>bold</hi> <?y?>word", "a big bold word"),
        ('see <hi type="x">the <hi>inner</hi> text</hi> here', "see the inner text here"),
        ('a<ph>&lt;img alt="<sub>no part of it</sub>"></ph> b', "a b"),
        ("<ut>{\\cs6}</ut>old", "old"),
        ("<![CDATA[x < y & z]]> &amp; &#228;&#x20AC;", "x < y & z & ä€"),
        ("10&nbsp;&euro; &lt; 1 &Auml; &amp;auml;<![CDATA[&auml;]]>&eacute;", "10\u00a0€ < 1 Ä &auml;&auml;é"),
        ("  over\n   lines\t", "over lines"),
        ("before<!-- a remark -->after<?x y?>", "beforeafter"),
        ("10\u00a0%", "10\u00a0%"),
        ("<hi>" * 200 + "deep" + "</hi>" * 200, "deep"),
    ],
)
def test_inline_markup(file: Path, segment: str, text: str) -> None:
    """Codes go, the text in `hi` stays, entities are characters, those of HTML as well."""
    assert source_of(file, segment) == text


@pytest.mark.parametrize("code", ["en", "EN", "en-US", "en_gb", "EN-us"])
@pytest.mark.parametrize("key", ["xml:lang", "lang"])
def test_codes_of_languages(file: Path, code: str, key: str) -> None:
    """Regions and case do not matter, nor does the attribute of TMX 1.1."""
    body = unit("Go.").replace('xml:lang="en"', f'{key}="{code}"')

    assert pairs(lines_of(file, HEAD + body + TAIL)) == [("Go.", "Geh.")]


def test_a_region_that_was_asked_for(file: Path) -> None:
    """`pt-BR` takes that region alone."""
    body = "".join(f'<tuv xml:lang="{code}"><seg>{code}</seg></tuv>' for code in ("en", "pt-PT", "pt-BR"))

    assert pairs(lines_of(file, f"{HEAD}<tu>{body}</tu>{TAIL}", ("en", "pt-BR"))) == [("en", "pt-BR")]


def test_variants(file: Path) -> None:
    """Each variant of the source comes with all different variants of the target."""
    texts = [
        ("en-US", "Color"),
        ("en-GB", "Colour"),
        ("de", "Farbe"),
        ("de-CH", "Farb"),
        ("de-AT", "Farbe"),
        ("fr", "x"),
    ]
    body = "".join(f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in texts)

    assert pairs(lines_of(file, f"{HEAD}<tu>{body}</tu>{TAIL}")) == [
        ("Color", "Farbe", "Farb"),
        ("Colour", "Farbe", "Farb"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
def test_encodings(file: Path, encoding: str) -> None:
    """A byte-order mark or the declaration names the encoding."""
    declared = HEAD.replace('"1.0"', f'"1.0" encoding="{encoding.removesuffix("-sig")}"')

    assert pairs(lines_of(file, (declared + unit("Gr\u00fc\u00dfe") + TAIL).encode(encoding))) == [("Grüße", "Geh.")]


def test_utf8_that_says_utf16(file: Path) -> None:
    """Tools that convert the bytes and forget the declaration are understood."""
    declared = HEAD.replace('"1.0"', '"1.0" encoding="UTF-16"')

    assert pairs(lines_of(file, declared + unit("Grüße") + TAIL)) == [("Grüße", "Geh.")]


def test_bytes_of_another_encoding(file: Path) -> None:
    """They cost the units that have them."""
    lines = lines_of(file, HEAD.encode() + unit("Grüße").encode("latin-1") + unit("Go.").encode() + TAIL.encode())

    assert rejected(lines) == [(4, "broken encoding", "not in the encoding that the file states")]
    assert pairs(lines) == [("Go.", "Geh.")]


@pytest.mark.parametrize("encoding", ["klingon", "rot13", "idna"])
def test_unknown_encoding(file: Path, encoding: str) -> None:
    """What Python cannot decode is named."""
    with pytest.raises(DataError, match=f"says that its encoding is '{encoding}', which cannot be read .* as UTF-8"):
        lines_of(file, f'<?xml version="1.0" encoding="{encoding}"?><tmx>{unit("ä")}</tmx>')


@pytest.mark.parametrize(
    ("bad", "reason", "detail"),
    [
        (unit("a & b"), "malformed", "no XML: xmlParseEntityRef: no name"),
        (unit("a < b"), "malformed", "no XML: StartTag: invalid element name"),
        (unit("a &mine; b"), "malformed", "no XML: Entity 'mine' not defined"),
        (unit("a <![CDATA[&nbsp; b"), "malformed", "no XML: CData section not finished"),
        (unit("a &#1; b"), "malformed", "no XML: xmlParseCharRef: invalid xmlChar value 1"),
        (unit("a \x01 b"), "malformed", "no XML: PCDATA invalid Char value 1"),
        (unit("a</tuv>"), "malformed", "no XML: Opening and ending tag mismatch"),
        (unit("a").replace("</tu>", ""), "malformed", "no XML: Premature end"),
        ("<tu/>", "not in the languages", "no en; the unit is in no language"),
        (unit("a").replace('"de"', '"fr"'), "not in the languages", "no de; the unit is in en, fr"),
        (unit("a").replace(' xml:lang="de"', ""), "not in the languages", "no de; the unit is in en, none"),
        (unit("a" * 1_100_000), "malformed", "longer than 1,000,000 characters"),
        (unit("<hi>" * 5000), "malformed", "no XML"),
    ],
)
def test_a_broken_unit_costs_itself_alone(file: Path, bad: str, reason: str, detail: str) -> None:
    """Whatever is wrong with it, those around it are read, and its line is told."""
    lines = lines_of(file, HEAD + unit("First.") + bad + "\n" + unit("Last.") + TAIL)

    assert pairs(lines) == [("First.", "Geh."), ("Last.", "Geh.")]
    ((line, found, told),) = rejected(lines)
    assert (line, found) == (5, reason)
    assert told.startswith(detail)


@pytest.mark.parametrize("end", ["", "<tu><tuv", unit("Cut.")[:60]])
def test_a_file_that_is_cut_short(file: Path, end: str) -> None:
    """What is there is read, and the cut is told."""
    lines = lines_of(file, HEAD + unit("Go.") + end)

    assert pairs(lines) == [("Go.", "Geh.")]
    assert rejected(lines) == [(5, "malformed", "the file ends before </tmx>")]


@pytest.mark.parametrize("hidden", ["<!-- {} -->", "<![CDATA[ {} ]]>", '<!DOCTYPE tmx [ <!ENTITY a "{}"> ]>'])
def test_what_is_no_unit(file: Path, hidden: str) -> None:
    """Units in comments, CDATA and entities are none."""
    lines = lines_of(file, HEAD + hidden.format(unit("Hidden.")) + unit("Go.") + TAIL)

    assert pairs(lines) == [("Go.", "Geh.")]


def test_units_over_the_limits_of_parts(file: Path) -> None:
    """Wherever the reader cuts the file into parts, nothing is lost and lines are counted through."""
    count = 3000
    lines = lines_of(file, HEAD + "".join(f"<!-- {i} -->" + unit(f"Number {i}.") for i in range(count)) + TAIL)

    assert [line.line for line in lines] == list(range(4, 4 + count))
    assert pairs(lines)[-1] == (f"Number {count - 1}.", "Geh.")


@pytest.mark.parametrize("content", ["", "plain text", "<html><tu></tu></html>", "\x00\x01"])
def test_no_tmx_at_all(file: Path, content: str) -> None:
    """A file of another kind is named."""
    with pytest.raises(DataError, match=r"x\.tmx is no TMX file: there is no <tmx> in it"):
        lines_of(file, content)


LAUGHS = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 30))
BOMBS = {
    "billion laughs": (f"<!DOCTYPE tmx [{LAUGHS}]>", "&a29;"),
    "in an attribute": (f"<!DOCTYPE tmx [{LAUGHS}]>", '<hi x="&a29;">a</hi>'),
    "quadratic": (f'<!DOCTYPE tmx [<!ENTITY a0 "{"x" * 500_000}">]>', "&a0;" * 100_000),
    "external entity": ('<!DOCTYPE tmx [<!ENTITY a0 SYSTEM "file:///etc/passwd">]>', "&a0;"),
    "parameter entity": ('<!DOCTYPE tmx [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>', "&a0;"),
    "from a server": ('<!DOCTYPE tmx SYSTEM "http://127.0.0.1:9/x.dtd" [<!ENTITY a0 "x">]>', "&a0;"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_entities_are_never_read(file: Path, name: str) -> None:
    """A unit that uses one is rejected, at no cost; the others are read."""
    doctype, segment = BOMBS[name]

    with little_memory(20_000_000):
        lines = lines_of(file, f"{doctype}<tmx><body>" + unit(segment) + unit("Go.") + TAIL)

    assert pairs(lines) == [("Go.", "Geh.")]
    ((_, reason, detail),) = rejected(lines)
    assert reason == "malformed"
    assert "not defined" in detail


WORDS = "<tmx> </tmx> <tu> <tu </tu> <tuv </tuv> <seg> </seg> <hi> </hi> <ph/> <!-- --> <![CDATA[ ]]> [ ]>".split()
MORE = [
    "<!DOCTYPE",
    '<tuv lang="en">',
    '<tuv lang="de">',
    "&amp;",
    "&x;",
    "&#0;",
    "\n",
    "<",
    ">",
    "text",
    "ä",
    "\ufffd",
    "\x00",
    '"',
]
pieces = st.sampled_from(WORDS + MORE)


@given(content=st.lists(pieces, max_size=60).map("".join) | st.binary(max_size=200))
def test_no_content_ends_a_run_unexpectedly(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    """Any bytes are units, rejected, or no TMX: no other exception."""
    file = tmp_path_factory.getbasetemp() / "fuzz.tmx"
    for text in (content, b"<tmx>" + (content.encode() if isinstance(content, str) else content)):
        try:
            lines_of(file, text)
        except DataError as error:
            assert any(part in str(error) for part in ("is no TMX file", "its encoding", "packed"))  # noqa: PT017
