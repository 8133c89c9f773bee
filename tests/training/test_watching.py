"""What a run shows while it learns, and how runs are compared."""

import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from small_run import small_run
from tasks import learn, letter_tokenizer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from nmt.alignment import Alignment
from nmt.config import ModelConfig
from nmt.errors import DataError
from nmt.model.cells import BidirectionalLayer, LSTMLayer, reversal
from nmt.model.seq2seq import Seq2Seq
from nmt.scoring.metrics import MetricScore
from training.gates import Saturation
from training.loggers import JsonLines, TensorBoard, UpdateReport
from training.run_state import Progress
from training.runs import Run, compare, render, runs
from training.terminal import Terminal
from training.validation import Sample, ValidationResult


def gates_by_hand(layer: LSTMLayer, inputs: torch.Tensor) -> float:
    """The share of stuck gates, step by step as the formulas say, from a zero state."""
    input_weights, recurrent_weights, *biases = layer.lstm.parameters()
    hidden = cell = torch.zeros(len(inputs), layer.lstm.hidden_size)
    stuck = seen = 0
    for position in range(inputs.size(1)):
        i, f, g, o = (inputs[:, position] @ input_weights.T + hidden @ recurrent_weights.T + sum(biases)).chunk(
            4, dim=-1
        )
        for gate in map(torch.sigmoid, (i, f, o)):
            stuck += int(((gate < 0.05) | (gate > 0.95)).sum())
            seen += gate.numel()
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
    return stuck / seen


@torch.inference_mode()
def test_saturation_is_what_the_formulas_say() -> None:
    """Whole sequences and single steps count the same gates, and afterwards the layer is as before."""
    torch.manual_seed(0)
    layer, inputs, zeros = LSTMLayer(3, 5), 9 * torch.randn(2, 7, 3), torch.zeros(2, 5)
    whole, steps = Saturation(), Saturation()
    with whole.watching(nn.ModuleDict({"x": layer})):
        layer(inputs, zeros, zeros)
    hidden = cell = zeros
    with steps.watching(nn.ModuleDict({"x": layer})):
        for position in range(7):
            hidden, cell = layer.step(inputs[:, position], hidden, cell)
    layer(inputs, zeros, zeros)

    expected = gates_by_hand(layer, inputs)
    assert 0.1 < expected < 0.9
    assert whole.shares == steps.shares == {"x": pytest.approx(expected)}
    assert "step" not in vars(layer)


@torch.inference_mode()
def test_saturation_of_both_directions_of_an_encoder_layer() -> None:
    """The second direction reads the sentence backwards."""
    torch.manual_seed(0)
    layer, inputs = BidirectionalLayer(3, 5), 9 * torch.randn(2, 7, 3)
    gates = Saturation()
    with gates.watching(nn.ModuleDict({"x": layer})):
        layer(inputs, reversal(torch.tensor([7, 7]), 7))

    assert gates.shares == {
        "x.left_to_right": pytest.approx(gates_by_hand(layer.left_to_right, inputs)),
        "x.right_to_left": pytest.approx(gates_by_hand(layer.right_to_left, inputs.flip(1))),
    }
    assert len(set(gates.shares.values())) == 2


@pytest.mark.parametrize("wiring", ["deep", "input_feeding", "conditional"])
@torch.inference_mode()
def test_every_layer_of_every_wiring_is_seen(wiring: str) -> None:
    """Encoder and decoder; biases that push all gates open show as 1."""
    shape = {"source_vocabulary": 9, "target_vocabulary": 9, "embedding_size": 4, "encoder_size": 4, "decoder_size": 8}
    model = Seq2Seq(ModelConfig.model_validate({**shape, "attention_size": 4, "wiring": wiring})).eval()
    for layer in model.modules():
        if isinstance(layer, LSTMLayer):
            layer.lstm.bias_ih_l0.fill_(50.0)
    gates = Saturation()
    with gates.watching(model):
        model(torch.tensor([[4, 5, 3]]), torch.tensor([3]), torch.tensor([[2, 4]]))

    assert gates.shares == {name: 1.0 for name, m in model.named_modules() if isinstance(m, LSTMLayer)}


def two_directions(samples: int) -> ValidationResult:
    """A validation of two directions, with long sentences."""
    names, scores = ("de-en", "en-de"), {name: MetricScore(12.5, "signature") for name in ("bleu", "chrf")}
    alignment = Alignment("words", [], [], torch.zeros(0, 0).numpy())
    own = [Sample("ein Hund " * 9, "a dog " * 9, f"the dog {i} " * 9, alignment) for i in range(samples)]
    return ValidationResult(2.5, dict.fromkeys(names, scores), dict.fromkeys(names, own))


