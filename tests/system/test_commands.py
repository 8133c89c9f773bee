"""The commands as a user types them, from text files to scores."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from nmt import SearchConfig, Translator
from nmt.errors import ModelFolderError
from nmt.package import ModelFolder


def nmt(*arguments: object, stdin: str = "", status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `nmt`; its exit status must be as said."""
    command = [sys.executable, "-m", "nmt", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == status, done.stderr
    return done


TO_ENGLISH = ("--source", "de", "--target", "en", "--max-length", "8")


def test_translate_keeps_lines(tiny_folder: Path) -> None:
    """A line in, a line out; an empty line stays empty; the text is what the library gives."""
    out = nmt("translate", *TO_ENGLISH, "--model", tiny_folder, stdin="Der Hund.\n\nTom. Warum?\n").stdout
    lines = out.split("\n")

    assert len(lines) == 4
    assert lines[0]
    assert lines[1] == ""
    assert lines[2]


def test_translate_writes_alignments(tiny_folder: Path) -> None:
    """Pharaoh links after a tab; JSON with weights."""
    arguments = ("translate", *TO_ENGLISH, "--model", tiny_folder, "--alignments")
    text, links = nmt(*arguments, "pharaoh", stdin="Der Hund.\n").stdout.rstrip("\n").split("\t")
    (row,) = json.loads(nmt(*arguments, "json", stdin="Der Hund.\n").stdout)["hypotheses"]

    assert row["text"] == text
    assert row["alignment"]["pharaoh"] == links
    assert all(sum(weights) == pytest.approx(1, abs=1e-3) for weights in row["alignment"]["weights"])


def test_translate_writes_the_n_best(tiny_folder: Path) -> None:
    """`number ||| text ||| score`, best first."""
    out = nmt("translate", *TO_ENGLISH, "--model", tiny_folder, "--n-best", 3, stdin="Der Hund.\n").stdout
    rows = [line.split(" ||| ") for line in out.splitlines()]

    assert [row[0] for row in rows] == ["0"] * 3
    assert sorted((float(row[2]) for row in rows), reverse=True) == [float(row[2]) for row in rows]


def test_any_setting_of_the_search_can_be_set(tiny_folder: Path) -> None:
    """The same seed draws the same sample, which is that of the library."""
    settings = ("--set", "method=sample", "--set", "seed=3", "--set", "temperature=1.5", "--set", "glossary.Hund=house")
    lines = [
        nmt("translate", *TO_ENGLISH, "--model", tiny_folder, *settings, stdin="Der Hund.\n").stdout for _ in range(2)
    ]
    search = SearchConfig(method="sample", seed=3, temperature=1.5, max_length=8, glossary={"Hund": "house"})

    assert lines[0] == lines[1]
    assert lines[0] == Translator.load(tiny_folder).translate(["Der Hund."], "en", "de", search)[0].text + "\n"


def test_score_agrees_with_the_library(tiny_folder: Path) -> None:
    """`log-probability TAB score` a pair."""
    out = nmt("score", "--source", "de", "--target", "en", "--model", tiny_folder, stdin="Der Hund.\tthe dog\n").stdout
    scored = Translator.load(tiny_folder).score([("Der Hund.", "the dog")], "en", "de")[0]

    assert float(out.split("\t")[0]) == pytest.approx(scored.log_prob, abs=1e-3)


def test_score_writes_all_there_is_as_json(tiny_folder: Path) -> None:
    """Each piece with the likeliest at its place; alignment, quality and the words' confidence."""
    arguments = ("score", "--source", "de", "--target", "en", "--model", tiny_folder, "--json", "--alternatives", 3)
    row = json.loads(nmt(*arguments, stdin="Der Hund.\tthe dog\n").stdout)

    assert row["log_prob"] == pytest.approx(sum(token["log_prob"] for token in row["tokens"]), abs=1e-3)
    assert {len(token["top"]) for token in row["tokens"]} == {3}
    assert all(token["log_prob"] <= token["top"][0]["log_prob"] + 1e-5 for token in row["tokens"])
    assert [word["text"] for word in row["words"]] == [unit["text"] for unit in row["alignment"]["target"]]
    assert set(row["quality"]) == {"confidence", "coverage", "repetition", "uncovered", "over_covered"}


def test_translate_names_lines_with_little_confidence(tiny_folder: Path) -> None:
    """On standard error, by number; standard output stays as it is."""
    arguments = ("translate", *TO_ENGLISH, "--model", tiny_folder)
    plain, marked = (nmt(*arguments, *more, stdin="\nDer Hund.\n") for more in ((), ("--min-confidence", 0.9)))

    assert marked.stdout == plain.stdout
    assert plain.stderr == ""
    assert "line 2: low confidence, 0." in marked.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("translate", "--target", "xx"), "a\n", "error: no translation into 'xx'"),
        (("translate", "--target", "en", "--beam-size", "99"), "", "error: options: beam_size is 99"),
        (("translate", "--target", "en", "--model", "nowhere"), "", "error: nowhere is not there; a model is a folder"),
        (("score", "--source", "de", "--target", "en"), "no tab\n", "error: line 1 is 'no tab'; wanted: source, a tab"),
        (
            ("evaluate", "nowhere.tsv", "--source", "de", "--target", "en"),
            "",
            "the test set nowhere.tsv cannot be read",
        ),
        (("train", "nowhere.toml", "--output", "x"), "", "error: the recipe nowhere.toml cannot be read"),
    ],
    ids=str,
)
def test_errors_are_one_line_and_status_2(
    tiny_folder: Path, arguments: tuple[str, ...], stdin: str, message: str
) -> None:
    """Not a traceback."""
    model = () if "--model" in arguments or arguments[0] == "train" else ("--model", str(tiny_folder))
    done = nmt(*arguments, *model, stdin=stdin, status=2)

    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_from_text_to_scores(tmp_path: Path) -> None:
    """prepare, train (stopped by plan), train again (nothing left to do), translate, evaluate with a report."""
    rng = random.Random(0)
    words = [f"w{a}{b}" for a in "abcdefgh" for b in "klmnop"]
    lines = [" ".join(rng.choices(words, k=rng.randint(3, 7))) for _ in range(600)]
    (tmp_path / "corpus.tsv").write_text("".join(f"{line}\t{line.upper()}\n" for line in lines), encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(
        f"""
data = "{tmp_path}/data"
updates = 12
warmup_updates = 2
decay_updates = 4
batch_pieces = 400
[model]
embedding_size = 16
encoder_size = 8
decoder_size = 16
attention_size = 8
[validation]
every = 6
sentences = 4
tokenize = "none"
search = {{ beam_size = 2, max_length = 12 }}
[card]
data = "Made up for a test."
""",
        encoding="utf-8",
    )
    nmt(
        *("prepare", tmp_path / "corpus.tsv", "--source", "xx", "--target", "yy", "--output", tmp_path / "data"),
        *("--vocabulary-size", 360, "--dev-size", 20, "--test-size", 20),
    )
    train = ("train", tmp_path / "recipe.toml", "--output", tmp_path / "run")
    first, second = nmt(*train).stderr, nmt(*train).stderr
    run, model = tmp_path / "run", tmp_path / "run" / "model"

    assert "update 12: dev loss" in first
    assert "the model is in" in second
    kinds = [json.loads(line)["kind"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert kinds.count("validation") == 2
    assert (run / "samples.txt").read_text().count("== update") == 2
    assert list((run / "tensorboard").iterdir())
    assert json.loads((run / "config.json").read_text())["updates"] == 12
    card = (model / "README.md").read_text()
    assert "Made up for a test." in card
    assert "| test | yy-xx |" in card
    assert "tok:none" in card
    assert ModelFolder.load(model).description.directions == [("xx", "yy"), ("yy", "xx")]
    report = tmp_path / "report.html"
    test = (tmp_path / "data" / "test.xx-yy.tsv", "--source", "xx", "--target", "yy", "--model", model)
    summary = json.loads(nmt("evaluate", *test, "--tokenize", "intl", "--json", "--report", report).stdout)
    assert {"bleu", "chrf", "ter", "sentences", "seconds", "model", "by_length"} <= summary.keys()
    assert {"score", "signature", "low", "high"} == summary["bleu"].keys()
    assert "tok:intl" in summary["bleu"]["signature"]
    assert summary["sentences"] == 20
    assert "<svg" in report.read_text()
    assert "http" not in report.read_text().replace("http-equiv", "")


def test_evaluate_through_a_service_gives_the_same_scores(service_url: str, tmp_path: Path) -> None:
    """The model in the box, once loaded here, once asked over HTTP."""
    rows = [
        "Ein Hund schläft.\tA dog is sleeping.",
        "Ich bin müde.\tI am tired.\tI'm tired.",
        "Wo ist Tom?\tWhere's Tom?",
    ]
    (tmp_path / "t.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    arguments = ("evaluate", tmp_path / "t.tsv", "--source", "de", "--target", "en", "--json")
    here, there = (json.loads(nmt(*arguments, *where).stdout) for where in ((), ("--url", service_url)))

    assert here["bleu"] == there["bleu"]
    assert here["chrf"] == there["chrf"]
    assert here["model"] == there["model"]


def test_evaluate_compares_alignments_with_gold_ones(tmp_path: Path) -> None:
    """Rate, precision and recall, as text and as JSON."""
    rows, links = "Ein Hund schläft.\tA dog is sleeping.\n", "0-0 1-1 2?2 2-3 3-4\n"
    (tmp_path / "t.tsv").write_text(rows, encoding="utf-8")
    (tmp_path / "gold").write_text(links, encoding="utf-8")
    arguments = ("evaluate", tmp_path / "t.tsv", "--source", "de", "--target", "en", "--gold-alignments")

    assert "AER     0.0  precision 100.0, recall 100.0" in nmt(*arguments, tmp_path / "gold").stdout
    summary = json.loads(nmt(*arguments, tmp_path / "gold", "--json").stdout)
    assert summary["alignment"] == {"error_rate": 0.0, "precision": 1.0, "recall": 1.0}
    refused = nmt(*arguments, tmp_path / "gold", "--url", "http://127.0.0.1:9", status=2).stderr
    assert "--gold-alignments compares a model folder's alignments; leave out --url" in refused


def test_the_model_in_the_box_translates_and_is_small() -> None:
    """Both ways, within 30 MB."""
    translator = Translator.load()
    german = translator.translate(["Where is the station?"], "de", "en")[0].text
    english = translator.translate(["Ich weiß nicht, wo er ist."], "en", "de")[0].text
    box = sum(file.stat().st_size for file in next(Path("nmt/pretrained").glob("*/config.json")).parent.rglob("*"))

    assert german == "Wo ist der Bahnhof?"
    assert english == "I don't know where he is."
    assert box <= 30_000_000


def test_a_model_that_is_not_there_is_explained(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(ModelFolderError, match="is not there; a model is a folder, made by `nmt train`"):
        ModelFolder.load(tmp_path / "none")
