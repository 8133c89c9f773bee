"""What a request may ask for and a reply may hold."""

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from nmt import SearchConfig, TextHypothesis
from nmt.errors import InputError, TextTooLong
from nmt.search.automaton import Automaton
from nmt.text.tokenizer import Tokenizer
from service.replies import Wanted
from service.settings import Settings

_MOST_COMPARISONS = 200_000
_MOST_REFERENCES = 50
_MOST_STATES = 8000  # of the automata of a request, some of which take a millisecond each
_WEIGHTS_A_TOP = 10  # as much memory as so many weights


def check_texts(texts: Sequence[str], settings: Settings, field: str = "text") -> None:
    """Refuse too many texts."""
    if not texts:
        raise InputError(f"{field} is an empty list; send at least one text", field)
    if len(texts) > settings.max_texts:
        raise TextTooLong(f"{field} has {len(texts)} entries; send at most {settings.max_texts} at once", field)


def check_length(text: str, settings: Settings, field: str = "text") -> None:
    """Refuse a text that is too long."""
    if len(text) > settings.max_characters:
        raise TextTooLong(f"{field} has {len(text)} characters; at most {settings.max_characters} are allowed", field)


def work_of(texts: Sequence[str], search: SearchConfig, settings: Settings) -> int:
    """What it is to translate them, as `Load` counts; those that are too long are not translated."""
    return sum(len(text) for text in texts if len(text) <= settings.max_characters) * search.width


def check_comparisons(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Refuse what would take minutes to compare: the time of TER grows with the product of the lengths, and faster."""
    count = sum(
        len(hypothesis.split()) * len(reference.split())
        for hypothesis, own in zip(hypotheses, references, strict=True)
        for reference in own
    )
    if count > _MOST_COMPARISONS:
        raise TextTooLong(
            f"to compare them would be {count} times a word with a word, and can be {_MOST_COMPARISONS}; send fewer or "
            "shorter sentences at once",
            "references",
        )


def check_pairs(pairs: Sequence[tuple[str, str]], tokenizer: Tokenizer, target: str, max_weights: int) -> None:
    """Refuse pairs of text and translation, before they are scored, whose attention would be too large."""
    sources = tokenizer.source_ids([text for text, _ in pairs], target)
    ids = zip(sources, tokenizer.target_ids([translation for _, translation in pairs]), strict=True)
    count = sum(len(source) * len(translation) for source, translation in ids)
    if count > max_weights:
        raise TextTooLong(
            f"scoring looks at {count} pairs of pieces, and a request can have {max_weights}; send single sentences",
            "text",
        )


def allowed_search(search: SearchConfig, settings: Settings) -> SearchConfig:
    """Refuse a wider search than the settings allow, a larger beam or more samples; the default is made to fit."""
    unasked = "beam_size" not in search.model_fields_set and search.diversity_groups == 1
    if unasked and search.n_best <= settings.max_beam_size < search.beam_size:
        return search.model_copy(update={"beam_size": settings.max_beam_size})
    if search.width > settings.max_beam_size:
        name = "n_best" if search.method == "sample" or unasked else "beam_size"
        asked, field = getattr(search, name), f"search.{name}"
        raise InputError(f"{field} is {asked}; choose 1 to {settings.max_beam_size}", field)
    return search


def check_automata(automata: Collection[Automaton]) -> None:
    """Refuse guides, those of a request so far, that take too long to make and too much memory."""
    if sum(len(own.needed) for own in automata) > _MOST_STATES:
        raise InputError(
            "prefix, include, exclude and glossary ask too much of so many texts; send fewer texts at once, or shorter "
            "phrases",
            "search",
        )


def fitting(hypotheses: Sequence[TextHypothesis], wanted: Wanted) -> tuple[Wanted, str | None]:
    """What is wanted, less the alignments and alternatives if they would be too large for a reply; and then, that they
    are left out. The translations themselves are never lost to that."""
    pieces = sum(own.length for own in hypotheses)
    tops = _WEIGHTS_A_TOP * pieces * wanted.alternatives if "top" in wanted.details else 0
    most = sum(len(own.text) * sum(len(part.source.text) for part in own.parts) for own in hypotheses)
    if tops + len(wanted.levels) * most <= wanted.max_weights:  # no unit is shorter than a character
        return wanted, None
    count = tops + sum(math.prod(own.alignment_shape(level)) for own in hypotheses for level in wanted.levels)
    if count <= wanted.max_weights:
        return wanted, None
    rest = replace(wanted, levels=(), details=set(wanted.details) - {"top"})
    return rest, (
        f"alignments and alternatives were left out: they would have the size of {count} weights, and a reply can have "
        f"{wanted.max_weights}; send less text at once, or ask for fewer hypotheses, or not for top"
    )


def grouped_references(references: Sequence[str | list[str]], count: int, settings: Settings) -> list[list[str]]:
    """References as a list a text. Raises `InputError` when there is not one entry a text, or one has too many."""
    if len(references) != count:
        hint = "; several references of one text go into a list of their own: [[…, …]]" if count == 1 else ""
        raise InputError(
            f"references has {len(references)} entries for {count} texts; one each is wanted{hint}", "references"
        )
    groups = [[entry] if isinstance(entry, str) else entry for entry in references]
    for number, group in enumerate(groups):
        if not group:
            raise InputError(f"references {number} is an empty list; at least one reference is wanted", "references")
        if len(group) > _MOST_REFERENCES:
            raise TextTooLong(
                f"references {number} has {len(group)} entries; send at most {_MOST_REFERENCES} of one text",
                "references",
            )
        for reference in group:
            check_length(reference, settings, "references")
    return groups