def last_frame(*, watch: bool, samples: int) -> list[str]:
    """What a terminal of 80 columns and 24 lines shows after a validation of two directions and an update."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, height=24)
    shown = Terminal(20_000, watch=watch, every=1, console=console)
    shown.validation(Progress(update=11_999), two_directions(samples))
    shown.update(Progress(update=12_000, skipped_updates=3), REPORT)
    shown.close(Progress(update=12_000), "updates")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    return text[text.rindex("12000/20000") :].splitlines()


def result(translation: str = "a [b] dog", bleu: float = 12.5) -> ValidationResult:
    """A validation of one direction with one sample."""
    sample = Sample("ein Hund", "a dog", translation, Alignment("words", [], [], torch.zeros(0, 0).numpy()))
    scores = {name: MetricScore(bleu, "signature") for name in ("bleu", "chrf")}
    return ValidationResult(2.5, {"de-en": scores}, {"de-en": [sample]}, {"encoder.layers.0": 0.25})


REPORT = UpdateReport(loss=3.0, likelihood=2.9, gradient_norm=1.0, learning_rate=0.1, pieces=100, finite=True)


@pytest.mark.parametrize("terminal", [True, False])
def test_watching_shows_the_samples_and_the_bar_what_one_wants_to_know(terminal: bool) -> None:
    """In a terminal and in a log: loss, speed, dev scores; with `watch`, source, translation and reference."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=160)
    shown = Terminal(10, watch=True, every=1, console=console)
    shown.validation(Progress(update=1), result())
    for update in range(2, 60):
        shown.update(Progress(update=update), REPORT)
    shown.close(Progress(update=60), "updates")

    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    for part in ("ein Hund", "a [b] dog", "a dog", "dev loss 2.500", "de-en BLEU 12.5", "loss 3.000", "pieces/s"):
        assert part in text
    assert ("/10 updates" in text) == terminal


def test_skipped_updates_stand_beside_the_bar() -> None:
    """Once there are some."""
    screen = io.StringIO()
    shown = Terminal(10, every=1, console=Console(file=screen, force_terminal=True, width=160))
    shown.update(Progress(update=1), REPORT)
    shown._live.refresh()
    assert "skipped" not in screen.getvalue()

    shown.update(Progress(update=2, skipped_updates=1), REPORT)
    shown.close(Progress(update=2), "updates")
    assert "pieces/s · 1 skipped" in screen.getvalue()


def test_a_terminal_of_80_columns_has_room_for_bar_time_left_loss_and_the_scores_of_two_directions() -> None:
    """The scores on a line of their own, so that the bar keeps its place."""
    bar, *below = last_frame(watch=False, samples=4)

    assert re.fullmatch(r"12000/20000 updates ━.*━ [-\d]:[-\d]{2}:[-\d]{2} loss 3.000 · .* pieces/s · 3 skipped ?", bar)
    assert " ".join(map(str.strip, below)) == "dev de-en BLEU 12.5 chrF 12.5, en-de BLEU 12.5 chrF 12.5"


def test_a_terminal_of_24_lines_shows_the_bar_and_as_many_samples_as_fit() -> None:
    """Whole ones, of both directions in turn; none is cut off, and nothing pushes the bar out."""
    bar, dev, *below = last_frame(watch=True, samples=4)

    assert re.search(r" [-\d]:[-\d]{2}:[-\d]{2} loss 3.000", bar)
    assert dev.startswith("dev de-en")
    assert [line.strip("─ ") for line in below if line.startswith("─")] == ["de-en", "en-de", "de-en", "en-de"]
    assert [word for word in ("the dog 0", "the dog 1", "the dog 2") if any(word in line for line in below)] == [
        "the dog 0",
        "the dog 1",
    ]
    assert len(below) == 4 * 5


def test_without_watching_there_are_no_samples() -> None:
    """Only the scores."""
    screen = io.StringIO()
    shown = Terminal(10, console=Console(file=screen, width=160))
    shown.validation(Progress(update=1), result())
    shown.close(Progress(update=1), "updates")

    assert "ein Hund" not in screen.getvalue()
    assert "BLEU 12.5" in screen.getvalue()


def test_the_terminal_is_left_alone_until_there_is_something_to_see() -> None:
    """What fails before the first update finds it as it was."""
    screen = io.StringIO()
    shown = Terminal(10, console=Console(file=screen, force_terminal=True, width=160))
    assert screen.getvalue() == ""

    shown.update(Progress(update=1), REPORT)
    shown.close(Progress(update=1), "updates")
    assert "/10 updates" in screen.getvalue()


