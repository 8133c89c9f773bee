"""`nmt prepare` on the files that translators have, as bad as they come."""

import gzip
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from backports import zstd
from commands import nmt

HEAD = (
    '<?xml version="1.0" encoding="UTF-16"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx version="1.4"><header/><body>\n'
)
LONG = "The house at the end of the street is very old."
LISTED = """
[tokenizer]
algorithm = "char"
vocabulary_size = 400

[[corpora]]
name = "memory"
files = ["{0}/memory.tmx", "{0}/job.sdlxliff", "{0}/app.po", "{0}/excel.tsv", "{0}/old.zip", "{0}/web.jsonl.zst"]
source = "en"
target = "de"
weight = 2
dev = ["{0}/dev.tsv"]
test_size = 5

[[corpora]]
files = ["{0}/french.en.gz,{0}/french.fr.gz"]
source = "en"
target = "fr"
dev_size = 5
test_size = 0
"""


def prepare(*arguments: object, status: int = 0) -> str:
    """What `nmt prepare` says."""
    return nmt("prepare", *arguments, status=status).stderr


def sentences(kind: str, count: int = 20) -> Iterator[tuple[str, str]]:
    """Pairs that clean text would have."""
    for number in range(count):
        yield f"{kind} {number} is here.", f"{kind} {number} ist hier."


def unit(source: str, target: str) -> str:
    return f'<tu><tuv xml:lang="EN-US"><seg>{source}</seg></tuv><tuv xml:lang="de-DE"><seg>{target}</seg></tuv></tu>\n'


def segment(source: str, target: str) -> str:
    return f"<trans-unit id='1'><source>{source}</source><target>{target}</target></trans-unit>\n"


def entry(source: str, target: str) -> str:
    return f'msgid "{source}"\nmsgstr "{target}"\n\n'


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    """Every format, and in each of them something that is wrong."""
    units = [unit(*pair) for pair in sentences("Memory")]
    units[3:3] = [unit("a & b", "x"), unit("Go.", "").replace("de-DE", "fr"), unit("&lol;", "x"), unit("", "leer")]
    (tmp_path / "memory.tmx").write_bytes((HEAD + "".join(units) + "</body></tmx>").encode("utf-16"))
    jobs = [segment(*pair) for pair in sentences("<g id='1'>Job</g>")] + [segment("Open.", "")]
    frame = '<xliff version="1.2"><file source-language="en-GB" target-language="de-AT"><body>{}</body></file></xliff>'
    (tmp_path / "job.sdlxliff").write_text(frame.format("\n".join(jobs)))
    entries = [entry(*pair) for pair in sentences("App")] + ["#, fuzzy\n" + entry("Old.", "Alt.")]
    (tmp_path / "app.po").write_text("".join(entries))
    rows = [*sentences("Excel"), ("Excel 3 is here.", "Excel 3 ist hier."), ("Das Haus ist am Ende der Straße.", LONG)]
    latin = "Gruß\tGreeting\nno tab\n".encode("latin-1")
    (tmp_path / "excel.tsv").write_bytes("".join(f"{a}\t{b}\n" for a, b in rows).encode() + latin)
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
        for side, code in enumerate(("en", "de")):
            archive.writestr(f"Old.de-en.{code}", "".join(pair[side] + "\n" for pair in sentences("Old")))
        archive.writestr("README", "by somebody")
    web = [json.dumps({"en": a, "de": b}) for a, b in [*sentences("Web"), ("Memory 7 is HERE", "anders")]]
    (tmp_path / "web.jsonl.zst").write_bytes(zstd.compress("\n".join([*web, "{"]).encode()))
    (tmp_path / "dev.tsv").write_text("Memory 7 is here!\tMemory 7 ist hier!\n")
    (tmp_path / "french.en.gz").write_bytes(gzip.compress("".join(f"French {i} here.\n" for i in range(30)).encode()))
    (tmp_path / "french.fr.gz").write_bytes(gzip.compress("".join(f"Ici le {i}.\n" for i in range(30)).encode()))
    (tmp_path / "corpora.toml").write_text(LISTED.format(tmp_path))
    return tmp_path


def test_a_folder_of_nasty_files(nasty: Path) -> None:
    """Everything that is good is prepared; everything else is counted, with its file and line."""
    told = prepare(nasty / "corpora.toml", "--output", nasty / "out")
    report = json.loads((nasty / "out" / "report.json").read_text())
    manifest = json.loads((nasty / "out" / "corpus.json").read_text())

    memory = report["corpora"]["memory"]
    places = {
        reason: [f"{Path(example['file']).name}:{example['line']}" for example in dropped["examples"]]
        for reason, dropped in memory["dropped"].items()
    }
    assert places == {
        "malformed": ["memory.tmx:7", "memory.tmx:9", "excel.tsv:24", "web.jsonl.zst:22"],
        "not in the languages": ["memory.tmx:8"],
        "empty": ["memory.tmx:10"],
        "in dev, test, kept out": ["memory.tmx:15", "web.jsonl.zst:21"],
        "not translated": ["job.sdlxliff:41"],
        "fuzzy or not approved": ["app.po:61"],
        "duplicate": ["excel.tsv:21"],
        "sides swapped": ["excel.tsv:22"],
        "broken encoding": ["excel.tsv:23"],
    }
    assert memory["kept"] == 6 * 20 - 1
    assert [corpus["train"]["size"] for corpus in manifest["corpora"]] == [119 - 5, 25]
    assert "malformed                        4" in told
    assert "dev and test sentences in en have a near copy in the training sets" in told
    assert "train memory         114 pairs, 2 times an epoch" in told


def test_a_file_that_is_refused(tmp_path: Path) -> None:
    """One line says why, and the exit status is 2."""
    (tmp_path / "x.tmx.gz").write_bytes(gzip.compress(bytes(30_000_000)))

    told = prepare(tmp_path / "x.tmx.gz", "--source", "en", "--target", "de", "--output", tmp_path / "out", status=2)

    assert told.splitlines()[-1].startswith(f"error: {tmp_path}/x.tmx.gz unpacks to more than 100 times its size")
    assert "Traceback" not in told
