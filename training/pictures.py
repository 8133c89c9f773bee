"""Attention and learning curves as pictures."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
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


Curve = Sequence[tuple[float, float]]


def curves_svg(title: str, horizontal: str, curves: Mapping[str, Curve]) -> str:
    """Curves by name, as an SVG element whose texts are texts."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot([x for x, _ in points], [y for _, y in points], label=name, marker="." if len(points) < 40 else "")
    axes.set(title=title, xlabel=horizontal)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    drawing = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = drawing.getvalue()
    return svg[svg.index("<svg") :]