def test_tensorboard_gets_curves_and_pictures(tmp_path: Path) -> None:
    """Read back with its own reader: of the training, of the dev set, of stuck gates, and one of attention."""
    _, validated = learn(tmp_path, letter_tokenizer(), 50, (TensorBoard(tmp_path / "tensorboard"),))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    curves = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    pictures = {tag: events.Images(tag) for tag in events.Tags()["images"]}

    training = ("loss", "likelihood", "pieces_per_second", "learning_rate", "gradient_norm")
    dev = {"loss": validated.loss} | {
        f"{direction}/{name}": score.score for direction, own in validated.scores.items() for name, score in own.items()
    }
    expected = {f"dev/{name}": value for name, value in dev.items()}
    expected |= {f"gates/{layer}": share for layer, share in validated.saturation.items()}
    assert len(validated.saturation) > 1
    assert curves.keys() == expected.keys() | {f"training/{name}" for name in training}
    assert {tag: curves[tag] for tag in expected} == {t: [(50, pytest.approx(v, 1e-4))] for t, v in expected.items()}
    assert all(step == 50 and value > 0 for name in training for step, value in curves[f"training/{name}"])
    assert pictures.keys() == {"attention/xx-cp", "attention/xx-rv"}
    assert all(own.encoded_image_string.startswith(b"\x89PNG") and own.width > 100 for (own,) in pictures.values())


def test_a_killed_run_is_taken_up_in_tensorboard_where_it_goes_on(tmp_path: Path) -> None:
    """What it had written of later updates is not shown twice; a start that does nothing hides nothing."""
    for first, last in ((1, 150), (101, 200)):
        log = TensorBoard(tmp_path)
        for update in range(first, last + 1):
            log.update(Progress(update=update), REPORT)
        log.close(Progress(update=last), None)
    TensorBoard(tmp_path).close(Progress(update=200), "updates")
    events = EventAccumulator(str(tmp_path)).Reload()

    assert [event.step for event in events.Scalars("training/loss")] == [50, 100, 150, 200]


def test_no_update_is_left_out_of_the_log(tmp_path: Path) -> None:
    """However often a run is validated, and wherever it ends; windows without an update leave no line."""
    log, screen = JsonLines(tmp_path / "log.jsonl"), io.StringIO()
    shown = Terminal(100, console=Console(file=screen, width=80))
    for logger in (log, shown):
        for update in range(1, 56):
            logger.update(Progress(update=update), REPORT)
            if update in (20, 40):
                logger.validation(Progress(update=update), two_directions(1))
        logger.close(Progress(update=55), "updates")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]

    assert [line["update"] for line in lines if line["kind"] == "training"] == [20, 40, 55]
    assert [line["kind"] for line in lines][-2:] == ["training", "end"]
    trained = [line for line in screen.getvalue().splitlines() if "pieces/s" in line]
    assert [line.partition(" · loss 3.000")[0] for line in trained] == ["update 20", "update 40", "update 55"]
    assert "update 20: dev loss 2.500 · dev de-en BLEU 12.5 chrF 12.5, en-de BLEU 12.5 chrF 12.5\n" in screen.getvalue()


def a_run(folder: Path, *updates: int, **settings: object) -> Path:
    """A folder with a log of these updates, in this order, each validated, and settings."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(settings))
    log = JsonLines(folder / "log.jsonl", every=1)
    for update in updates:
        log.update(Progress(update=update, epoch=1, seconds=60.0 * update), REPORT)
        log.validation(Progress(update=update, epoch=1, seconds=60.0 * update), result(bleu=10.0 * update))
    return folder


def test_runs_are_compared_by_figures_and_by_the_settings_that_differ(tmp_path: Path) -> None:
    """A setting that all share is not shown."""
    first = a_run(tmp_path / "a", 1, 2, seed=1, model={"decoder_size": 8})
    second = a_run(tmp_path / "b", 1, 2, 3, seed=1, model={"decoder_size": 16})
    table = dict(compare([Run.read(first), Run.read(second)]))

    assert table["updates"] == ["2", "3"]
    assert table["minutes"] == ["2.0", "3.0"]
    assert table["dev loss, best"] == ["2.500 at 1", "2.500 at 1"]
    assert table["de-en dev BLEU, best"] == ["20.0 at 2", "30.0 at 3"]
    assert table["model.decoder_size"] == ["8", "16"]
    assert "seed" not in table


def test_updates_that_were_made_twice_count_once(tmp_path: Path) -> None:
    """A killed run that went on from a checkpoint, and whose last line was cut short by the kill."""
    folder = a_run(tmp_path / "a", 1, 2, 3)
    with (folder / "log.jsonl").open("a") as file:
        file.write('{"kind": "train')
    log = JsonLines(folder / "log.jsonl", every=1)
    for update in (2, 3, 4):
        log.update(Progress(update=update), REPORT)
    run = Run.read(folder)

    assert [record["update"] for record in run.training] == [1, 2, 3, 4]


def shown_runs(monkeypatch: pytest.MonkeyPatch, width: int, terminal: bool, *folders: Path) -> str:
    """What `nmt runs` prints into a terminal of so many columns, or into a pipe."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=width, color_system=None)
    monkeypatch.setattr("training.runs.Console", lambda: console)
    runs(list(folders))
    return screen.getvalue()


