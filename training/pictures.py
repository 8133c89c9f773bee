"""Attention as a picture."""

from matplotlib.figure import Figure

from nmt.alignment import Alignment


def attention_figure(alignment: Alignment) -> Figure:
    """Target words as rows, source words as columns, the darker the more weight."""
    width, height = 1.5 + 0.45 * len(alignment.source), 1.2 + 0.3 * len(alignment.target)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.imshow(alignment.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(alignment.source)), [unit.text for unit in alignment.source], rotation=60, ha="right")
    axes.set_yticks(range(len(alignment.target)), [unit.text for unit in alignment.target])
    return figure
