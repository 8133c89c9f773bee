"""How many gates of the LSTMs are stuck open or shut: through a stuck gate no gradient passes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from nmt.model.cells import BidirectionalLayer, LSTMLayer, reorder

_SHUT, _OPEN = 0.05, 0.95


class Saturation:
    """Counts gates a layer, over all sentences, positions and units that it was shown."""

    def __init__(self) -> None:
        self._stuck: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    @property
    def shares(self) -> dict[str, float]:
        """The share of input, forget and output gates under .05 or over .95, by the name of the layer."""
        return {name: self._stuck[name] / seen for name, seen in self._seen.items()}

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Look at each layer of the model while it computes. The sentences must have no padding, which would count."""
        with ExitStack() as stack:
            for name, layer in model.named_modules():
                if isinstance(layer, BidirectionalLayer):
                    stack.enter_context(layer.register_forward_hook(partial(self._after_both, name)))
                elif isinstance(layer, LSTMLayer):
                    stack.enter_context(layer.register_forward_hook(partial(self._after_sequence, name)))
                    # Wirings that go step by step do not call the module; its own attribute hides the class's method.
                    vars(layer)["step"] = partial(self._before_step, name, layer, layer.step)
                    stack.callback(vars(layer).pop, "step")
            yield

    def _after_both(self, name: str, layer: BidirectionalLayer, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        """Both directions run in one recurrence, each from a zero state, the second one on the turned sentence."""
        sequence, order = inputs
        forward, backward = outputs.chunk(2, dim=-1)
        first = torch.zeros_like(forward[:, 0])
        self._after_sequence(f"{name}.left_to_right", layer.left_to_right, (sequence, first), forward)
        turned = reorder(sequence, order), first
        self._after_sequence(f"{name}.right_to_left", layer.right_to_left, turned, reorder(backward, order))

    def _after_sequence(self, name: str, layer: LSTMLayer, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        sequence, first, *_ = inputs
        self._count(name, layer, sequence, torch.cat([first.unsqueeze(1), outputs[:, :-1]], dim=1))

    def _before_step(
        self,
        name: str,
        layer: LSTMLayer,
        step: Callable[..., tuple[Tensor, Tensor]],
        inputs: Tensor,
        hidden: Tensor,
        *rest: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        self._count(name, layer, inputs, hidden)
        return step(inputs, hidden, *rest)

    def _count(self, name: str, layer: LSTMLayer, inputs: Tensor, hidden: Tensor) -> None:
        """inputs (..., I) · hidden (..., H), the state before each of them."""
        input_gate, forget_gate, _, output_gate = torch.sigmoid(layer.gates(inputs, hidden)).chunk(4, dim=-1)
        values = torch.stack([input_gate, forget_gate, output_gate])
        self._stuck[name] = self._stuck.get(name, 0) + int(((values < _SHUT) | (values > _OPEN)).sum())
        self._seen[name] = self._seen.get(name, 0) + values.numel()
