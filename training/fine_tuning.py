"""Fine-tuning: from the weights of a model folder, and without forgetting what that model could do."""

from collections.abc import Mapping

import torch
from torch import Tensor

from nmt.errors import ConfigError, TrainingError
from nmt.model.seq2seq import Seq2Seq
from nmt.package import ModelFolder
from nmt.runtime.stepper import stepper_of
from nmt.scoring.metrics import corpus_bleu
from nmt.text.languages import base_language
from nmt.text.tokenizer import Tokenizer
from nmt.translator import Translator
from training.config import FineTune, TrainingConfig, Validation
from training.corpus.prepared import PreparedCorpus
from training.corpus.records import Direction
from training.corpus.sentences import fold
from training.corpus.test_sets import read_test_set
from training.device import engines_beside_training
from training.identity import shape
from training.transfer import transferred
from training.validation import spread


def initial_model(config: TrainingConfig, tokenizer: Tokenizer, folder: ModelFolder | None) -> Seq2Seq:
    """The network that a run begins with: made by chance, or that of the folder that it fine-tunes."""
    if folder is None or config.fine_tune is None:
        return Seq2Seq(config.model_config_for(tokenizer))
    weights: Mapping[str, Tensor] = {name: torch.from_numpy(own) for name, own in folder.weights.items()}
    if not folder.tokenizer.equals(tokenizer):
        if not config.fine_tune.other_pieces:
            raise TrainingError(
                f"{config.data} was cut into other pieces than {folder.path} knows; prepare it again with "
                f"--tokenizer {folder.path}, or let the model learn these with fine_tune.other_pieces = true"
            )
        weights = transferred(weights, folder.tokenizer, tokenizer)
    known = folder.description.model
    wanted = config.model_config_for(tokenizer, known.model_dump())
    misfits = dict(shape(wanted).items() - shape(known).items())
    if misfits:
        own = ", ".join(f"{name} = {value} (there {shape(known)[name]})" for name, value in sorted(misfits.items()))
        raise ConfigError(
            f"[model] has {own}, but fine-tuning keeps the shape of {folder.path}; leave that out of [model]"
        )
    model = Seq2Seq(wanted)
    model.load_weights(weights)
    return model


def trained_guard(config: TrainingConfig, corpus: PreparedCorpus, folder: ModelFolder | None) -> list[str]:
    """What to say of guard sentences that are trained on: what they measure is not what others would lose."""
    guard = config.fine_tune.guard if config.fine_tune else {}
    known = _named(folder) if folder else {}
    # A direction begins with its source; sentences are the same here if `nmt prepare` takes them for the same.
    sources = {
        name: [(base_language(name), fold(text)) for text, _ in read_test_set([guard[name]], direction)]
        for name, direction in known.items()
        if name in guard
    }
    wanted, trained = {source for own in sources.values() for source in own}, set[tuple[str, str]]()
    for part in {part.path: part for part in corpus.training_sets}.values() if wanted else ():
        languages = [base_language(language) for language in part.direction]
        for pair in part.pairs():
            trained |= wanted & set(zip(languages, map(fold, pair), strict=True))
    counts = {name: sum(source in trained for source in own) for name, own in sources.items()}
    return [
        f"{count:,} of {len(sources[name]):,} guard sentences of {name} stand in {corpus.folder}, to be trained on; "
        f"prepare it with --keep-out {name}={guard[name]}"
        for name, count in counts.items()
        if count
    ]


def _named(folder: ModelFolder) -> dict[str, Direction]:
    return {"-".join(direction): direction for direction in folder.description.directions}


class Guard:
    """Sentences that a model could translate before it is fine-tuned, and how much worse it becomes at them.

    `tokenizer`: that of the run, whose pieces may be others than the model had.
    """

    def __init__(self, config: FineTune, original: ModelFolder, tokenizer: Tokenizer, validation: Validation) -> None:
        self._original, self._validation, self._tokenizer = original, validation, tokenizer
        known = _named(original)
        if unknown := sorted(config.guard.keys() - known.keys()):
            raise ConfigError(
                f"fine_tune.guard names {unknown[0]!r}; the directions of {config.model} are {', '.join(known)}"
            )
        for name in config.guard:
            if (target := known[name][1]) not in tokenizer.languages:
                raise ConfigError(
                    f"fine_tune.guard names {name!r}, but the tokenizer of data has no tag for {target}; it has "
                    f"{', '.join(tokenizer.languages)}. Leave that guard out, or prepare data with a corpus that is "
                    f"translated into {target} as well"
                )
        sets = {name: read_test_set([path], known[name]) for name, path in config.guard.items()}
        self._sets = {known[name]: spread(rows, validation.sentences) for name, rows in sets.items()}
        self._before: dict[str, float] | None = None

    def lost(self, model: Seq2Seq) -> dict[str, float]:
        """BLEU by direction that this model has less than the original; negative where it has more."""
        if self._before is None:
            original = Seq2Seq.with_weights(self._original.description.model, self._original.weights)
            original.to(next(model.parameters()).device)
            self._before = self._scores(original, self._original.tokenizer)
        now = self._scores(model, self._tokenizer)
        return {name: score - now[name] for name, score in self._before.items()}

    def _scores(self, model: Seq2Seq, tokenizer: Tokenizer) -> dict[str, float]:
        translator = Translator([stepper_of(model)], tokenizer, list(self._sets))
        scores = {}
        for (source, target), rows in self._sets.items():
            engines = engines_beside_training(next(model.parameters()).device.type)
            found = translator.translate([text for text, _ in rows], target, source, self._validation.search, engines)
            bleu = corpus_bleu([t.text for t in found], [refs for _, refs in rows], self._validation.tokenize)
            scores[f"{source}-{target}"] = bleu.score
        return scores
