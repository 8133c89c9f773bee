"""What attention buys, most of all on long sentences: `python tests/benchmarks/attention_study.py [--plot FILE]`.

Trains the network of a recipe once with each attention score, wiring and without attention, as `nmt train` does, and
translates the test set with each. A run is stopped as `nmt train` is; the same command goes on from there, and leaves
alone what is in `results.jsonl` already: a line a variant and direction. So another recipe wants another folder.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from figures import machine
from matplotlib.figure import Figure

from nmt.errors import DataError, NmtError
from nmt.package import ModelFolder
from nmt.scoring.evaluation import evaluate
from nmt.text.tokenizer import Tokenizer
from nmt.translator import Translator
from training.commands import EXIT_INTERRUPTED
from training.config import TrainingConfig, read_recipe
from training.corpus.prepared import PreparedCorpus
from training.disk import write_atomically
from training.run import run_training
from training.run_state import Progress

RECIPE = Path(__file__).parents[2] / "training" / "recipes" / "attention-study.toml"
VARIANTS = {
    "none": ("none", "deep", 1),
    "additive": ("additive", "deep", 1),
    "concat": ("concat", "deep", 1),
    "dot": ("dot", "deep", 1),
    "general": ("general", "deep", 1),
    "scaled_dot": ("scaled_dot", "deep", 1),
    "scaled_dot-4-heads": ("scaled_dot", "deep", 4),
    "additive-input_feeding": ("additive", "input_feeding", 1),
    "additive-conditional": ("additive", "conditional", 1),
}
"""Attention, wiring and heads by name."""
FEWEST = 10
"""Sentences of a length whose BLEU is drawn: of fewer it is mostly chance."""

Line = dict[str, Any]


def main() -> int:
    """Train, evaluate and draw what is not there yet. Returns the exit status of `nmt train`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe")
    parser.add_argument("--output", type=Path, default=Path("runs/attention-study"), help="folder of the runs")
    parser.add_argument("--plot", type=Path, help="an SVG file: BLEU by source length, a line a variant")
    arguments = parser.parse_args()
    try:
        return study(arguments.recipe, arguments.set, arguments.output, arguments.plot)
    except NmtError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status


def study(recipe: Path, changes: Sequence[str], folder: Path, drawing: Path | None) -> int:
    """All variants, one after the other, those that are unfinished from where they were."""
    configs = {name: read_recipe(recipe, [*changes, *settings(name)]) for name in VARIANTS}
    corpus = PreparedCorpus.load(next(iter(configs.values())).data)
    if missing := [direction for direction in corpus.directions if not corpus.test(direction)]:
        raise DataError(f"{corpus.folder} has no test set for {'-'.join(missing[0])}; run nmt prepare with one")
    tokenizer = Tokenizer.load(corpus.tokenizer_folder)
    for config in configs.values():
        config.model_config_for(tokenizer)  # what does not fit is to be said before the first run, not in the night
    results = folder / "results.jsonl"
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    for name, config in configs.items():
        if any(line["variant"] == name for line in lines):
            continue
        outcome = run_training(config, name, folder / name)
        if outcome.model is None:
            print(f"stopped in {name}; the same command goes on from there", file=sys.stderr)
            return EXIT_INTERRUPTED
        model = ModelFolder.load(outcome.model)
        lines += measured(name, config, corpus, model, outcome.progress)
        write_atomically(results, "".join(json.dumps(line) + "\n" for line in lines).encode())
    print(results.read_text(), end="")
    if drawing:
        plot(lines, drawing)
    return 0


def settings(name: str) -> list[str]:
    """A variant as `--set` takes it."""
    attention, wiring, heads = VARIANTS[name]
    return [f"model.attention={attention}", f"model.wiring={wiring}", f"model.attention_heads={heads}"]


def measured(
    name: str, config: TrainingConfig, corpus: PreparedCorpus, model: ModelFolder, progress: Progress
) -> list[Line]:
    """The test set's scores, as `nmt evaluate` gives them with the search of the recipe, and what they cost."""
    translator, lines = Translator.from_folders([model]), []
    for source, target in corpus.directions:
        rows = corpus.test((source, target))
        texts = [text for text, _ in rows]
        translations = translator.translate(texts, target, source, config.validation.search)
        scores = evaluate(
            texts, [t.text for t in translations], [own for _, own in rows], tokenize=config.validation.tokenize
        )
        line = {"variant": name, "settings": settings(name), "direction": f"{source}-{target}"}
        line |= {"bleu": asdict(scores.bleu), "by_length": [asdict(bucket) for bucket in scores.by_length]}
        line |= {"parameters": model.parameters}
        line |= {"updates": progress.update, "seconds": round(progress.seconds, 1)}
        lines.append(line | {"seed": config.seed, "machine": machine()})
    return lines


def plot(lines: Sequence[Line], path: Path) -> None:
    """BLEU by source length, a picture a direction; no attention is the line to compare with."""
    directions = list(dict.fromkeys(line["direction"] for line in lines))
    figure = Figure(figsize=(9 * len(directions), 4.2), layout="constrained")
    for axes, direction in zip(figure.subplots(1, len(directions), squeeze=False)[0], directions, strict=True):
        for line in (line for line in lines if line["direction"] == direction):
            buckets = [bucket for bucket in line["by_length"] if bucket["sentences"] >= FEWEST]
            style = "k--" if line["variant"] == "none" else "-"
            names = [f"{length(bucket)}\n({bucket['sentences']})" for bucket in buckets]
            label = f"{line['variant']}: {line['bleu']['score']:.1f}"
            axes.plot(names, [bucket["bleu"] for bucket in buckets], style, marker=".", label=label)
        axes.set(xlabel="source words (sentences)", ylabel="BLEU", title=direction)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", title="all lengths", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path)


def length(bucket: Line) -> str:
    """The words of a bucket's sources."""
    shortest, longest = bucket["shortest"], bucket["longest"]
    return f"{shortest}-{longest}" if longest else f"{shortest} and more"


if __name__ == "__main__":
    sys.exit(main())
