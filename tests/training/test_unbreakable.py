"""What a run promises when something goes wrong: nothing that was saved is lost, and no number is another one."""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from forked_runs import INTERRUPTED, Runs, forked_runs
from safetensors.torch import load_file
from small_run import small_run
from torch import Tensor

from nmt.errors import ConfigError, Diverged, SaveError, TrainingError
from nmt.package import ModelFolder
from training.averaging import Checkpoints
from training.disk import locked, writes_explained
from training.report.html import check_writable, write_report
from training.run_state import STATE, Progress, load_progress, load_state, save_tensors
from training.trainer import Work

QUICK = {"updates": 4, "warmup_updates": 1, "decay_updates": 1, "save_every": 3}
"""A run with saves of its own, at a validation and at the end."""


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    """Small runs in processes of their own."""
    with forked_runs() as running:
        yield running


def state(folder: Path) -> tuple[dict[str, Tensor], Progress]:
    """The last checkpoint, without what the clock says."""
    tensors, progress = load_state(folder / "checkpoints" / "last.safetensors")
    progress.seconds = 0
    return tensors, progress


def losses(folder: Path) -> dict[int, float]:
    """The loss of each update; of those that were made twice, the later."""
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return {line["update"]: line["loss"] for line in lines if line["kind"] == "training"}


def assert_same(folder: Path, other: Path) -> None:
    """Weights, optimizer, random states, progress and all losses are equal, bit for bit."""
    (tensors, progress), (others, other_progress) = state(folder), state(other)

    assert progress == other_progress
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())
    assert losses(folder) == losses(other)


def test_killed_at_any_write_flush_or_rename_a_run_resumes_from_a_whole_checkpoint(runs: Runs, tmp_path: Path) -> None:
    """In the middle of each write and before each other operation in turn, until a run gets through."""
    runs(tmp_path / "whole", **QUICK)
    killed = 0
    while runs(folder := tmp_path / str(killed), **QUICK, kill_at_operation=killed + 1) != [0]:
        killed += 1

        assert runs(folder, **QUICK) == [0]
        assert_same(folder, tmp_path / "whole")
        assert not [path for path in (folder / "checkpoints").iterdir() if path.name.endswith(".partial")]
    assert killed == 16  # four files, each with a write, a flush, a rename and a flush of the folder


@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_at_random_moments_while_saving(runs: Runs, tmp_path: Path, kills: int) -> None:
    """A run that does little but save, killed again and again, goes on each time and ends as it would have."""
    rng, settings = random.Random(kills), {"size": 64, "save_every": 1, "updates": 50 * kills}
    settings["validation"] = {"every": 50 * kills, "metric": "loss"}
    runs(tmp_path / "whole", **settings)
    runs(tmp_path / "killed", **settings, stop_at_batch=1)
    reached = [1]
    for _ in range(kills):
        assert runs(tmp_path / "killed", **settings, kill_after=rng.uniform(0, 0.2)) == [-signal.SIGKILL]
        reached.append(load_progress(tmp_path / "killed" / STATE).update)

    assert reached == sorted(reached)
    assert runs(tmp_path / "killed", **settings) == [0]
    assert_same(tmp_path / "killed", tmp_path / "whole")


SAMPLING = {"subword_sampling": 0.4, "batch_pieces": 60}
OPTIONS = {
    "precision": "bfloat16",
    "consistency": 1.0,
    "scheduled_sampling": 0.3,
    "model_settings": {"word_dropout": 0.2, "recurrent_dropout": 0.2, "gate_norm": True},
}
"""What computes in another way, or draws random numbers of its own."""

CASES = [
    ({"accumulate": 3}, (1, 5, 19, 30)),
    ({"threads": 2, "accumulate": 2, **SAMPLING}, (3, 16)),
    ({"accumulate": 2, "ranks": 2, "ema_decay": 0.9}, (3,)),
    ({"accumulate": 2, **OPTIONS}, (3,)),
]
ALL_CASES = [
    ({"accumulate": 3, "ema_decay": 0.9, **SAMPLING, **how}, random.Random(0).sample(range(1, 36), 20))
    for how in ({}, {"threads": 2}, {"ranks": 2}, OPTIONS)
]
ALL_CASES += [({"accumulate": 3, name: value}, (1, 8, 17, 26, 33)) for name, value in OPTIONS.items()]


