"""The parts of a network, packed for the kernels."""

import math
from dataclasses import dataclass

import numpy as np

from nmt import kernels
from nmt.arrays import Arrays, Floats
from nmt.config import ModelConfig
from nmt.kernels import Precision


@dataclass(frozen=True)
class Parts:
    """Packs one part after the other."""

    config: ModelConfig
    weights: Arrays
    precision: Precision

    def read(self, name: str) -> Floats:
        """A weight in float32."""
        return self.weights[name].astype(np.float32)

    def embedding(self, side: str) -> Floats:
        """The embedded pieces (V, E) of `source` or `target`, at the scale that the network sees."""
        name = f"{side}_embedding.weight"
        table = self.read(name if name in self.weights else "source_embedding.weight")
        return table * np.float32(math.sqrt(self.config.embedding_size))

    def encoder(self) -> kernels.Encoder:
        """All its layers."""
        config, layers = self.config, []
        largest = float(np.abs(self.read("source_embedding.weight")).max()) * math.sqrt(config.embedding_size)
        for depth in range(config.encoder_layers):
            names = (f"encoder.layers.{depth}.{way}" for way in ("left_to_right", "right_to_left"))
            # What comes from below has left a layer; the embedded pieces have not.
            within = self.bounded if depth else self.precision
            forward, backward = (self._direction(name, within, largest) for name in names)
            layers.append(kernels.Bidirectional((forward, backward), *self._norm(f"encoder.norms.{depth}")))
            largest = 1.0
        return kernels.Encoder(layers, config.encoder_size, residual=config.residual)

    def decoder(self) -> kernels.Network:
        """The decoder and the output layer."""
        config = self.config
        return kernels.Network(
            [self._layer(depth) for depth in range(config.decoder_layers)],
            self._scores(),
            self.linear("decoder.readout", self.bounded),
            kernels.pack(self.output(), self.read("output.bias"), self.precision),
            wiring=config.wiring,
            residual=config.residual,
            memory_size=config.memory_size,
        )

    def output(self) -> Floats:
        """The output weights (V, E)."""
        names = ("output.weight", "target_embedding.weight", "source_embedding.weight")
        return self.read(next(name for name in names if name in self.weights))

    def linear(self, name: str, precision: Precision) -> kernels.Weights:
        """A product, with the bias if it has one."""
        bias = f"{name}.bias"
        return kernels.pack(self.read(f"{name}.weight"), self.read(bias) if bias in self.weights else None, precision)

    def key(self) -> kernels.Weights | None:
        """The projection of the memory, if the score has one."""
        return self._projection("decoder.attention.key")

    @property
    def has_tanh(self) -> bool:
        """Whether the score is a weighted sum of tanh(query + key)."""
        return "decoder.attention.energy" in self.weights

    @property
    def bounded(self) -> Precision:
        """Of products with what leaves a layer: normalization and shortcuts take that out of the [-1, 1] of int8."""
        return "fp32" if self.config.layer_norm or self.config.residual else self.precision

    def _projection(self, name: str) -> kernels.Weights | None:
        return self.linear(name, self.bounded) if f"{name}.weight" in self.weights else None

    def _norm(self, name: str) -> tuple[Floats, Floats] | tuple[None, None]:
        if not self.config.layer_norm:
            return None, None
        return self.read(f"{name}.weight"), self.read(f"{name}.bias")

    def _lstm(self, name: str) -> tuple[Floats, Floats, Floats]:
        """Input weights (4H, I), recurrent weights (4H, H) and bias (4H,), the gates in the order that the cell has."""
        order = np.asarray if self.config.gate_norm else kernels.gates
        inputs, recurrent, input_bias, recurrent_bias = (
            self.read(f"{name}.lstm.{kind}_l0") for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        return order(inputs), order(recurrent), order(input_bias + recurrent_bias)

    def _direction(self, name: str, precision: Precision, largest: float) -> tuple[kernels.Weights, kernels.Cell]:
        inputs, recurrent, bias = self._lstm(name)
        from_hidden = kernels.pack(recurrent, None, self.precision)
        if self.config.gate_norm:
            cell = kernels.Cell(from_hidden, self.read(f"{name}.gain"), bias)
            return kernels.pack(inputs, None, precision, largest), cell
        return kernels.pack(inputs, bias, precision, largest), kernels.Cell(from_hidden)

    def _layer(self, depth: int) -> kernels.Layer:
        """The first layer has what the embedded pieces add to its gates in a table."""
        config, name = self.config, f"decoder.layers.{depth}"
        inputs, recurrent, bias = self._lstm(name)
        added, table = None if config.gate_norm else bias, None
        if depth == 0:
            table = self.embedding("target") @ inputs[:, : config.embedding_size].T
            if added is not None:
                table += added
            inputs, added = inputs[:, config.embedding_size :], None
        # The first layer reads nothing that has left a layer, unless it is given the context.
        within = self.precision if depth == 0 and config.wiring != "conditional" else self.bounded
        weights = kernels.pack(np.concatenate([inputs, recurrent], axis=1), added, within)
        cell = kernels.Cell(weights, self.read(f"{name}.gain"), bias) if config.gate_norm else kernels.Cell(weights)
        return kernels.Layer(cell, table, *self._norm(f"decoder.norms.{depth}"))

    def _scores(self) -> kernels.Scores:
        config = self.config
        query = self._projection("decoder.attention.query")
        size = query.struct.outputs if query else config.decoder_size
        if self.has_tanh:
            energy = self.read("decoder.attention.energy")
            return kernels.Scores("additive", config.attention_heads, size, query, energy)
        factor = (size // config.attention_heads) ** -0.5 if config.attention == "scaled_dot" else 1.0
        score: kernels.Score = "none" if config.attention == "none" else "dot"
        return kernels.Scores(score, config.attention_heads, size, query, factor=factor)
