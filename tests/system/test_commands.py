"""The commands as a user types them, from text files to scores."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryFile

import pytest
from commands import conversation, nmt
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import serving

from nmt import SearchConfig, Translator
from nmt.commands import line_groups
from nmt.errors import ModelFolderError
from nmt.package import ModelFolder
from service.schemas import QualityReply

TO_ENGLISH = ("--source", "de", "--target", "en", "--max-length", "8")
SCORE_JSON = ("score", "--source", "de", "--target", "en", "--json")


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


def test_a_line_that_a_setting_does_not_fit_costs_no_other_line(tiny_folder: Path) -> None:
    """It stays empty, standard error says why, and the status tells."""
    masked = ("--set", 'attention=[{words="Hund",weight=0}]')
    lines = "Der Hund.\nHund\nTom.\n\ufeff\n"
    done = nmt("translate", *TO_ENGLISH, *masked, "--model", tiny_folder, stdin=lines, status=2)
    first, second, third, fourth = done.stdout.split("\n")[:4]

    assert first
    assert third
    assert (second, fourth) == ("", "")
    assert "line 2: attention masks all of 'Hund' in step 0" in done.stderr


def test_a_line_that_does_not_fit_among_blank_ones_is_a_line_as_well(tiny_folder: Path) -> None:
    """However the lines are cut into groups, and also where it is the only one."""
    masked = ("--set", 'attention=[{words="Hund",weight=0}]', "--model", tiny_folder)
    done = nmt("translate", *TO_ENGLISH, *masked, stdin="\n" * 512 + "Hund\nTom.\n", status=2)
    assert done.stdout.count("\n") == 514
    assert done.stdout.splitlines()[-1]
    assert done.stderr.startswith("line 513: attention masks all of 'Hund'")

    alone = nmt("translate", *TO_ENGLISH, *masked, stdin="Hund\n", status=2)
    assert alone.stdout == "\n"
    assert alone.stderr.startswith("line 1: attention masks all of 'Hund'")


def test_who_writes_a_line_gets_its_translation_before_the_next(tiny_folder: Path) -> None:
    """So that a program can keep the command beside it, and each line is what it is in a file."""
    lines = ["Der Hund.\n", "\n", "Tom.\n"]
    with conversation("translate", *TO_ENGLISH, "--model", tiny_folder) as (writer, reader):
        answers = []
        for line in lines:
            writer.write(line)
            writer.flush()
            answers.append(reader.readline())

    assert "".join(answers) == nmt("translate", *TO_ENGLISH, "--model", tiny_folder, stdin="".join(lines)).stdout


@given(
    lines=st.lists(st.sampled_from(["", "a", "é\r", "b" * 70_000]), max_size=1100),
    last=st.sampled_from(["", "c"]),
)
@settings(max_examples=20)
def test_a_file_is_read_in_full_groups(lines: list[str], last: str) -> None:
    """Whatever its lines are, and with or without a line break at the end."""
    with TemporaryFile() as file:
        file.write("".join(f"{line}\n" for line in lines).encode() + last.encode())
        file.seek(0)
        groups = list(line_groups(file.fileno()))
    wanted = [line.rstrip("\r") for line in lines] + [last] * bool(last)

    assert [line for _, group in groups for line in group] == wanted
    assert [first for first, _ in groups] == list(range(0, len(wanted), 512))


def test_a_line_that_is_not_utf_8_is_refused_and_costs_no_other(tiny_folder: Path) -> None:
    """As those that Windows writes; what is UTF-16 is refused as a whole."""
    lines = {"translate": ("Der Hund.", "Die Tür."), "score": ("Der Hund.\tthe dog", "Die Tür.\tthe door")}
    for command, (good, bad) in lines.items():
        arguments = (command, "--source", "de", "--target", "en", "--model", tiny_folder)
        in_windows = bad.encode("cp1252").decode("utf-8", "surrogateescape")
        done = nmt(*arguments, stdin=f"{good}\n{in_windows}\n{good}\n", status=2)
        first, second, third, _ = done.stdout.split("\n")

        assert first == third != ""
        assert second == ""
        assert "line 2: not UTF-8; if it is from Windows, convert it: iconv -f WINDOWS-1252" in done.stderr

        utf_16 = good.encode("utf-16").decode("utf-8", "surrogateescape")
        assert "error: the input is UTF-16; convert it: iconv" in nmt(*arguments, stdin=utf_16, status=2).stderr


def test_standard_error_says_which_precision_was_chosen(tiny_folder: Path) -> None:
    """Where it was left to the command."""
    auto, named = (
        nmt("translate", *TO_ENGLISH, "--model", tiny_folder, "--precision", precision, stdin="Der Hund.\n").stderr
        for precision in ("auto", "fp32")
    )

    assert auto in {"decoding in fp32\n", "decoding in int8\n"}
    assert named == ""


def test_several_models_are_an_ensemble(tiny_folder: Path, tmp_path: Path) -> None:
    """A model with itself writes what it writes alone, and evaluates as it does; the name says what it was."""
    alone, twice = ("--model", tiny_folder), ("--model", tiny_folder, "--model", tiny_folder, "--mixing", "mean")
    texts = {nmt("translate", *TO_ENGLISH, *models, stdin="Der Hund.\n").stdout for models in (alone, twice)}
    assert len(texts) == 1

    (tmp_path / "t.tsv").write_text("Der Hund.\tthe dog\n", encoding="utf-8")
    evaluate = ("evaluate", tmp_path / "t.tsv", "--source", "de", "--target", "en", "--set", "max_length=8", "--json")
    one, two = (json.loads(nmt(*evaluate, *models).stdout) for models in (alone, twice))
    assert one["chrf"] == two["chrf"]
    assert two["model"] == "tiny + tiny"


def test_score_agrees_with_the_library(tiny_folder: Path) -> None:
    """`log-probability TAB score` a pair."""
    out = nmt(
        "score",
        "--source",
        "de",
        "--target",
        "en",
        "--precision",
        "fp32",
        "--model",
        tiny_folder,
        stdin="Der Hund.\tthe dog\n",
    ).stdout
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
    assert row["quality"].keys() == QualityReply.model_fields.keys()
    assert [(own["start"], own["end"]) for own in row["quality"]["sentences"]] == [(0, len("the dog"))]


@pytest.mark.parametrize("lines", ["no tab", "Der Hund.\t", "\tthe dog", ""])
def test_a_line_that_is_no_pair_costs_no_other_line(tiny_folder: Path, lines: str) -> None:
    """It stays empty, or has its error in the JSON; standard error says why, and the status tells."""
    score = ("score", "--source", "de", "--target", "en", "--model", tiny_folder)
    stdin = f"Der Hund.\tthe dog\n{lines}\nTom.\tTom\n"
    plain, as_json = nmt(*score, stdin=stdin, status=2), nmt(*score, "--json", stdin=stdin, status=2)
    rows = [json.loads(line) for line in as_json.stdout.splitlines()]
    message = f"{lines!r} is no pair; wanted: source, a tab, translation"

    assert [bool(line) for line in plain.stdout.splitlines()] == [True, False, True]
    assert [row["line"] for row in rows] == [0, 1, 2]
    assert [row.get("text") for row in rows] == ["the dog", None, "Tom"]
    assert rows[1]["error"] == message
    assert plain.stderr == as_json.stderr == f"line 2: {message}\n"


def test_json_has_the_language_the_pieces_and_the_errors(tiny_folder: Path) -> None:
    """Of a line that was translated, and of one that a setting does not fit."""
    masked = ("--set", 'attention=[{words="Hund",weight=0}]', "--alignments", "json", "--model", tiny_folder)
    text = "Der Hund schläft nicht im Haus, und Tom weiß nicht warum."
    done = nmt("translate", "--target", "en", "--max-length", 8, *masked, stdin=f"{text}\nHund\n\n", status=2)
    first, second, third = map(json.loads, done.stdout.splitlines())
    (row,) = first["hypotheses"]

    assert first["detected_source"] == "de"
    assert sum(token["log_prob"] for token in row["tokens"]) == pytest.approx(row["log_prob"], abs=1e-3)
    assert second["hypotheses"] == third["hypotheses"] == []
    assert second["error"].startswith("attention masks all of 'Hund'")
    assert "error" not in third


def test_alignments_are_written_at_the_level_that_is_asked_for(tiny_folder: Path) -> None:
    """Links between characters, as many as the translation has; the same characters as JSON and for what one brings."""
    wanted = ("--model", tiny_folder, "--level", "characters")
    text, links = nmt("translate", *TO_ENGLISH, *wanted, "--alignments", "pharaoh", stdin="Der Hund.\n").stdout.split(
        "\t"
    )
    score = ("score", "--source", "de", "--target", "en", "--json", *wanted)
    alignment = json.loads(nmt(*score, stdin=f"Der Hund.\t{text}\n").stdout)["alignment"]

    assert len(links.split()) == len("".join(text.split()))
    assert "".join(unit["text"] for unit in alignment["source"]) == "DerHund."
    assert "".join(unit["text"] for unit in alignment["target"]) == "".join(text.split())


def test_translate_names_lines_with_little_confidence(tiny_folder: Path) -> None:
    """On standard error, by number; standard output stays as it is."""
    arguments = ("translate", *TO_ENGLISH, "--model", tiny_folder)
    plain, marked = (nmt(*arguments, *more, stdin="\nDer Hund.\n") for more in ((), ("--min-confidence", 0.9)))

    assert marked.stdout == plain.stdout
    assert plain.stderr == ""
    assert "line 2: low confidence, 0." in marked.stderr


@pytest.mark.parametrize(
    ("command", "line"),
    [(("translate", *TO_ENGLISH, "--alignments", "json"), "Der Hund.\n"), (SCORE_JSON, "Der Hund.\tthe dog\n")],
    ids=["translate", "score"],
)
def test_json_warns_of_little_confidence(tiny_folder: Path, command: tuple[object, ...], line: str) -> None:
    """As standard error does."""
    done = nmt(*command, "--model", tiny_folder, "--min-confidence", 0.9, stdin=line)
    row = json.loads(done.stdout)
    (own,) = row.get("hypotheses", [row])

    assert "low_confidence" in own["quality"]["warnings"]
    assert "line 1: low confidence, 0." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("translate", "--target", "xx"), "a\n", "error: no translation into 'xx'"),
        (("translate", "--target", "en", "--beam-size", "99"), "", "error: options: beam_size is 99"),
        (("translate", "--target", "en", "--model", "nowhere"), "", "error: nowhere is not there; a model is a folder"),
        (
            ("translate", "--target", "en", "--set", "glossary={Tür='door'}"),
            "",
            "error: --set glossary is no table or list of TOML (Expected ",
        ),
        (
            ("evaluate", "nowhere.tsv", "--source", "de", "--target", "en"),
            "",
            "nowhere.tsv is not there; check the path",
        ),
        (
            ("evaluate", "x.tsv", "--source", "de", "--target", "en", "--report", "nowhere/x.html"),
            "",
            "error: nowhere/x.html cannot be written: there is no folder nowhere; make it first",
        ),
        (
            ("evaluate", "x.tsv", "--source", "de", "--target", "en", "--report", "/"),
            "",
            "error: / cannot be written: it is a folder; name a file in it",
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


@pytest.fixture(scope="module")
def run(recipe: Path) -> Path:
    """A run of a dozen updates, from its start to the model folder."""
    folder, short = recipe.parent / "run [old]", ("--set", "updates=12", "--set", "validation.every=6")
    train = ("train", recipe, "--output", folder, *short)
    assert "update 12: dev loss" in nmt(*train).stderr
    again = nmt(*train).stderr
    assert "already finished at update 12; nothing was trained. Raise updates to go on" in again
    assert f"delete {folder / 'model'} to have the model chosen" in again
    assert "the model is in" in again
    return folder


def test_a_run_writes_what_it_did_and_a_model_with_a_card(run: Path) -> None:
    """Log, samples, TensorBoard, settings; both directions; the scores of the test sets."""
    kinds = [json.loads(line)["kind"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert kinds == ["training", "validation"] * 2 + ["end"] * 2
    assert (run / "samples.txt").read_text().count("== update") == 2
    assert list((run / "tensorboard").iterdir())
    assert json.loads((run / "config.json").read_text())["updates"] == 12
    card = (run / "model" / "README.md").read_text()
    assert "Made up for a test." in card
    assert "| test | yy-xx |" in card
    assert "tok:none" in card
    description = ModelFolder.load(run / "model").description
    assert description.directions == [("xx", "yy"), ("yy", "xx")]
    assert description.version == "2026-11"
    assert "Version 2026-11. Translates xx to yy" in card


def test_evaluate_scores_a_model_and_writes_a_report(run: Path, tmp_path: Path) -> None:
    """Three metrics with intervals and signatures as JSON; one HTML file that needs no network."""
    test, report = run.parent / "data" / "test.xx-yy.tsv", tmp_path / "report.html"
    options = ("--source", "xx", "--target", "yy", "--model", run / "model", "--tokenize", "intl", "--json")
    summary = json.loads(nmt("evaluate", test, *options, "--report", report).stdout)

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


def test_evaluate_asks_a_service_for_less_where_it_gives_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of texts at once, and of alignments in a reply; a single text that is too long for one goes without."""
    monkeypatch.setenv("NMT_MAX_TEXTS", "2")
    monkeypatch.setenv("NMT_MAX_WEIGHTS", "40")
    short, long = "Ein Hund schläft.\tA dog is sleeping.\n", "Wo ist Tom, und wo sind die Hunde?\tWhere is Tom?\n"
    (tmp_path / "t.tsv").write_text(3 * short + long, encoding="utf-8")
    arguments = ("evaluate", tmp_path / "t.tsv", "--source", "de", "--target", "en", "--json")
    with serving(tmp_path / "log.txt") as service:
        there = nmt(*arguments, "--report", tmp_path / "there.html", "--url", service.url)
    here = nmt(*arguments, "--report", tmp_path / "here.html")

    assert json.loads(there.stdout)["bleu"] == json.loads(here.stdout)["bleu"]
    drawn = [(tmp_path / name).read_text().count('<th scope="row">') for name in ("there.html", "here.html")]
    assert 0 < drawn[0] < drawn[1]


