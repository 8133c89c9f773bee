"""Attention and learning curves as pictures."""

import io
from collections.abc import Mapping, Sequence
from functools import cache

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure

from nmt.alignment import Alignment


def attention_figure(alignment: Alignment) -> Figure:
    """Target words as rows, source words as columns, the darker the more weight."""
    width, height = 1.5 + 0.45 * len(alignment.source), 1.2 + 0.3 * len(alignment.target)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.imshow(alignment.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    source, target = ([unit.text for unit in side] for side in (alignment.source, alignment.target))
    axes.set_xticks(range(len(source)), source, rotation=60, ha="right", family=_families())
    axes.set_yticks(range(len(target)), target, family=_families())
    return figure


@cache
def _families() -> list[str]:
    """Matplotlib's own font, which knows no Chinese, and behind it those of the system that know other scripts."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *sorted(name for name in installed if name.startswith(_OF_OTHER_SCRIPTS))]


_OF_OTHER_SCRIPTS = (
    *("Noto Sans", "Source Han Sans", "WenQuanYi", "Arial Unicode MS"),
    *("PingFang", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic"),
)


Curve = Sequence[tuple[float, float]]


def curves_svg(title: str, horizontal: str, curves: Mapping[str, Curve]) -> str:
    """Curves by name, as an SVG element whose texts are texts."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    lines = [
        axes.plot([x for x, _ in points], [y for _, y in points], marker="." if len(points) < 40 else "")[0]
        for points in curves.values()
    ]
    axes.set(title=title, xlabel=horizontal)
    axes.grid(alpha=0.3)
    axes.legend(lines, [name.replace("$", r"\$") for name in curves], fontsize="small")
    drawing = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = drawing.getvalue()
    return svg[svg.index("<svg") :]
