"""Which weights a network has: what a model folder must hold, told without building the network."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from nmt.config import ModelConfig
from nmt.errors import ModelFolderError

Shape = tuple[int, ...]


class Shaped(Protocol):
    """A tensor or an array."""

    @property
    def shape(self) -> Sequence[int]:
        """The sizes of its axes."""


def check_weights(config: ModelConfig, weights: Mapping[str, Shaped]) -> None:
    """Raises `ModelFolderError` where names or shapes do not fit the config."""
    wanted = weight_shapes(config)
    missing, unknown = sorted(wanted.keys() - weights.keys()), sorted(weights.keys() - wanted.keys())
    misfits = sorted(name for name in wanted.keys() & weights.keys() if tuple(weights[name].shape) != wanted[name])
    if missing or unknown or misfits:
        raise ModelFolderError(
            f"the weights do not fit the config: missing {missing}, unknown {unknown}, of another shape "
            f"{misfits}; config and weights must come from the same run"
        )


def weight_shapes(config: ModelConfig) -> dict[str, Shape]:
    """The shapes of `Seq2Seq.weights`, by name; tied weights once."""
    return dict(_all(config))


def _all(config: ModelConfig) -> Iterator[tuple[str, Shape]]:
    embedded, memory, decoder = config.embedding_size, config.memory_size, config.decoder_size
    yield "source_embedding.weight", (config.source_vocabulary, embedded)
    if config.tying != "three_way":
        yield "target_embedding.weight", (config.target_vocabulary, embedded)
    for depth in range(config.encoder_layers):
        for direction in ("left_to_right", "right_to_left"):
            size = memory if depth else embedded
            yield from _lstm(f"encoder.layers.{depth}.{direction}", size, config.encoder_size, config)
        yield from _norm(f"encoder.norms.{depth}", memory, config)
    fed = {"deep": 0, "input_feeding": embedded, "conditional": memory}[config.wiring]
    above = decoder + (memory if config.wiring == "deep" else 0)
    for depth in range(config.decoder_layers):
        yield from _lstm(f"decoder.layers.{depth}", above if depth else embedded + fed, decoder, config)
        yield from _norm(f"decoder.norms.{depth}", decoder, config)
    yield from _attention(config)
    yield from _linear("decoder.bridge", 2 * config.decoder_layers * decoder, memory)
    yield from _linear("decoder.readout", embedded, decoder + memory)
    yield "output.bias", (config.target_vocabulary,)
    if config.tying == "none":
        yield "output.weight", (config.target_vocabulary, embedded)


def _attention(config: ModelConfig) -> Iterator[tuple[str, Shape]]:
    """What each score learns; see `nmt.model.attention.Attention`."""
    size = config.decoder_size if config.attention == "general" else config.attention_size
    if config.attention in ("additive", "concat", "scaled_dot"):
        yield "decoder.attention.query.weight", (size, config.decoder_size)
    if config.attention in ("additive", "concat", "scaled_dot", "general"):
        yield "decoder.attention.key.weight", (size, config.memory_size)
    if config.attention == "additive":
        yield "decoder.attention.key.bias", (size,)
    if config.attention in ("additive", "concat"):
        yield "decoder.attention.energy", (size,)


def _linear(name: str, outputs: int, inputs: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _lstm(name: str, inputs: int, size: int, config: ModelConfig) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.lstm.weight_ih_l0", (4 * size, inputs)
    yield f"{name}.lstm.weight_hh_l0", (4 * size, size)
    yield f"{name}.lstm.bias_ih_l0", (4 * size,)
    yield f"{name}.lstm.bias_hh_l0", (4 * size,)
    if config.gate_norm:
        yield f"{name}.gain", (4 * size,)


def _norm(name: str, size: int, config: ModelConfig) -> Iterator[tuple[str, Shape]]:
    if config.layer_norm:
        yield f"{name}.weight", (size,)
        yield f"{name}.bias", (size,)
