"""The parts of the training loop; test_unbreakable.py has what it promises when something goes wrong."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_run import V, small_run

from nmt.config import ModelConfig
from nmt.errors import ConfigError, TrainingError
from nmt.text.tokenizer import PAD
from training import ranks
from training.averaging import Checkpoints, MovingAverage, around
from training.batches import Batches
from training.config import TrainingConfig, read_recipe
from training.corpus.config import read_corpora
from training.device import choose_device, choose_precision
from training.disk import write_atomically
from training.identity import Given
from training.run_state import Progress, load_identity, load_state, save_state
from training.schedule import learning_rate
from training.stopping import StopRequest
from training.trainer import Work
from training.validation import ValidationResult, spread

sentences = st.lists(st.lists(st.integers(4, V - 1), min_size=1, max_size=9), min_size=1, max_size=40)


def test_the_log_has_training_validation_and_end(tmp_path: Path) -> None:
    """One JSON object a line."""
    small_run(tmp_path).run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]

    assert [line["kind"] for line in lines].count("validation") == 3
    assert lines[-1]["kind"] == "end"
    assert {"loss", "likelihood", "pieces_per_second", "gradient_norm", "learning_rate"} <= lines[0].keys()


def test_patience_ends_a_run(tmp_path: Path) -> None:
    """After `patience` validations without a better one."""
    run = small_run(tmp_path, updates=1000)
    run.validator.run = lambda model: ValidationResult(loss=float(run.progress.update))
    progress = run.run()

    assert progress.best_update == 4
    assert progress.validations_since_best == 10
    assert last_record(tmp_path)["reason"] == "patience"


def test_the_log_ends_with_why_the_run_ended(tmp_path: Path) -> None:
    """By its plan, on request, or by an error."""
    stop = StopRequest()
    planned, stopped, failed = (small_run(tmp_path / name) for name in ("planned", "stopped", "failed"))
    planned.run()
    stop.requested = True
    stopped.run(stop)
    failed.validator.run = lambda model: 1 / 0
    with pytest.raises(ZeroDivisionError):
        failed.run()

    reasons = [last_record(tmp_path / name)["reason"] for name in ("planned", "stopped", "failed")]
    assert reasons == ["updates", "signal", "error"]


def last_record(folder: Path) -> dict[str, object]:
    """Of the log of a run that has ended."""
    record = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    assert record["kind"] == "end"
    return record


def test_a_score_that_is_not_finite_is_never_the_best(tmp_path: Path) -> None:
    """Neither the first nor a later one; and one that an earlier version took for the best is beaten by any other."""
    nan, inf = float("nan"), float("inf")
    run, losses = small_run(tmp_path), iter([nan, 7.0, inf])
    run.validator.run = lambda model: ValidationResult(loss=next(losses))
    run.progress.best_score = nan
    progress = run.run()

    assert (progress.best_update, progress.best_score, progress.validations_since_best) == (8, -7.0, 1)


@given(sentences=sentences, budget=st.integers(5, 60), epoch=st.integers(0, 3))
def test_an_epoch_has_every_pair_once_and_keeps_the_budget(sentences: list[list[int]], budget: int, epoch: int) -> None:
    """Batches of several pairs stay within the budget on both sides; pairs over the limit are left out and counted."""
    targets = [sentence[::-1][: max(1, len(sentence) // 2)] for sentence in sentences]
    batches = Batches(sentences, targets, budget, max_pieces=7)
    epochs = list(batches.epoch(1, epoch))
    seen = sorted(row for rows in epochs for row in rows.tolist())

    assert seen == [i for i, sentence in enumerate(sentences) if len(sentence) <= 7]
    assert batches.left_out == len(sentences) - len(seen)
    for rows in epochs:
        batch = batches.batch(rows)
        assert len(rows) == 1 or max(batch.source.numel(), batch.target_out.numel()) <= budget


def test_epochs_differ_and_repeat_with_the_seed() -> None:
    """The order depends on seed and epoch, and on nothing else."""
    data = [[4] * (1 + i % 5) for i in range(200)]
    batches = Batches(data, data, 20, 50)
    first, again, other = (
        [rows.tolist() for rows in batches.epoch(seed, number)] for seed, number in ((1, 0), (1, 0), (1, 1))
    )

    assert first == again
    assert first != other


def test_batches_hold_the_pieces() -> None:
    """Targets shifted by one: what goes in begins with the start piece, what comes out ends as the sentence does."""
    batches = Batches([[5, 6, 3], [7, 3]], [[8, 3], [9, 10, 3]], 100, 50)
    batch = batches.batch(np.array([0, 1]))

    assert batch.source.tolist() == [[5, 6, 3], [7, 3, PAD]]
    assert batch.lengths.tolist() == [3, 2]
    assert batch.target_in.tolist() == [[2, 8, 3], [2, 9, 10]]
    assert batch.target_out.tolist() == [[8, 3, PAD], [9, 10, 3]]
    assert batch.target_pieces == 5


def test_padding_is_little() -> None:
    """Less than 5 % of the positions of both sides, on sentences as long and as unlike as those of image captions."""
    rng = np.random.default_rng(0)
    targets = np.clip(rng.gamma(8, 1.7, size=29_000), 3, 60)
    sources = np.clip(targets * rng.lognormal(0, 0.2, size=29_000), 3, 60)
    batches = Batches(*([[4] * int(n) for n in side] for side in (sources, targets)), 2000, 100)
    real = positions = 0
    for rows in batches.epoch(1, 0):
        batch = batches.batch(rows)
        real += int(batch.lengths.sum()) + batch.target_pieces
        positions += batch.source.numel() + batch.target_out.numel()

    assert 1 - real / positions < 0.05


def test_a_corpus_of_several_pools_is_whole_shuffled_and_sorted_within(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pair once; the first pool draws from the whole corpus; a batch has pairs of like length from all over it."""
    monkeypatch.setattr("training.batches._BLOCK", 8)
    monkeypatch.setattr("training.batches._POOL", 400)
    data = [[4] * (1 + i * 7 % 5) for i in range(4003)]
    batches = Batches(data, data, 100, max_pieces=4)
    epoch = list(batches.epoch(1, 0))

    assert sorted(np.concatenate(epoch)) == [i for i, row in enumerate(data) if len(row) <= 4]
    first_pool = np.concatenate(epoch[: len(epoch) // 10])
    assert first_pool.min() < 800
    assert first_pool.max() > 3200
    assert np.mean([np.ptp([len(data[i]) for i in rows]) for rows in epoch]) < 0.5
    assert np.mean([np.ptp(rows) for rows in epoch]) > 2000


def test_learning_rate_rises_stays_and_falls_to_zero() -> None:
    """A trapezoid."""
    config = TrainingConfig(data=Path(), updates=100, warmup_updates=10, decay_updates=50, learning_rate=1.0)
    rates = [learning_rate(config, update) for update in range(1, 102)]

    assert rates[0] == pytest.approx(0.1)
    assert set(rates[9:50]) == {1.0}
    assert rates == [*sorted(rates[:50]), *sorted(rates[50:], reverse=True)]
    assert rates[-1] == 0


def test_state_round_trip(tmp_path: Path) -> None:
    """Tensors, progress and what the run was begun with come back as they were."""
    progress, begun = Progress(update=3, epoch=1, kept=[1, 2], best_score=-1.5), {"seed": Given("1", "one")}
    save_state(tmp_path / "s", {"x": torch.arange(5), "t": torch.ones(3, 2).T}, progress, begun)
    tensors, restored = load_state(tmp_path / "s")

    assert restored == progress
    assert load_identity(tmp_path / "s") == begun
    assert load_identity(tmp_path / "none") == {}
    assert torch.equal(tensors["x"], torch.arange(5))
    assert torch.equal(tensors["t"], torch.ones(2, 3))


def test_a_damaged_checkpoint_is_explained(tmp_path: Path) -> None:
    """The message names the file and the way out."""
    (tmp_path / "s").write_bytes(b"nonsense")

    for load in (load_state, load_identity):
        with pytest.raises(TrainingError, match=r"checkpoint .* cannot be read .*; delete it to start anew"):
            load(tmp_path / "s")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever step fails, the file is the old one as a whole."""
    path = tmp_path / "f"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_the_mean_of_checkpoints_is_their_mean_and_what_is_out_of_reach_is_deleted(tmp_path: Path) -> None:
    """Two neighbours on each side of the best are enough for a mean of three; the newest stay as candidates."""
    run = small_run(tmp_path)
    checkpoints, progress = Checkpoints(tmp_path / "c", average=2), Progress()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / ".update-0000009.safetensors.partial").touch()
    for update, value in enumerate([1.0, 2.0, 3.0, 4.0, 5.0]):
        progress.update, progress.best_update = update, min(update, 1)
        run.model.decoder.readout.bias.data.fill_(value)
        checkpoints.add(run.model, progress)
    assert checkpoints.path(0).exists(), "a saved state may still name it"
    checkpoints.prune(progress)

    assert progress.kept == [1, 2, 3, 4]
    assert sorted((tmp_path / "c").iterdir()) == [checkpoints.path(update) for update in (1, 2, 3, 4)]
    assert checkpoints.mean([1, 4])["decoder.readout.bias"].unique().tolist() == [3.5]


def test_only_the_rank_that_saves_deletes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are at it before what it saves names the new checkpoints."""
    run = small_run(tmp_path)
    run.run()
    old = run.checkpoints.path(1)
    old.touch()
    run.progress.update, run.loggers = 13, []
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    monkeypatch.setattr(ranks, "from_first", lambda _: Progress(update=13, validated_update=13))
    run._validate()
    assert old.exists()

    monkeypatch.setattr(ranks, "rank", lambda: 0)
    run._validate()
    assert not old.exists()


def test_the_moving_average_is_the_weighted_mean_of_all_updates(tmp_path: Path) -> None:
    """After each update Σ decayᵗ⁻ⁱ wᵢ / Σ decayᵗ⁻ⁱ: nothing is left of the weights that the run began with."""
    model = small_run(tmp_path).model
    model.decoder.readout.bias.data.fill_(1e6)
    average, values = MovingAverage(model, 0.8), [3.0, -1.0, 0.5, 7.0]
    for update, value in enumerate(values, start=1):
        model.decoder.readout.bias.data.fill_(value)
        average.add(model, update)
        powers = [0.8 ** (update - i) for i in range(1, update + 1)]
        expected = sum(p * v for p, v in zip(powers, values, strict=False)) / sum(powers)

        assert average.model.decoder.readout.bias.unique().tolist() == [pytest.approx(expected)]


def test_the_moving_average_is_validated_and_kept_but_not_trained(tmp_path: Path) -> None:
    """The weights of the run are those of a run without; its checkpoints are the mean of them."""
    seen: list[torch.Tensor] = []
    plain = small_run(tmp_path / "plain", updates=6)
    plain.optimizer.register_step_post_hook(lambda *_: seen.append(plain.model.decoder.readout.weight.detach().clone()))
    plain.run()
    averaged = small_run(tmp_path / "ema", updates=6, ema_decay=0.5)
    averaged.run()
    powers = [0.5 ** (6 - i) for i in range(1, 7)]
    expected = sum(power * weight for power, weight in zip(powers, seen, strict=True)) / sum(powers)
    kept = averaged.checkpoints.load(6)

    assert all(torch.equal(own, averaged.model.weights()[name]) for name, own in plain.model.weights().items())
    assert torch.allclose(kept["decoder.readout.weight"], expected, atol=1e-6)
    averaged.model.load_weights(averaged.checkpoints.load(averaged.progress.best_update))
    assert averaged.progress.best_score == pytest.approx(-averaged.validator.run(averaged.model).loss)


def test_a_moving_average_that_begins_in_the_middle_of_a_run_begins_at_its_weights(tmp_path: Path) -> None:
    """A recipe may ask for it when the run goes on."""
    small_run(tmp_path, updates=6).run()
    run = small_run(tmp_path, updates=6, ema_decay=0.9)
    run._resume()

    assert run.judged is not run.model
    assert all(torch.equal(own, run.model.weights()[name]) for name, own in run.judged.weights().items())


def test_the_moving_average_counts_no_update_that_was_skipped(tmp_path: Path) -> None:
    """If the first one is, the second is where the average begins: no weight of the start is in it."""
    run = small_run(tmp_path, updates=2, decay_updates=0, ema_decay=0.9)
    bias = run.model.decoder.readout.bias
    bias.register_hook(lambda gradient: gradient * (float("nan") if run.progress.update == 1 else 1))
    run.run()

    assert run.progress.skipped_updates == 1
    assert all(torch.equal(own, run.model.weights()[name]) for name, own in run.judged.weights().items())


def test_around_takes_the_nearest_and_prefers_the_later() -> None:
    """At the borders it takes more from the other side."""
    assert around([1, 2, 3, 4, 5], best=3, count=3) == [2, 3, 4]
    assert around([1, 2, 3, 4, 5], best=3, count=2) == [3, 4]
    assert around([1, 2, 3], best=1, count=3) == [1, 2, 3]


def test_spread_takes_rows_from_the_whole_set() -> None:
    """Evenly, and never more than asked."""
    rows = [(str(i), ["x"]) for i in range(10)]

    assert [row[0] for row in spread(rows, 3)] == ["0", "3", "6"]
    assert len(spread(rows, 100)) == 10
    assert spread(range(999), 500)[-1] == 997


def test_recipes_read_and_can_be_overridden(tmp_path: Path) -> None:
    """`--set` reaches into tables; what is no TOML value is a string."""
    (tmp_path / "r.toml").write_text('data = "x"\nupdates = 9000\n[model]\ndecoder_size = 8\n')
    config = read_recipe(tmp_path / "r.toml", ["updates=8000", "model.decoder_size=16", "data=some/where"])

    assert (config.updates, config.model["decoder_size"], config.data) == (8000, 16, Path("some/where"))


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("data = ", [], "is not valid TOML"),
        ('data = "x"\nspeed = 1', [], "unknown key 'speed'; known here: .*updates"),
        ('data = "x"\n[validation]\nevry = 1', [], "unknown key 'validation.evry'; known here: .*every"),
        ("", [], "data is missing"),
        ('data = "x"', ["updates"], "--set got 'updates'; it takes key=value"),
        ('data = "x"', ["data.x=1"], "'data' is a value, not a table"),
        (
            'data = "x"\n[model]\nsource_vocabulary = 99',
            [],
            "model.source_vocabulary is 99, but the tokenizer of the data",
        ),
        ('data = "x"', ["model.target_vocabulary=9"], "model.target_vocabulary is 9, .* decides it; leave it out"),
        ('data = "x"\nupdates = 10', [], "more than the 10 updates of the run"),
    ],
)
def test_bad_recipes_are_explained(tmp_path: Path, text: str, changes: list[str], message: str) -> None:
    """Each message says what is wrong with what."""
    (tmp_path / "r.toml").write_text(text)

    with pytest.raises(ConfigError, match=message):
        read_recipe(tmp_path / "r.toml", changes)


