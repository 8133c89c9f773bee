"""One network with one thing changed at a time: `python tests/benchmarks/study.py STUDY.toml --output FOLDER`.

Trains each variant of a study (training/recipes/studies) with each seed, as `nmt train` does, and translates dev and
test set with each. A run is stopped as `nmt train` is; the same command goes on from there, and leaves alone what is
measured already: `result.jsonl` in the folder of each variant and seed. So other settings want another folder.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Self

from figures import machine
from matplotlib.figure import Figure
from pydantic import Field, model_validator

from nmt.config import Config, read_toml, set_value
from nmt.errors import DataError, NmtError
from nmt.package import ModelFolder
from nmt.scoring.evaluation import evaluate
from nmt.text.tokenizer import Tokenizer
from nmt.translator import Translator
from training.commands import EXIT_INTERRUPTED
from training.config import TrainingConfig
from training.corpus.prepared import PreparedCorpus
from training.disk import write_atomically
from training.run import run_training

FEWEST = 10
"""Sentences of a length whose BLEU is drawn: of fewer it is mostly chance."""

Line = dict[str, Any]
"""What was measured of one variant, seed (all of an ensemble's), direction, and part of the corpus."""


class Variant(Config):
    """What is other than in the recipe of the study."""

    set: tuple[str, ...] = Field((), description="keys of the recipe, as `nmt train --set` takes them")
    after: str = Field("", description="the variant whose finished run this one goes on from, with its settings")
    ensemble: str = Field("", description="the variant whose models of all seeds translate together; not trained")


class Study(Config):
    """A recipe and its variants. The first variant is the one that the others are compared with."""

    recipe: dict[str, Any]
    seeds: tuple[int, ...] = Field((1,), min_length=1)
    variants: dict[str, Variant] = Field(min_length=1)

    @model_validator(mode="after")
    def _fit(self) -> Self:
        for name, variant in self.variants.items():
            for other in filter(None, (variant.after, variant.ensemble)):
                if other not in self.variants:
                    raise ValueError(f"{name} names {other!r}; the variants are {', '.join(self.variants)}")
        for name in self.variants:
            passed, other = {name}, self._before(name)
            while other and other not in passed:
                passed, other = passed | {other}, self._before(other)
            if other:
                raise ValueError(f"{name} goes on from itself, by way of {other}")
        return self

    def _before(self, name: str) -> str | None:
        return self.variants[name].after or self.variants[name].ensemble

    def settings(self, name: str) -> list[str]:
        """A variant as `--set` takes it."""
        variant = self.variants[name]
        before = self._before(name)
        return [*(self.settings(before) if before else ()), *variant.set]

    def config(self, name: str, seed: int) -> TrainingConfig:
        """The recipe of one run."""
        values = deepcopy(self.recipe)
        for change in (*self.settings(name), f"seed={seed}"):
            set_value(values, change)
        return TrainingConfig.read(values, where=f"variant {name}")


def main() -> int:
    """Train and measure what is not there yet, print all of it. Returns the exit status of `nmt train`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="instead of those of the study")
    parser.add_argument("--table", action="store_true", help="print the means over the seeds as a table instead")
    parser.add_argument("--plot", type=Path, help="an SVG file: BLEU by source length, a line a variant")
    arguments = parser.parse_args()
    try:
        values = read_toml(arguments.study, "the study", [f"recipe.{change}" for change in arguments.set])
        study = Study.read(values, where=str(arguments.study))
        names, seeds = arguments.variants or list(study.variants), arguments.seeds or study.seeds
        if unknown := sorted(set(names) - study.variants.keys()):
            raise DataError(f"--variants names {unknown[0]!r}; the variants are {', '.join(study.variants)}")
        lines = results(study, names, seeds, arguments.output)
    except NmtError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    except Interrupted as stopped:
        print(f"stopped in {stopped}; the same command goes on from there", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(table(lines) if arguments.table else "\n".join(map(json.dumps, lines)))
    if arguments.plot:
        plot(lines, arguments.plot)
    return 0


class Interrupted(Exception):
    """A signal ended the run of that name."""


def results(study: Study, names: Sequence[str], seeds: Sequence[int], folder: Path) -> list[Line]:
    """Of all variants, seed by seed, so that all have been measured once before one is measured twice."""
    trained = [name for name in names if not study.variants[name].ensemble]
    for name, seed in product(trained, seeds):
        check(study.config(name, seed))  # what does not fit is to be said before the first run, not in the night
    lines = [line for seed, name in product(seeds, trained) for line in trained_lines(study, name, seed, folder)]
    together = [name for name in names if study.variants[name].ensemble]
    lines += [line for name in together for line in ensemble_lines(study, name, seeds, folder)]
    return sorted(lines, key=lambda line: names.index(line["variant"]))


def check(config: TrainingConfig) -> None:
    """Whether the network can be made, and there is something to measure it with."""
    corpus = PreparedCorpus.load(config.data)
    if missing := [direction for direction in corpus.directions if not corpus.test(direction)]:
        raise DataError(f"{corpus.folder} has no test set for {'-'.join(missing[0])}; run nmt prepare with one")
    config.model_config_for(Tokenizer.load(corpus.tokenizer_folder))


def trained_lines(study: Study, name: str, seed: int, folder: Path) -> list[Line]:
    """What is known of a run, which is trained to its end if it is not there yet."""
    run, config = folder / f"{name}.{seed}", study.config(name, seed)
    found = run / "result.jsonl"
    if not found.exists():
        if (after := study.variants[name].after) and not run.exists():
            trained_lines(study, after, seed, folder)
            copied = run.with_suffix(".copied")
            shutil.rmtree(copied, ignore_errors=True)
            shutil.copytree(folder / f"{after}.{seed}", copied, ignore=shutil.ignore_patterns(found.name))
            copied.rename(run)
        outcome = run_training(config, name, run)
        if outcome.model is None:
            raise Interrupted(run.name)
        model = ModelFolder.load(outcome.model)
        details = {"parameters": model.parameters, "updates": outcome.progress.update}
        details |= {"seconds": round(outcome.progress.seconds, 1), "machine": machine()}
        lines = measured([model], config, {"variant": name, "seed": seed, "settings": study.settings(name)}, details)
        write_atomically(found, "".join(json.dumps(line) + "\n" for line in lines).encode())
    return [json.loads(line) for line in found.read_text().splitlines()]


def ensemble_lines(study: Study, name: str, seeds: Sequence[int], folder: Path) -> list[Line]:
    """What the models of all seeds say together."""
    member = study.variants[name].ensemble
    for seed in seeds:
        trained_lines(study, member, seed, folder)
    models = [ModelFolder.load(folder / f"{member}.{seed}" / "model") for seed in seeds]
    what = {"variant": name, "seed": list(seeds), "settings": study.settings(name)}
    return measured(models, study.config(name, seeds[0]), what, {"parameters": sum(own.parameters for own in models)})


def measured(
    models: Sequence[ModelFolder], config: TrainingConfig, what: Mapping[str, Any], details: Mapping[str, Any]
) -> list[Line]:
    """The scores of dev and test set, as `nmt evaluate` gives them with the search of the recipe."""
    translator, corpus, lines = Translator.from_folders(models), PreparedCorpus.load(config.data), []
    for (source, target), part in product(corpus.directions, ("dev", "test")):
        rows = getattr(corpus, part)((source, target))
        texts = [text for text, _ in rows]
        translations = translator.translate(texts, target, source, config.validation.search)
        scores = evaluate(
            texts, [t.text for t in translations], [own for _, own in rows], tokenize=config.validation.tokenize
        )
        line = {**what, "direction": f"{source}-{target}", "part": part, "bleu": asdict(scores.bleu)}
        lines.append({**line, "by_length": [asdict(bucket) for bucket in scores.by_length], **details})
    return lines


def table(lines: Sequence[Line]) -> str:
    """Markdown: a row a variant and direction, with what it gains over the first variant, seed by seed."""
    first, rows = (
        lines[0]["variant"],
        ["| | seeds | dev | gain | test | gain | minutes |", "|---|---|---|---|---|---|---|"],
    )
    for name, direction in dict.fromkeys((line["variant"], line["direction"]) for line in lines):
        own = [line for line in lines if (line["variant"], line["direction"]) == (name, direction)]
        cells = [f"{name}, {direction}", str(len({str(line["seed"]) for line in own}))]
        for part in ("dev", "test"):
            scores, others = of_seeds(own, part), of_seeds([o for o in lines if same(o, first, direction)], part)
            gains = [score - others[seed] for seed, score in scores.items() if seed in others and name != first]
            if others and not others.keys() & scores.keys():  # an ensemble is compared with the mean of its seeds
                gains = [fmean(scores.values()) - fmean(others.values())]
            cells += [spread(list(scores.values()), ".1f"), spread(gains, "+.1f")]
        minutes = [line["seconds"] / 60 for line in own if "seconds" in line]
        rows.append(f"| {' | '.join([*cells, f'{fmean(minutes):.0f}' if minutes else ''])} |")
    return "\n".join(rows)


def same(line: Line, name: str, direction: str) -> bool:
    """Whether a line is of that variant and direction."""
    return bool(line["variant"] == name and line["direction"] == direction)


def of_seeds(lines: Sequence[Line], part: str) -> dict[str, float]:
    """BLEU by seed."""
    return {str(line["seed"]): line["bleu"]["score"] for line in lines if line["part"] == part}


def spread(values: Sequence[float], form: str) -> str:
    """Mean and, of several, standard deviation."""
    if not values:
        return ""
    return f"{fmean(values):{form}}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def plot(lines: Sequence[Line], path: Path) -> None:
    """BLEU of the test set by source length, first seed, a picture a direction; the first variant is dashed."""
    seed = lines[0]["seed"]
    drawn = [line for line in lines if line["part"] == "test" and line["seed"] == seed]
    directions = list(dict.fromkeys(line["direction"] for line in drawn))
    figure = Figure(figsize=(9 * len(directions), 4.2), layout="constrained")
    for axes, direction in zip(figure.subplots(1, len(directions), squeeze=False)[0], directions, strict=True):
        for line in (line for line in drawn if line["direction"] == direction):
            buckets = [bucket for bucket in line["by_length"] if bucket["sentences"] >= FEWEST]
            style = "k--" if line["variant"] == lines[0]["variant"] else "-"
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