@pytest.mark.parametrize(("terminal", "tables"), [(True, 3), (False, 1)])
def test_no_title_of_a_setting_is_cut_off_however_many_runs_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, tables: int
) -> None:
    """In a terminal those that find no room stand below, each under its name; a pipe has room for all."""
    folders = [
        a_run(tmp_path / f"run{i}", 1, 2, model={"decoder_size": i, "recurrent_dropout": i / 10}, data=f"{i}" * 50)
        for i in range(2)
    ]
    folders += [a_run(tmp_path / f"run{i}", 1, data="x", model={"decoder_size": i}) for i in range(2, 6)]
    shown = shown_runs(monkeypatch, 80, terminal, *folders)

    assert shown.count("│ model.recurrent_dropout") == shown.count("│ de-en dev BLEU, best") == tables
    assert all(shown.count(f"run{i} ") == 1 for i in range(6))
    assert "…" not in shown
    assert not terminal or max(map(len, shown.splitlines())) <= 80


def test_each_run_has_a_heading_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where two folders have one name, or the folder is the one that we are in."""
    (tmp_path / "x").mkdir()
    first, second = a_run(tmp_path / "mine", 1), a_run(tmp_path / "x" / "mine", 1)
    monkeypatch.chdir(a_run(tmp_path / "here", 1))
    heading = shown_runs(monkeypatch, 80, True, first, second, Path()).splitlines()[1]

    assert [cell.strip() for cell in heading.split("┃")[2:-1]] == ["mine (1)", "mine (2)", "here"]


def test_a_log_that_ends_or_goes_on_within_a_character_or_a_line_of_text_is_read(tmp_path: Path) -> None:
    """A kill cuts wherever it comes, and a sample may have a separator of lines within it."""
    folder = a_run(tmp_path / "a", 1)
    log = JsonLines(folder / "log.jsonl", every=1)
    log.validation(Progress(update=2), result("one\u2028two"))
    with (folder / "log.jsonl").open("ab") as file:
        file.write('{"kind": "validation", "samples": "ü'.encode()[:-1])

    assert [record["update"] for record in Run.read(folder).validations] == [1, 2]


def test_the_page_of_runs_needs_nothing_else(tmp_path: Path) -> None:
    """One file, curves drawn in it, names escaped, no address to fetch from."""
    compared = [Run.read(a_run(tmp_path / name, 1, 2, seed=i)) for i, name in enumerate(("<a>", "b"))]
    page = render(compared, compare(compared))

    assert page.count("<svg") == 6
    assert "&lt;a&gt;" in page
    assert "<a>" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page.replace('xmlns:xlink="http', ""))
    assert "<script" not in page


def test_any_name_of_a_run_stands_beside_its_curve(tmp_path: Path) -> None:
    """Also one that begins as those that matplotlib hides, or that it would take for a formula."""
    compared = [Run.read(a_run(tmp_path / name, 1, 2)) for name in ("_base", "a$frac{$")]
    page = render(compared, compare(compared))

    assert all(page.count(name) > 6 for name in ("_base", "a$frac{$"))


def test_updates_that_were_all_skipped_have_no_loss(tmp_path: Path) -> None:
    """None at all, rather than the best there is."""
    folder = a_run(tmp_path / "a", 1)
    log = JsonLines(folder / "log.jsonl")
    log.update(Progress(update=2, skipped_updates=1), replace(REPORT, loss=math.nan, pieces=0, finite=False))
    log.close(Progress(update=2, skipped_updates=1), "error")
    run = Run.read(folder)

    assert [record["loss"] for record in run.training] == [3.0, None]
    assert dict(compare([run]))["training loss, last"] == ["3.000"]
    assert "<svg" in render([run], compare([run]))


def test_a_folder_that_is_no_run_is_explained(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(DataError, match="is no folder of a run, which `nmt train --output` makes"):
        Run.read(tmp_path)


def test_folders_that_are_no_runs_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As one of a run that was refused before it began; unless there is no other."""
    (tmp_path / "b").mkdir()
    runs([a_run(tmp_path / "a", 1), tmp_path / "b"])
    said = capsys.readouterr()
    assert f"left out: {tmp_path / 'b'} is no folder of a run" in said.err
    assert "dev loss, best" in said.out

    with pytest.raises(DataError, match="is no folder of a run"):
        runs([tmp_path / "b", tmp_path / "b"])


def test_a_real_run_can_be_read(tmp_path: Path) -> None:
    """One that was never validated for its translations has no scores, and that is no error."""
    small_run(tmp_path).run()
    (tmp_path / "config.json").write_text("{}")
    run = Run.read(tmp_path)

    assert len(run.training) == 12
    assert dict(compare([run]))["updates"] == ["12"]