def test_a_service_and_a_model_of_ones_own_are_not_evaluated_at_once(tiny_folder: Path, tmp_path: Path) -> None:
    """Else one would read the scores of the one as those of the other; what the environment says is no such wish."""
    (tmp_path / "t.tsv").write_text("Ein Hund.\tA dog.\n", encoding="utf-8")
    arguments = ("evaluate", tmp_path / "t.tsv", "--source", "de", "--target", "en", "--url", "http://127.0.0.1:9")
    refused = nmt(*arguments, "--model", tiny_folder, "--precision", "int8", status=2).stderr

    assert "--url asks a service, which has its model already; leave out --url, or --model, --precision" in refused
    assert "does not answer" in nmt(*arguments, status=2).stderr


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


def test_a_run_instead_of_its_model_is_explained(run: Path) -> None:
    """In one line, before the service says that it starts."""
    for command in (("serve", "--port", 0), ("translate", "--target", "yy")):
        refused = nmt(*command, "--model", run, status=2).stderr

        assert refused.startswith(f"error: {run} has no SHA256SUMS: it is no model folder")
        assert refused.endswith(f"; did you mean {run / 'model'}?\n")


def test_settings_that_cannot_be_read_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, whether it is the value or its form."""
    for name, value, message in (
        (
            "NMT_MODELS",
            "mine",
            "NMT_MODELS is not valid JSON: Expecting value: line 1 column 1 (char 0); want",
        ),
        ("NMT_HOST", "", "settings (NMT_… variables and options): host is '': String should have at least 1 character"),
        ("NMT_HOST", "192.0.2.1", "192.0.2.1:8000 cannot be listened on: Cannot assign requested address; choose"),
        ("NMT_PORT", "80000", "settings (NMT_… variables and options): port is '80000': Input should be less than or"),
    ):
        with monkeypatch.context() as environment:
            environment.setenv(name, value)
            assert nmt("serve", status=2).stderr.startswith(f"error: {message}")


def test_two_models_of_one_name_are_not_served(run: Path, tmp_path: Path) -> None:
    """Requests name the model that they want."""
    copy = tmp_path / "copy"
    shutil.copytree(run / "model", copy)
    refused = nmt("serve", "--port", 0, "--model", run / "model", "--model", copy, status=2).stderr

    assert refused.startswith(f"error: the models in {run / 'model'} and {copy} are both named")
    assert refused.endswith(f"give one of them another name: NAME={copy}\n")


def test_a_model_that_is_not_there_is_explained(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(ModelFolderError, match="is not there; a model is a folder, made by `nmt train`"):
        ModelFolder.load(tmp_path / "none")
