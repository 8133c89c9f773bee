"""The loss against the library's, and what each regularizer does to it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nmt.config import ModelConfig
from nmt.errors import ConfigError, TrainingError
from nmt.model.seq2seq import Seq2Seq
from nmt.text.learning import train_tokenizer
from nmt.text.tokenizer import END, PAD, TokenizerConfig
from training.batches import Batch, Batches
from training.config import TrainingConfig
from training.loss import smoothed_cross_entropy
from training.objective import Objective, _with_own_pieces

N, E, V = 1102, 5, 7  # more rows than a chunk holds, and an even number of them


def layer_and_rows() -> tuple[nn.Linear, Tensor, Tensor]:
    """In double precision."""
    torch.manual_seed(0)
    vectors = torch.randn(N, E, dtype=torch.float64, requires_grad=True)
    return nn.Linear(E, V).double(), vectors, torch.randint(0, V, (N,))


def small_model(**dropouts: float) -> Seq2Seq:
    """In training mode; drops nothing but what is asked for."""
    torch.manual_seed(0)
    nothing = {"embedding_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0}
    sizes = {"embedding_size": 8, "encoder_size": 8, "decoder_size": 16, "attention_size": 8}
    return Seq2Seq(ModelConfig(source_vocabulary=23, target_vocabulary=23, **sizes, **{**nothing, **dropouts}))


def small_batch() -> Batch:
    """Two sentences of unlike length."""
    batches = Batches([[9, 8, 3], [7, 6, 5, 3]], [[9, 3], [8, 7, 5, 3]], 100, 100)
    return batches.batch(next(batches.epoch(1, 0)))


def settings(**values: object) -> TrainingConfig:
    """A recipe."""
    return TrainingConfig.model_validate({"data": Path(), "label_smoothing": 0.0, **values})


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_equal_the_library(smoothing: float) -> None:
    """The same as `torch.nn.functional.cross_entropy`; the likelihood is the loss without smoothing."""
    output, vectors, targets = layer_and_rows()
    leaves = [vectors, *output.parameters()]
    expected = functional.cross_entropy(output(vectors), targets, label_smoothing=smoothing, reduction="sum")
    plain = functional.cross_entropy(output(vectors), targets, reduction="sum")
    loss, likelihood = smoothed_cross_entropy(vectors, output, targets, smoothing)

    assert loss.item() == pytest.approx(expected.item())
    assert likelihood.item() == pytest.approx(plain.item())
    for ours, theirs in zip(*(torch.autograd.grad(value, leaves) for value in (loss, expected)), strict=True):
        assert torch.allclose(ours, theirs)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.01)])
@pytest.mark.parametrize("consistency", [0.0, 3.0])
def test_the_compiled_loss_equals_the_one_in_torch(dtype: torch.dtype, tolerance: float, consistency: float) -> None:
    """In double precision, torch does it; with more outputs than a vector has, and some to spare."""
    torch.manual_seed(0)
    output, targets = nn.Linear(E, 67), torch.randint(0, 67, (N,))
    vectors = torch.randn(N, E).to(dtype).requires_grad_()
    exact_output = nn.Linear(E, 67).double()
    exact_output.load_state_dict(output.state_dict())
    exact = vectors.detach().double().requires_grad_()
    ours = smoothed_cross_entropy(vectors, output, targets, 0.1, consistency)
    theirs = smoothed_cross_entropy(exact, exact_output, targets, 0.1, consistency)
    gradients = (
        torch.autograd.grad(loss, [leaf, *layer.parameters()])
        for (loss, _), leaf, layer in ((ours, vectors, output), (theirs, exact, exact_output))
    )

    for own, other in zip(ours, theirs, strict=True):
        assert own.item() == pytest.approx(other.item(), rel=tolerance)
    for mine, wanted in zip(*gradients, strict=True):
        assert (mine - wanted).abs().max() <= tolerance * wanted.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_hopeless_costs_as_much_as_it_is(dtype: torch.dtype) -> None:
    """Compiled and in torch: 10,000 nats where another piece is so much likelier, by which validation sees the ruin."""
    output = nn.Linear(E, V).to(dtype)
    with torch.no_grad():
        output.weight.zero_()
        output.bias.copy_(torch.arange(V) == 2).mul_(1e4)
    loss, likelihood = smoothed_cross_entropy(torch.ones(2, E, dtype=dtype), output, torch.tensor([2, 3]), 0.1)

    assert likelihood.item() == pytest.approx(1e4)
    assert loss.item() == pytest.approx(0.9e4 + 0.1 * 2e4 * (V - 1) / V)


def test_consistency_is_the_symmetric_divergence_of_both_halves() -> None:
    """Value and gradients as the formula gives them to autograd."""
    output, vectors, targets = layer_and_rows()
    leaves = [vectors, *output.parameters()]
    log_p, log_q = output(vectors).log_softmax(dim=-1).chunk(2)
    pairs = [functional.kl_div(b, a, log_target=True, reduction="sum") for a, b in ((log_p, log_q), (log_q, log_p))]
    expected = functional.cross_entropy(output(vectors), targets, reduction="sum") + 3.0 * sum(pairs) / 2
    loss, _ = smoothed_cross_entropy(vectors, output, targets, consistency=3.0)

    assert loss.item() == pytest.approx(expected.item())
    for ours, theirs in zip(*(torch.autograd.grad(value, leaves) for value in (loss, expected)), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_consistency_costs_nothing_where_nothing_is_dropped() -> None:
    """Two passes of a network without dropout agree; with dropout they do not, and the loss grows."""
    plain, both = (Objective(settings(consistency=c)).loss(small_model(), small_batch())[0] for c in (0.0, 4.0))
    apart, pulled = (
        Objective(settings(consistency=c)).loss(small_model(output_dropout=0.5), small_batch())[0] for c in (1e-9, 4.0)
    )

    assert both.item() == pytest.approx(plain.item(), rel=1e-6)
    assert pulled.item() > apart.item()


@pytest.mark.parametrize("consistency", [0.0, 2.0])
def test_narrow_numbers_give_nearly_the_same_loss_and_gradients(consistency: float) -> None:
    """A whole update's loss in bfloat16, as a CPU trains, against float32."""
    objective = Objective(settings(label_smoothing=0.1, consistency=consistency))
    wide, narrow = small_model(), small_model()
    expected, _ = objective.loss(wide, small_batch())
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = objective.loss(narrow, small_batch())
    torch.autograd.backward([expected, loss])

    assert loss.item() == pytest.approx(expected.item(), rel=0.01)
    for ours, theirs in zip(narrow.parameters(), wide.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert (ours.grad - theirs.grad).norm() <= 0.02 * theirs.grad.norm() + 1e-4


def test_scheduled_sampling_feeds_the_pieces_that_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rate of 1, each input but the first is the best piece after the right ones before it."""
    model, batch = small_model(), small_batch()
    seen: list[Tensor] = []
    original = model.forward
    monkeypatch.setattr(model, "forward", lambda s, n, target: (seen.append(target), original(s, n, target))[1])
    Objective(settings(scheduled_sampling=1.0)).loss(model, batch)
    said = model.logits(original(batch.source, batch.lengths, batch.target_in)[0]).argmax(dim=-1)[:, :-1]
    real = batch.target_in[:, 1:] != PAD

    assert torch.equal(seen[-1][:, 0], batch.target_in[:, 0])
    assert torch.equal(seen[-1][:, 1:][real], said[real])
    assert (seen[-1][:, 1:][~real] == PAD).all()


def test_word_dropout_hides_whole_pieces() -> None:
    """Each vector is zero or scaled as a whole."""
    model = small_model(word_dropout=0.5)
    table, pieces = model.target_embedding, torch.randint(4, 23, (1, 2000))
    vectors = model._embed(table, pieces)
    model.eval()
    ratios = vectors / model._embed(table, pieces)

    assert set(ratios.unique().round(decimals=3).tolist()) == {0.0, 2.0}
    assert (ratios.std(dim=-1) < 1e-6).all()
    assert 0.45 < (ratios[..., 0] == 0).float().mean() < 0.55


def test_characters_cannot_be_cut_in_another_way() -> None:
    """Sampling would silently do nothing."""
    with pytest.raises(ConfigError, match="the tokenizer's pieces are characters; set it to 0"):
        Objective(
            settings(subword_sampling=0.1), train_tokenizer(["ab"], ["ba"], ["xx"], TokenizerConfig(algorithm="char"))
        )


@pytest.mark.parametrize("change", [{"subword_sampling": 0.1}, {"minimum_risk": {"weight": 0.5}}])
def test_what_works_on_words_needs_a_tokenizer(change: dict[str, object]) -> None:
    """Said before the first update."""
    with pytest.raises(TrainingError, match="need the run's tokenizer"):
        Objective(settings(**change))


def test_the_smoothing_of_the_recipe_is_that_of_the_loss() -> None:
    """As the library has it, over the target pieces of a batch."""
    model, batch = small_model(), small_batch()
    vectors, _ = model(batch.source, batch.lengths, batch.target_in)
    real = batch.target_out != PAD
    logits, pieces = model.logits(vectors[real]), batch.target_out[real]
    expected = functional.cross_entropy(logits, pieces, label_smoothing=0.2, reduction="sum")

    assert Objective(settings(label_smoothing=0.2)).loss(model, batch)[0].item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_two_passes_report_the_likelihood_of_one() -> None:
    """So that the log of a run with `consistency` compares with that of one without."""
    one, two = (Objective(settings(consistency=own)).loss(small_model(), small_batch()) for own in (0.0, 1.0))

    assert two[1].item() == pytest.approx(one[1].item(), rel=1e-5)


def test_the_rate_of_scheduled_sampling_is_the_share_of_pieces() -> None:
    """Of a model that always says a piece that stands nowhere."""
    model, rows, nowhere = small_model(), [[*range(4, 23), END]] * 200, 1
    model.output.bias.data[nowhere] = 1e6
    batches = Batches(rows, rows, 10_000, 100)
    fed = _with_own_pieces(model, batches.batch(next(batches.epoch(1, 0))), 0.25).target_in[:, 1:]

    assert (fed == nowhere).float().mean().item() == pytest.approx(0.25, abs=0.03)