@pytest.mark.parametrize(
    ("settings", "stops"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in ALL_CASES)],
    ids=str,
)
def test_a_run_that_was_stopped_ends_as_if_it_never_had(
    runs: Runs, tmp_path: Path, settings: dict[str, int], stops: tuple[int, ...]
) -> None:
    """SIGTERM in the middle of any batch, in the middle of an epoch or an accumulation, then the same command again."""
    runs(tmp_path / "whole", **settings)
    count = settings.get("ranks", 1)
    for stop in stops:
        folder = tmp_path / str(stop)

        assert runs(folder, **settings, stop_at_batch=stop) == [INTERRUPTED] * count
        assert state(folder)[1].update == -(-stop // settings.get("accumulate", 1))
        assert runs(folder, **settings) == [0] * count
        assert_same(folder, tmp_path / "whole")


def test_a_request_to_stop_ends_a_validation_at_once_and_it_is_made_up_for(runs: Runs, tmp_path: Path) -> None:
    """The state before it is saved; the validation is the first thing that the next run does."""
    runs(tmp_path / "whole")

    assert runs(tmp_path / "cut", endless_validation=True) == [INTERRUPTED]
    assert (state(tmp_path / "cut")[1].update, state(tmp_path / "cut")[1].validated_update) == (4, 0)
    assert runs(tmp_path / "cut") == [0]
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_a_second_signal_ends_the_process_at_once(runs: Runs, tmp_path: Path) -> None:
    """By the signal itself; the checkpoint from before stays."""
    assert runs(tmp_path, stop_at_batch=8, signals=2) == [-15]
    assert state(tmp_path)[1].update == 5


def test_a_finished_run_makes_no_further_update(tmp_path: Path) -> None:
    """The same command again only says that all is done."""
    first, second = small_run(tmp_path), small_run(tmp_path)
    first.run()
    second.run()

    assert second.progress.update == 12
    assert second.progress.kept == first.progress.kept


def test_accumulated_batches_make_the_update_of_one_large_batch(tmp_path: Path) -> None:
    """Loss, gradient and weights are those of all the rows at once: the pieces of all parts together divide the sum."""
    no_dropout = {"embedding_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0}
    parts, whole = (small_run(tmp_path, model_settings=no_dropout) for _ in range(2))
    batches = list(parts.batches.epoch(1, 0))
    sizes = {len(rows) for rows in batches}
    gradients = []
    for run in (parts, whole):
        run.optimizer.register_step_pre_hook(
            lambda optimizer, *_: gradients.append([p.grad.clone() for p in optimizer.param_groups[0]["params"]])
        )
    first = parts.update([Work(0, number, rows) for number, rows in enumerate(batches)])
    second = whole.update([Work(0, 0, np.concatenate(batches))])

    assert len(sizes) > 1, "batches of one size would not show a mean of means"
    assert (first.loss, first.pieces) == (pytest.approx(second.loss, rel=1e-6), second.pieces)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))


def test_two_ranks_make_the_update_of_one_and_see_all_rows_once(runs: Runs, tmp_path: Path) -> None:
    """The gradient that the optimizer gets is the same to 1e-6, and no rank sees a row of the other."""
    no_dropout = {"embedding_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0}
    job = {"updates": 6, "model_settings": no_dropout, "record": True, "warmup_updates": 1}
    for count in (1, 2):
        runs(tmp_path / str(count), ranks=count, **job)
    one, *two = [load_file(tmp_path / where / f"gradients-{rank}.safetensors") for where, rank in ("10", "20", "21")]
    alone, *shares = [json.loads((tmp_path / where / f"rows-{r}.json").read_text()) for where, r in ("10", "20", "21")]

    for name, gradient in one.items():
        assert torch.allclose(gradient, two[0][name], rtol=0, atol=1e-6), name
        assert torch.equal(two[0][name], two[1][name]), name
    assert [sorted(a + b) for a, b in zip(*shares, strict=True)] == [sorted(rows) for rows in alone]


def test_a_rank_that_dies_ends_the_run_and_all_ranks_resume(runs: Runs, tmp_path: Path) -> None:
    """The first rank is killed in the middle of a write; the other ends as well, and both go on from what was saved."""
    runs(tmp_path / "whole", ranks=2)
    statuses = runs(tmp_path / "killed", ranks=2, kill_at_operation=5)

    assert statuses[0] == -9
    assert statuses[1] != 0
    assert runs(tmp_path / "killed", ranks=2) == [0, 0]
    assert_same(tmp_path / "killed", tmp_path / "whole")


def test_a_file_that_may_not_grow_leaves_the_old_checkpoint(runs: Runs, tmp_path: Path) -> None:
    """A limit of the system on the size of files, met in the middle of a save: exit status 4, and the run goes on."""
    runs(tmp_path / "whole")
    runs(tmp_path / "cut", stop_at_batch=5)
    before = (tmp_path / "cut/checkpoints/last.safetensors").read_bytes()

    assert runs(tmp_path / "cut", largest_file=len(before) - 100) == [SaveError.exit_status]
    assert (tmp_path / "cut/checkpoints/last.safetensors").read_bytes() == before
    assert runs(tmp_path / "cut") == [0]
    assert_same(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("/dev/full", "No space left on device; free some space, then give the same command again: it goes on from wh"),
        (
            "/proc/self/mem",
            "Input/output error; check the disk, then give the same command again: it goes on from what",
        ),
    ],
)
def test_a_device_that_fails_leaves_the_old_checkpoint(tmp_path: Path, device: str, message: str) -> None:
    """The system's own errors: a device that is always full, and memory at an address that nobody has."""
    small_run(tmp_path, updates=5, warmup_updates=1, decay_updates=1).run()
    before = (tmp_path / "checkpoints/last.safetensors").read_bytes()
    (tmp_path / "checkpoints/.last.safetensors.partial").symlink_to(device)

    with pytest.raises(SaveError, match=message), writes_explained(tmp_path, goes_on=True):
        small_run(tmp_path).run()
    assert (tmp_path / "checkpoints/last.safetensors").read_bytes() == before
    assert small_run(tmp_path).run().update == 12, "the way is free again"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


