"""The settings of a training run, read from a recipe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from nmt.config import Config, ModelConfig, SearchConfig, read_toml
from nmt.errors import ConfigError
from nmt.scoring.metrics import Tokenization
from nmt.text.tokenizer import Tokenizer

Decay = Annotated[float, Field(ge=0, lt=1)]


class Validation(Config):
    """When and how a run looks at itself."""

    every: int = Field(1000, ge=1, description="updates between two validations")
    sentences: int = Field(500, ge=1, description="of each direction's dev set, evenly spread over it")
    metric: Literal["bleu", "chrf", "loss"] = "bleu"
    tokenize: Tokenization = Field("13a", description="how BLEU cuts words; `none` for text that is tokenized already")
    patience: int = Field(10, ge=1, description="validations without a better one before the run stops")
    samples: int = Field(4, ge=0, le=50, description="dev sentences a direction whose translations are written down")
    average: int = Field(5, ge=1, le=50, description="checkpoints around the best whose mean becomes the model")
    search: SearchConfig = SearchConfig(beam_size=5, max_length=100)


class MinimumRisk(Config):
    """Tuning on the model's own translations; see `training.minimum_risk`. Slow: start from a trained model."""

    weight: float = Field(0.0, ge=0, le=1, description="of the expected cost in the loss; likelihood has the rest")
    hypotheses: int = Field(8, ge=2, le=32, description="translations a sentence, from a beam of that size")


class FineTune(Config):
    """Starting from a model that is there. `[model]` then changes the settings of that model, such as its dropout."""

    model: Path = Field(description="a model folder, or `box`; prepare the data with --tokenizer and that folder")
    other_pieces: bool = Field(
        False, description="the data may be cut into other pieces, of other languages; see training.transfer"
    )
    guard: dict[str, Path] = Field(
        default_factory=dict, description="test sets by direction, such as en-de, that it must still translate"
    )
    largest_loss: float = Field(1.0, ge=0, description="BLEU that may be lost on each of them")

    def allows(self, lost: Mapping[str, float]) -> bool:
        """Whether a model that has lost so much BLEU, by direction, may be kept."""
        return all(loss <= self.largest_loss for loss in lost.values())


class Card(Config):
    """What the model folder's README says of the model, and of data and rights; only who trains it can know that."""

    title: str = "A translation model"
    version: str = Field("1", min_length=1, description="which one of this name it is; answers of the service name it")
    licence: str = "not stated"
    data: str = "not stated"
    notes: str = ""


class TrainingConfig(Config):
    """A recipe. `model` takes the keys of `ModelConfig` but the vocabularies, which the tokenizer decides.

    The learning rate rises over `warmup_updates`, stays, and falls to zero over the last `decay_updates`; so a run
    whose `updates` are raised before it decays goes on as if it had been planned so.
    """

    data: Path = Field(description="a folder that `nmt prepare` made")
    seed: int = Field(1, ge=0, lt=2**63)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int = Field(0, ge=0, description="processor threads; 0 leaves it to torch")
    updates: int = Field(20000, ge=1)
    batch_pieces: int = Field(2000, ge=1, description="pieces a batch on its longer side, padding included")
    accumulate: int = Field(1, ge=1, description="batches an update")
    max_pieces: int = Field(128, ge=2, description="pairs with more pieces on a side are left out, and counted")
    learning_rate: float = Field(1e-3, gt=0)
    warmup_updates: int = Field(500, ge=0)
    decay_updates: int = Field(5000, ge=0)
    adam_betas: tuple[Decay, Decay] = (0.9, 0.98)
    weight_decay: float = Field(0.0, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    subword_sampling: float = Field(
        0.0,
        ge=0,
        le=1,
        description="how words are cut at random: unigram alpha, 0.2 to 0.5, or BPE dropout, 0.1; 0: never",
    )
    consistency: float = Field(
        0.0, ge=0, description="weight that pulls two passes with other units dropped together (the α of R-Drop)"
    )
    scheduled_sampling: float = Field(0.0, ge=0, le=1, description="share of target inputs that the model says itself")
    guided_alignment: float = Field(
        0.0, ge=0, description="weight that pulls attention to the links that `nmt links` made of the corpus; 0.1, say"
    )
    minimum_risk: MinimumRisk = MinimumRisk()
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="validate, keep and ship the moving average of the weights; 0.999, say; 0: without"
    )
    clip_norm: float = Field(1.0, gt=0)
    save_every: int = Field(500, ge=1, description="updates between two saves of all that a resume needs")
    model: dict[str, Any] = Field(default_factory=dict)
    validation: Validation = Validation()
    fine_tune: FineTune | None = None
    card: Card = Card()

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.warmup_updates + self.decay_updates > self.updates:
            raise ValueError(
                f"warmup_updates + decay_updates is {self.warmup_updates + self.decay_updates}, "
                f"more than the {self.updates} updates of the run"
            )
        if self.guided_alignment and self.subword_sampling:
            raise ValueError(
                "guided_alignment and subword_sampling do not go together: links hold for one way of cutting words; "
                "set one of them to 0"
            )
        if self.guided_alignment and self.model.get("attention") == "none":
            raise ValueError("guided_alignment has no attention to guide: model.attention is none; choose another")
        for key in ("source_vocabulary", "target_vocabulary"):
            if key in self.model:
                raise ValueError(
                    f"model.{key} is {self.model[key]}, but the tokenizer of the data decides it; leave it out"
                )
        return self

    def model_config_for(self, tokenizer: Tokenizer, known: Mapping[str, Any] | None = None) -> ModelConfig:
        """The shape of the network, with the vocabularies of the tokenizer; `known`: of the one that is fine-tuned."""
        sizes = {"source_vocabulary": tokenizer.source_vocabulary, "target_vocabulary": tokenizer.target_vocabulary}
        tying = {} if tokenizer.config.joint else {"tying": "two_way"}
        shape = ModelConfig.read({**tying, **(known or {}), **self.model, **sizes}, where="[model]")
        if shape.tying == "three_way" and not tokenizer.config.joint:
            raise ConfigError(
                "[model]: tying is three_way, which takes one embedding for a piece of both sides, but the data was "
                "prepared with separate tokenizers; prepare it without --separate-tokenizers, or set tying to two_way"
            )
        return shape


def read_recipe(path: Path, changes: Sequence[str] = ()) -> TrainingConfig:
    """Read a TOML recipe; `changes` such as `model.decoder_size=256` or `updates=100` override its keys."""
    return TrainingConfig.read(read_toml(path, "the recipe", changes), where=str(path))
