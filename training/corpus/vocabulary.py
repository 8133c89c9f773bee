"""The vocabulary of a prepared corpus: learned from its training sets, or that of a model to fine-tune."""

from itertools import islice

from nmt.errors import ConfigError, VocabularyTooLarge
from nmt.text.learning import train_tokenizer
from nmt.text.tokenizer import Tokenizer
from nmt.translator import load_model
from training.corpus.config import PrepareConfig
from training.corpus.prepared import weighted, weighted_size
from training.corpus.sets import Sets, Tell

# What there is beside tags and characters: the 256 bytes, padding, unknown, start and end.
_SPECIAL_PIECES = 260
_MOST_PAIRS = 500_000  # that a tokenizer is learned from


def reused_tokenizer(config: PrepareConfig) -> Tokenizer | None:
    """That of the model folder that the settings name, if it knows all target languages."""
    if config.tokenizer_from is None:
        return None
    tokenizer = load_model(config.tokenizer_from).tokenizer
    for source, target in config.directions:
        if target not in tokenizer.languages:
            raise ConfigError(
                f"{config.tokenizer_from} translates into {', '.join(tokenizer.languages)}, but the corpora want "
                f"{source}-{target}; leave that direction out, or learn a new tokenizer and train a new model"
            )
    return tokenizer


def learn_tokenizer(config: PrepareConfig, sets: Sets, tell: Tell) -> Tokenizer:
    """Learn from the training sets alone, as often as their weights say, since that is what the model will see.

    Of more pairs than `_MOST_PAIRS` it learns from as many, evenly spaced: more text would take much more memory and
    time, and hardly change the pieces. A size that nobody has asked for is lowered if the text cannot fill it.
    """
    read, written = _sample(config, sets)
    targets = list(dict.fromkeys(target for _, target in config.directions))
    settings = config.tokenizer
    while True:
        tell(f"learning the tokenizer ({settings.algorithm}, {settings.vocabulary_size:,} pieces)")
        try:
            return train_tokenizer(read, written, targets, settings)
        except VocabularyTooLarge as error:
            least = _SPECIAL_PIECES + len(targets) + len(set().union(*read, *written))
            if "vocabulary_size" in config.tokenizer.model_fields_set or error.largest < least:
                raise
            tell(f"the text gives at most {error.largest:,} pieces")
            # In the middle: the largest vocabulary would have whole sentences as pieces.
            settings = settings.model_copy(update={"vocabulary_size": (least + error.largest) // 2})


def _sample(config: PrepareConfig, sets: Sets) -> tuple[list[str], list[str]]:
    """What the tokenizer learns from: texts that the model reads, and those that it writes."""
    parts = [(corpus, sets.train[corpus.title]) for corpus in config.corpora]
    total = sum(weighted_size(len(own), corpus.weight, config.seed) for corpus, own in parts)
    pairs = (
        pair if corpus.wanted[0] == corpus.forward else pair[::-1]
        for corpus, own in parts
        for pair in weighted(own, corpus.weight, config.seed)
    )
    sample = list(islice(pairs, 0, None, max(1, -(-total // _MOST_PAIRS))))
    return [own for own, _ in sample], [own for _, own in sample]