READ_ONLY = "Read-only file system; choose a place that can be written, where it begins anew, or make this one so$"


def test_a_disk_that_is_full_and_then_read_only(small_disk: Path) -> None:
    """Whatever is written when it happens, log or checkpoint: an error that says what to do, and the run resumes."""
    folder, settings = small_disk / "run", {"size": 4, "save_every": 2}
    small_run(folder, **settings, updates=3, warmup_updates=1, decay_updates=1).run()
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(300_000))

    with pytest.raises(SaveError, match=r"No space left on device.* free some space"), writes_explained(folder):
        small_run(folder, **settings).run()
    assert state(folder)[1].update == 3
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(SaveError, match=READ_ONLY), writes_explained(folder, goes_on=True):
        small_run(folder, **settings).run()
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    filler.unlink()
    assert small_run(folder, **settings).run().update == 12


def test_a_report_is_not_begun_where_it_cannot_be_written(small_disk: Path) -> None:
    """The disk is looked at before the work; what happens to it later is an error that says what to do."""
    (small_disk / "old.html").touch()
    check_writable(small_disk / "new.html")
    with pytest.raises(SaveError, match=r"full could not be .* free some space, then give the same command again$"):
        write_report(Path("/dev/full"), "x")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    for name, place in (("new.html", small_disk), ("old.html", small_disk / "old.html")):
        with pytest.raises(ConfigError, match=rf"{name} cannot be written: {place} is read-only for you; choose anoth"):
            check_writable(small_disk / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    """The message names the way out."""
    tmp_path.chmod(0o500)

    with pytest.raises(SaveError, match="make the folder writable for you"), writes_explained(tmp_path):
        small_run(tmp_path / "run").run()


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    """The message names the way out."""
    (tmp_path / "run").write_text("mine")

    refused = pytest.raises(SaveError, match="choose an --output that is a folder, or is not there yet")
    with refused, writes_explained(tmp_path / "run"), locked(tmp_path / "run"):
        pass
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:100])])
def test_a_kept_checkpoint_that_is_gone_or_cut_short(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    """Named, and not taken for a disk that cannot be written."""
    run = small_run(tmp_path)
    run.run()
    damage(run.checkpoints.path(run.progress.best_update))

    with pytest.raises(TrainingError, match=r"the checkpoint .*update-\d+.safetensors is not there as a whole"):
        run.checkpoints.load(run.progress.best_update)


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    """Until the first has ended."""
    refused = pytest.raises(TrainingError, match=r"another process works in .*; wait for it, or choose another")
    with locked(tmp_path), refused, locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_loss_that_is_not_finite_changes_no_weight_and_ten_in_a_row_stop_the_run(tmp_path: Path) -> None:
    """The error says what to do; no checkpoint is written."""
    run = small_run(
        tmp_path, poison=float("nan"), updates=50, save_every=50, validation={"every": 50, "metric": "loss"}
    )
    before = {name: value.clone() for name, value in run.model.weights().items()}

    with pytest.raises(Diverged, match="not finite in 10 updates in a row, up to update 10; lower learning_rate"):
        run.run()
    assert run.progress.skipped_updates == 10
    assert all(torch.equal(v, before[n]) or torch.isnan(v).all() for n, v in run.model.weights().items())
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_gradient_that_is_not_finite_skips_the_update_and_is_counted(tmp_path: Path, bad: float) -> None:
    """Once, in the third update: the optimizer makes no step then, and the run goes on."""
    run, seen = small_run(tmp_path), []
    run.model.decoder.readout.bias.register_hook(lambda gradient: gradient * (bad if run.progress.update == 3 else 1))
    run.optimizer.register_step_post_hook(lambda *_: seen.append(run.progress.update))
    progress = run.run()

    assert seen == [update for update in range(1, 13) if update != 3]
    assert (progress.skipped_updates, progress.skips_in_a_row) == (1, 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_log_counts_skipped_updates_and_is_json(tmp_path: Path, bad: float) -> None:
    """With null for a norm that is no number; others than Python read no NaN."""
    run, strange = small_run(tmp_path), list[str]()
    run.model.decoder.readout.bias.register_hook(lambda gradient: gradient * (bad if run.progress.update == 3 else 1))
    run.run()
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    records = [json.loads(line, parse_constant=strange.append) for line in lines]
    training = [record for record in records if record["kind"] == "training"]

    assert strange == []
    assert [record["skipped_updates"] for record in training] == [0, 0, *[1] * 10]
    assert [record["update"] for record in training if record["gradient_norm"] is None] == [3]


def test_a_checkpoint_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    """A single value, in any tensor of weights or optimizer, at any of a hundred places."""
    run, rng = small_run(tmp_path), random.Random(0)
    run.run()
    before = (tmp_path / "checkpoints/last.safetensors").read_bytes()
    tensors = [*run.model.weights().values(), *(m["exp_avg"] for m in run.optimizer.state.values())]
    for _ in range(100):
        values = rng.choice(tensors).view(-1)
        place = rng.randrange(len(values))
        good = values[place].item()
        values[place] = rng.choice([float("nan"), float("inf"), float("-inf")])
        with pytest.raises(Diverged, match=r"is not finite \(1 of .* was not written; lower learning_rate"):
            run._save()
        values[place] = good

    assert (tmp_path / "checkpoints/last.safetensors").read_bytes() == before
    with pytest.raises(Diverged, match="x is not finite"):
        save_tensors(tmp_path / "other", {"x": torch.tensor([1.0, float("nan")])})
    assert not (tmp_path / "other").exists()


def test_what_a_checkpoint_names_is_there_wherever_the_run_was_killed(runs: Runs, tmp_path: Path) -> None:
    """At each write, fsync and rename of a run that validates, saves and deletes after every update."""
    settings = {"updates": 4, "warmup_updates": 1, "decay_updates": 1}
    settings |= {"validation": {"every": 1, "metric": "loss", "average": 1}}
    saved = 0
    for operation in itertools.count(1):
        folder = tmp_path / str(operation)
        ended = runs(folder, **settings, kill_at_operation=operation)
        if (folder / STATE).exists():
            saved += 1
            kept = Checkpoints(folder / "checkpoints", average=1)
            assert all(kept.path(update).exists() for update in state(folder)[1].kept)
        if ended == [0]:
            break

    assert saved > 8


@pytest.mark.parametrize(("how", "status"), [("kill_at_operation", -signal.SIGKILL), ("fail_at_operation", 4)])
def test_a_model_folder_that_is_replaced_is_whole_wherever_that_ends(
    runs: Runs, tmp_path: Path, tiny_folder: Path, how: str, status: int
) -> None:
    """A kill or a full disk at each write, flush, rename and deletion: the old or the new model loads, never none, and
    the same again brings the new one and leaves nothing beside it."""
    place = tmp_path / "run" / "model"
    place.parent.mkdir()
    old, new = ModelFolder.load(tiny_folder).sha256, tmp_path / "new"
    assert runs(new, copy_of=str(tiny_folder)) == [0]
    found = []
    for operation in itertools.count(1):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(tiny_folder, place)
        ended = runs(place, copy_of=str(tiny_folder), **{how: operation})
        found.append(ModelFolder.load(place).sha256)

        assert runs(place, copy_of=str(tiny_folder)) == [0]
        assert ModelFolder.load(place).sha256 == ModelFolder.load(new).sha256
        assert list(place.parent.iterdir()) == [place]
        if ended == [0]:
            break
        assert ended == [status]

    assert len(found) > 17
    assert found == [old] * found.count(old) + [ModelFolder.load(new).sha256] * (len(found) - found.count(old))
    assert found.count(old) == 16  # six files written, they and two folders flushed, and the two renames
