"""XLIFF 1.2 and 2, from plain files to those of translation tools."""

from pathlib import Path

import pytest
from corpora import lines_of, pairs, rejected
from hypothesis import given
from hypothesis import strategies as st

from nmt.errors import DataError

ONE = """<?xml version="1.0" encoding="UTF-8"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2" xmlns:sdl="http://sdl.com/FileTypes/SdlXliff/1.0">
<file original="a.docx" source-language="en-GB" target-language="de-DE" datatype="x"><body>
{}
</body></file>
</xliff>
"""
TWO = """<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en" trgLang="de">
<file id="f1">
{}
</file></xliff>
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.xlf"


def unit(source: str, target: str, attributes: str = "", state: str = "") -> str:
    return f'<trans-unit id="1" {attributes}><source>{source}</source><target {state}>{target}</target></trans-unit>'


def segment(source: str, target: str, state: str = "") -> str:
    return f'<unit id="1"><segment {state}><source>{source}</source><target>{target}</target></segment></unit>'


@pytest.mark.parametrize(("frame", "body"), [(ONE, unit("Go.", "Geh.")), (TWO, segment("Go.", "Geh."))])
@pytest.mark.parametrize("name", ["x.xlf", "x.xliff", "x.sdlxliff", "x.mxliff", "x.mqxliff"])
def test_both_versions(tmp_path: Path, frame: str, body: str, name: str) -> None:
    """Regions in the codes do not matter; a file of the opposite direction is turned."""
    assert pairs(lines_of(tmp_path / name, frame.format(body))) == [("Go.", "Geh.")]
    assert pairs(lines_of(tmp_path / name, frame.format(body), ("de", "en"))) == [("Geh.", "Go.")]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('Press <g id="1">the <mrk mtype="term">key</mrk></g><x id="2"/>.', "Press the key."),
        ('a<bpt id="1">&lt;b></bpt> bold<ept id="1">&lt;/b></ept><ph id="2">{0}</ph>', "a bold"),
        ('one<x id="1" ctype="lb"/>two', "one two"),
        ('<pc id="1">in <cp hex="0001"/>side</pc><sc id="2"/><ec startRef="2"/>', "in side"),
    ],
)
def test_inline_codes(file: Path, content: str, text: str) -> None:
    """The text that they surround stays."""
    assert pairs(lines_of(file, ONE.format(unit(content, "Ziel")))) == [(text, "Ziel")]
    assert pairs(lines_of(file, TWO.format(segment(content, "Ziel")))) == [(text, "Ziel")]


@pytest.mark.parametrize(
    ("frame", "body", "reason", "detail"),
    [
        (ONE, unit("Go.", ""), "not translated", ""),
        (ONE, unit("Go.", '<g id="1"/>'), "not translated", ""),
        (ONE, '<trans-unit id="1"><source>Go.</source></trans-unit>', "not translated", ""),
        (ONE, unit("Go.", "Go.", 'translate="no"'), "not translated", "marked as not to be translated"),
        (ONE, unit("Go.", "Geh.", 'approved="no"'), "fuzzy or not approved", "not approved"),
        (ONE, unit("Go.", "Geh.", "", 'state="new"'), "fuzzy or not approved", "new"),
        (ONE, unit("Go.", "Geh.", "", 'state="needs-review-translation"'), "fuzzy or not approved", "needs-review"),
        (TWO, segment("Go.", "Geh.", 'state="initial"'), "fuzzy or not approved", "initial"),
        (TWO, segment("Go.", "").replace("<target></target>", ""), "not translated", ""),
        (ONE, unit("a & b", "Geh."), "malformed", "no XML: xmlParseEntityRef"),
        (ONE.replace("de-DE", "fr"), unit("Go.", "Va."), "not in the languages", "the file is from en-GB to fr"),
        (TWO.replace('"en"', '"fi"'), segment("Mene.", "Geh."), "not in the languages", "the file is from fi to de"),
    ],
)
def test_what_is_no_pair(file: Path, frame: str, body: str, reason: str, detail: str) -> None:
    """It is rejected with its reason and line."""
    ((line, found, told),) = rejected(lines_of(file, frame.format(body)))

    assert (line, found) == (4 if frame.startswith("<?xml") else 3, reason)
    assert told.startswith(detail)


@pytest.mark.parametrize("qualifier", ["mt-suggestion", "leveraged-mt"])
def test_what_a_machine_suggests_has_to_be_translated(file: Path, qualifier: str) -> None:
    """Unless the state says that it is by now."""
    alone, reviewed = f'state-qualifier="{qualifier}"', f'state="final" state-qualifier="{qualifier}"'

    assert rejected(lines_of(file, ONE.format(unit("Go.", "Geh.", "", alone)))) == [
        (4, "fuzzy or not approved", qualifier)
    ]
    assert pairs(lines_of(file, ONE.format(unit("Go.", "Geh.", "", reviewed)))) == [("Go.", "Geh.")]


@pytest.mark.parametrize("state", ["translated", "signed-off", "final", "reviewed", "x-mine"])
def test_finished_states(file: Path, state: str) -> None:
    """What is translated, reviewed or final is taken, and so is what a tool calls in its own way."""
    assert pairs(lines_of(file, ONE.format(unit("Go.", "Geh.", 'approved="yes"', f'state="{state}"')))) == [
        ("Go.", "Geh.")
    ]
    assert pairs(lines_of(file, TWO.format(segment("Go.", "Geh.", f'state="{state}"')))) == [("Go.", "Geh.")]


def test_segments_of_version_1(file: Path) -> None:
    """As Trados writes them: paired by their number; one without a target is not translated."""
    source = "".join(f'<mrk mtype="seg" mid="{i}">Source {i}.</mrk> ' for i in (1, 2, 3))
    target = "".join(f'<g id="5"><mrk mtype="seg" mid="{i}">Ziel {i}.</mrk></g>' for i in (2, 1))
    body = f"<source>all</source><seg-source>{source}</seg-source><target>{target}</target><sdl:seg-defs/>"

    lines = lines_of(file, ONE.format(f'<trans-unit id="a">{body}</trans-unit>'))

    assert pairs(lines) == [("Source 1.", "Ziel 1."), ("Source 2.", "Ziel 2.")]
    assert rejected(lines) == [(4, "not translated", "")]


@pytest.mark.parametrize(
    ("attributes", "detail"),
    [
        ('m:confirmed="0"', "not confirmed"),
        ('mq:status="NotStarted"', "NotStarted"),
        ('mq:status="PartiallyEdited"', "PartiallyEdited"),
        ('mq:status="Pretranslated"', "Pretranslated"),
        ('mq:status="PreTranslated"', "PreTranslated"),
        ('mq:status="MachineTranslated"', "MachineTranslated"),
        ('mq:status="AssembledFromFragments"', "AssembledFromFragments"),
        ('mq:status="Rejected"', "Rejected"),
    ],
)
@pytest.mark.parametrize("declared", ["", 'xmlns:m="http://m" xmlns:mq="http://mq"'])
def test_what_phrase_and_memoq_call_unfinished(file: Path, attributes: str, detail: str, declared: str) -> None:
    """In attributes of their own, wherever the namespace is declared."""
    lines = lines_of(file, ONE.format(unit("Go.", "Geh.", f"{declared} {attributes}")))

    assert rejected(lines) == [(4, "fuzzy or not approved", detail)]


@pytest.mark.parametrize("attributes", ['m:confirmed="1"', 'mq:status="ManuallyConfirmed"', 'mq:status="Proofread"'])
def test_what_phrase_and_memoq_call_finished(file: Path, attributes: str) -> None:
    """What somebody has confirmed is taken."""
    assert pairs(lines_of(file, ONE.format(unit("Go.", "Geh.", attributes)))) == [("Go.", "Geh.")]


def test_what_trados_calls_unfinished(file: Path) -> None:
    """Beside the segments stands how far each is, unspecified where no word says so; one that is not there is taken."""
    states = ["Draft", "Translated", "RejectedTranslation", "ApprovedSignOff", "Unspecified", "RejectedSignOff"]
    marks = [f'<mrk mtype="seg" mid="{i}">Text {i}.</mrk>' for i in range(len(states) + 2)]
    definitions = "".join(f'<sdl:seg id="{i}" conf="{state}"/>' for i, state in enumerate(states))
    definitions += f'<sdl:seg id="{len(states)}" origin="mt"/>'
    body = f"<source/><seg-source>{''.join(marks)}</seg-source><target>{''.join(marks)}</target>"
    content = f'<trans-unit id="a">{body}<sdl:seg-defs>{definitions}</sdl:seg-defs></trans-unit>'

    lines = lines_of(file, ONE.format(content))

    assert [source for source, _ in pairs(lines)] == ["Text 1.", "Text 3.", "Text 7."]
    assert [detail for *_, detail in rejected(lines)] == [*(own for own in states if own[0] in "DRU"), "Unspecified"]


def test_what_was_deleted_under_track_changes_is_no_text(file: Path) -> None:
    """What was added in its place is."""
    changed = 'Die <mrk mtype="x-sdl-deleted">Kater </mrk><mrk mtype="x-sdl-added">Katze </mrk>schläft.'

    assert pairs(lines_of(file, ONE.format(unit("The cat sleeps.", changed)))) == [
        ("The cat sleeps.", "Die Katze schläft.")
    ]


def test_suggestions_are_no_translations(file: Path) -> None:
    """`alt-trans` holds what the memory offered."""
    body = unit("Go.", "Geh.").replace("</target>", "</target><alt-trans><target>Lauf.</target></alt-trans>")

    assert pairs(lines_of(file, ONE.format(body))) == [("Go.", "Geh.")]


def test_segments_of_version_2(file: Path) -> None:
    """Each is a pair; what is between them is not."""
    body = (
        '<unit id="1"><originalData><data id="d">&lt;b></data></originalData>'
        "<segment><source>One.</source><target>Eins.</target></segment><ignorable><source> </source></ignorable>"
        "<segment><source>Two.</source><target>Zwei.</target></segment></unit>"
    )

    assert pairs(lines_of(file, TWO.format(body))) == [("One.", "Eins."), ("Two.", "Zwei.")]


def test_several_files_in_one(file: Path) -> None:
    """Each has its own languages; prefixes of namespaces do not matter."""
    other = '</body></file><file source-language="de" target-language="en"><body>'
    body = unit("Go.", "Geh.") + other + unit("Lauf.", "Run.").replace("<", "<x:").replace("<x:/", "</x:")

    assert pairs(lines_of(file, ONE.format(body))) == [("Go.", "Geh."), ("Run.", "Lauf.")]


@pytest.mark.parametrize("before", [0, *range(65_536 - 30, 65_536)])
@pytest.mark.parametrize("value", ['"a > b"', "'a > \"b\" > c'", '""'])
def test_a_tag_ends_after_its_quotes(file: Path, value: str, before: int) -> None:
    """A `>` in a value is part of it, also where the reader cuts the file into parts."""
    head, tag, rest = ONE.replace('original="a.docx"', f"original={value}").partition("<file")
    frame = head.ljust(before) + tag + rest
    body = unit("Go.", "Geh.", f"note={value}")

    assert pairs(lines_of(file, frame.format(body), ("de", "en"))) == [("Geh.", "Go.")]


@pytest.mark.parametrize("mistake", ['note="x', "note='x", 'note=x"', "note=\"x'y"])
def test_a_quote_that_is_not_closed_costs_its_unit_alone(file: Path, mistake: str) -> None:
    """It does not take what follows into the tag."""
    lines = lines_of(file, ONE.format(unit("Go.", "Geh.") + unit("Bad.", "Bad.", mistake) + unit("Run.", "Lauf.")))

    assert pairs(lines) == [("Go.", "Geh."), ("Run.", "Lauf.")]
    assert len(rejected(lines)) == 1


def test_no_stated_target_language(file: Path) -> None:
    """It is taken to be right."""
    frame = ONE.replace(' target-language="de-DE"', "")

    assert pairs(lines_of(file, frame.format(unit("Go.", "Geh.")))) == [("Go.", "Geh.")]


def test_no_xliff_at_all(file: Path) -> None:
    """A file of another kind is named."""
    with pytest.raises(DataError, match=r"x\.xlf is no XLIFF file: there is no <xliff> in it"):
        lines_of(file, "<tmx/>")


WORDS = """</xliff> <file </file> <trans-unit> </trans-unit> <unit> </unit> <segment> </segment> <source> </source>
    <target> </target> <seg-source> </seg-source> </mrk> <x/> text &lt; &x; < > <!-- -->""".split()
TAGS = [
    '<xliff srcLang="en" trgLang="de">',
    '<unit translate="no">',
    '<target state="new">',
    '<mrk mtype="seg" mid="1">',
]
pieces = st.sampled_from([*WORDS, *TAGS, "\n", "\x00"])


@given(content=st.lists(pieces, max_size=60).map("".join))
def test_no_content_ends_a_run_unexpectedly(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    """Anything is a list of units, some of them rejected: no exception. Each says where it stands."""
    lines = lines_of(tmp_path_factory.getbasetemp() / "fuzz.xlf", "<xliff>" + content)

    assert all(1 <= line.line <= content.count("\n") + 1 for line in lines)
    assert len(lines) == len(pairs(lines)) + len(rejected(lines))
