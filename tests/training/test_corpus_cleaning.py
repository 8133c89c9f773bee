"""What cleaning drops, what it leaves, and how it counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.corpus.cleaning import Cleaner, CleaningConfig, CleaningReport
from training.corpus.records import Direction, Line, Pair, Reason, Rejected, TextPair


def as_lines(pairs: list[TextPair]) -> list[Line]:
    return [Pair(source, (target,), "x.tsv", number) for number, (source, target) in enumerate(pairs, start=1)]


def cleaned(pairs: list[TextPair], config: CleaningConfig | None = None) -> tuple[list[TextPair], dict[Reason, int]]:
    cleaner = Cleaner(config or CleaningConfig())
    kept = list(cleaner.clean(as_lines(pairs)))
    return kept, {reason: dropped.count for reason, dropped in cleaner.report().dropped.items()}


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (("", "Geh."), Reason.EMPTY),
        (("Go.", " \u00a0\u200b "), Reason.EMPTY),
        (("a b " * 200, "a c " * 200), Reason.TOO_LONG),
        (("Go.", "Geh. " * 200), Reason.TOO_LONG),
        (("Yes.", "Ja, das ist ganz genau so, wie ich es dir gestern Abend gesagt habe."), Reason.RATIO),
        (("1274", "Das ist ein Haus."), Reason.WORDLESS),
        (("Go away, will you?", "…"), Reason.WORDLESS),
        (("(55)", "Я не знаю."), Reason.WORDLESS),
        (("55", "私は明日の朝、友達と一緒に電車で東京に行きます。"), Reason.WORDLESS),
        (("Tom", "Tom "), Reason.IDENTICAL),
        (("caf\u00e9", "cafe\u0301"), Reason.IDENTICAL),
        (("Go.", "Geh \ufffd."), Reason.BROKEN),
        (("Go.", "Geh\x07."), Reason.BROKEN),
        (("Go.", f"Geh {chr(0xD800)}."), Reason.BROKEN),
        (("Schoen", "SchÃ¶n"), Reason.BROKEN),
        (("It’s", "Itâ€™s"), Reason.BROKEN),
        (("cold", "10 Â°C"), Reason.BROKEN),
        (("лес", "Ð»ÐµÑ\u0081"), Reason.BROKEN),
    ],
)
def test_bad_pair_goes(pair: TextPair, reason: Reason) -> None:
    """Each kind of bad pair is dropped for its own reason."""
    assert cleaned([pair]) == ([], {reason: 1})


@pytest.mark.parametrize("text", ["häßlich", "“Śmierć”", "привет, мир", "日本語です", "Ελληνικά", "café’s", "žluť"])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_mojibake(text: str, encoding: str) -> None:
    """UTF-8 that was read as a Western encoding is found in any script."""
    garbled = text.encode().decode(encoding, errors="replace")

    assert cleaned([("something", garbled)])[1] == {Reason.BROKEN: 1}


@pytest.mark.parametrize(
    "text",
    [
        "Il a dit : « Je suis blessé », puis « fatigué ».",
        "„Spaß“ und „Gruß“ – schön…",
        "NÃO, SÃO PAULO: AMANHÃ É ÓTIMO.",
        "Он сказал: «Привет!»",
        "¿Señor Ñandú? ¡Sí!",
        "Ångström: 1 Å² ≈ 0,01 nm²",
        "नमस्ते दुनिया",
        "tab\tand\nline",
        "👍🏽 ok",
    ],
)
def test_good_text_stays(text: str) -> None:
    """Real text with unusual letters is not taken for mojibake."""
    assert cleaned([("something or other here", text)])[1] == {}


@pytest.mark.parametrize(
    "pair",
    [
        ("12 : 5", "12:5"),
        ("12", "zwölf"),
        ("10 %", "zehn Prozent"),
        ("4", "四"),
        ("?", "Wie bitte?"),
        ("7 – 9", "7 до 9"),
    ],
)
def test_pairs_with_few_words(pair: TextPair) -> None:
    """Numbers and signs stay where the other side has no sentence either."""
    assert cleaned([pair])[0] == [pair]


@pytest.mark.parametrize(
    "pair",
    [
        ("Hi.", "Schönen guten Tag, ihr!"),
        ("I would like to go to the station with you this very afternoon.", "我想今天下午和你一起去火车站。"),
        ("I would like to know", "मैं जानना चाहूँगा कि यह कैसे होता है जी"),
    ],
)
def test_lengths_that_may_differ(pair: TextPair) -> None:
    """Short sentences, and scripts that need few characters or many bytes, are not hit by the ratio."""
    assert cleaned([pair])[0] == [pair]


def test_duplicates_are_found_after_normalization() -> None:
    """Spaces and composition do not make a pair new; another target does."""
    pairs = [("Caf\u00e9 now", "Kaffee"), ("Cafe\u0301  now ", "Kaffee"), ("Caf\u00e9 now", "Jetzt Kaffee")]

    assert cleaned(pairs) == ([pairs[0], pairs[2]], {Reason.DUPLICATE: 1})


def test_switches() -> None:
    """Identical sides, duplicates and sides without words stay if the settings say so."""
    config = CleaningConfig(drop_identical=False, drop_duplicates=False, drop_wordless=False)
    pairs = [("Tom", "Tom"), ("Tom", "Tom"), ("12", "Das ist ein Haus.")]

    assert cleaned(pairs, config) == (pairs, {})


def test_held_out_pairs_go() -> None:
    """What the caller holds out is dropped under its own name."""
    cleaner = Cleaner(CleaningConfig(), held_out=[("Go.", "Geh.")])

    assert list(cleaner.clean(as_lines([("Go.", "Geh."), ("Run.", "Lauf.")]))) == [("Run.", "Lauf.")]
    assert list(cleaner.report().dropped) == [Reason.HELD_OUT]


def test_several_targets_become_several_pairs() -> None:
    """Each target of a line is judged on its own."""
    lines = [Pair("Go.", ("Geh.", "", "Geht."), "x", 1)]

    assert list(Cleaner(CleaningConfig()).clean(lines)) == [("Go.", "Geh."), ("Go.", "Geht.")]


def test_report_keeps_few_examples() -> None:
    """All are counted, five are shown, shortened and fit for a terminal."""
    cleaner = Cleaner(CleaningConfig())
    list(cleaner.clean([Rejected(Reason.MALFORMED, "no tab", "\x1b[31m" + "x" * 999, "x.tsv", n) for n in range(1, 8)]))

    dropped = cleaner.report().dropped[Reason.MALFORMED]

    assert dropped.count == 7
    assert [example.line for example in dropped.examples] == [1, 2, 3, 4, 5]
    assert dropped.examples[0].text.startswith("\\u001b[31mxxx")
    assert len(dropped.examples[0].text) < 200


def test_report_for_people() -> None:
    """The table has a line a reason, the most frequent first; the text adds the examples."""
    cleaner = Cleaner(CleaningConfig())
    list(cleaner.clean(as_lines([("Go.", "Geh."), ("Go.", ""), ("", "Geh."), ("Tom", "Tom")])))

    report = cleaner.report()

    assert report.table().splitlines() == [
        "4 pairs read, 1 kept, 3 dropped",
        "",
        "reason                       pairs    share   first at",
        "empty                            2   50.00%   x.tsv:2",
        "same on both sides               1   25.00%   x.tsv:4",
    ]
    assert "  x.tsv:4  Tom → Tom" in report.text()


@given(pairs=st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30))))
def test_every_pair_is_accounted_for(pairs: list[TextPair]) -> None:
    """Kept and dropped add up, kept text is one line of UTF-8, and the report survives JSON."""
    cleaner = Cleaner(CleaningConfig())

    kept = list(cleaner.clean(as_lines(pairs)))
    report = cleaner.report()

    assert report.total == len(pairs) == len(kept) + sum(dropped.count for dropped in report.dropped.values())
    assert all(len(text.encode().decode().splitlines()) == 1 and "\t" not in text for pair in kept for text in pair)
    assert CleaningReport.model_validate_json(report.model_dump_json()) == report


@given(pairs=st.lists(st.tuples(st.text("ab é", max_size=4), st.text("ab é", max_size=4))))
def test_cleaning_twice_changes_nothing(pairs: list[TextPair]) -> None:
    """What was kept is kept again."""
    once, _ = cleaned(pairs)

    assert cleaned(once) == (once, {})


EN_DE = ("en", "de")
GOOD = ("The house at the end of the street is very old.", "Das Haus am Ende der Straße ist sehr alt, sagt man.")


@pytest.mark.parametrize(
    ("pair", "reason", "detail"),
    [
        (GOOD[::-1], Reason.SWAPPED, ""),
        (("Ich habe das nicht gewusst.", "I did not know that."), Reason.SWAPPED, ""),
        (
            (GOOD[0], "The house at the end of that street is really old."),
            Reason.LANGUAGE,
            "both sides look like English",
        ),
        (
            ("Das Haus am Ende dieser Straße ist wirklich sehr alt.", GOOD[1]),
            Reason.LANGUAGE,
            "both sides look like German",
        ),
    ],
)
def test_sides_in_the_wrong_language(pair: TextPair, reason: Reason, detail: str) -> None:
    """Swapped sides, and two sides in one language, go; good pairs, and those too short to be judged, stay."""
    pairs = [GOOD, pair, ("Tom!", "Tom?"), ("Hallo!", "Hi!"), ("New York Times", "Tom mag Jazz")]
    cleaner = Cleaner(CleaningConfig(), languages=EN_DE)

    kept = list(cleaner.clean(as_lines(pairs)))

    ((found, dropped),) = cleaner.report().dropped.items()
    assert kept == [GOOD, *pairs[2:]]
    assert (found, dropped.examples[0].line, dropped.examples[0].detail) == (reason, 2, detail)


@pytest.mark.parametrize(("languages", "check"), [(EN_DE, False), (("en", "xx"), True), (("de", "de-CH"), True)])
def test_languages_that_are_not_checked(languages: Direction, check: bool) -> None:
    """If the settings say so, or if the detector does not know them or cannot tell them apart."""
    cleaner = Cleaner(CleaningConfig(check_languages=check), languages=languages)

    assert list(cleaner.clean(as_lines([GOOD[::-1]]))) == [GOOD[::-1]]