def test_a_recipe_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    (tmp_path / "r.toml").write_text('data = "x"\n', encoding="utf-8-sig")

    assert read_recipe(tmp_path / "r.toml").data == Path("x")


def test_a_missing_recipe_is_explained(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(ConfigError, match=r"recipe .*none\.toml cannot be read"):
        read_recipe(tmp_path / "none.toml")


RECIPES = Path(__file__).parents[2] / "training" / "recipes"


@pytest.mark.parametrize("corpora", sorted(RECIPES.glob("corpora/*.toml")), ids=lambda path: path.stem)
def test_the_lists_of_corpora_of_the_project_are_valid(corpora: Path) -> None:
    """They read."""
    assert read_corpora(corpora).corpora


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_recipes_of_the_project_are_valid(recipe: Path) -> None:
    """They read, and their model settings make a model."""
    config = read_recipe(recipe)

    assert ModelConfig.model_validate({**config.model, "source_vocabulary": 100, "target_vocabulary": 100})


def test_a_gpu_that_is_not_there_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """And `auto` goes without."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    assert choose_device(TrainingConfig(data=Path(), updates=9000)).type == "cpu"
    with pytest.raises(TrainingError, match="torch sees no GPU"):
        choose_device(TrainingConfig(data=Path(), updates=9000, device="cuda"))


def test_more_ranks_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rank has the GPU of its number on its machine."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    config = TrainingConfig(data=Path(), updates=9000)

    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device(config) == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(TrainingError, match="torch sees 2 GPUs; set --nproc-per-node to 2, or device to cpu"):
        choose_device(config)


def test_precision_follows_the_recipe() -> None:
    """A stated precision is taken."""
    config = TrainingConfig(data=Path(), updates=9000, precision="bfloat16")

    assert choose_precision(config, torch.device("cpu")) is torch.bfloat16


def test_gradients_are_clipped_to_the_norm_of_the_recipe(tmp_path: Path) -> None:
    """What the optimizer sees; what is reported is the norm before."""
    run, seen = small_run(tmp_path, clip_norm=0.01), list[float]()

    def look(optimizer: torch.optim.Optimizer, *_: object) -> None:
        gradients = [parameter.grad for parameter in optimizer.param_groups[0]["params"]]
        seen.append(float(torch.nn.utils.get_total_norm(gradients)))

    run.optimizer.register_step_pre_hook(look)
    report = run.update([Work(0, 0, next(run.batches.epoch(1, 0)))])

    assert report.gradient_norm > 0.02
    assert seen == [pytest.approx(0.01, rel=1e-4)]
