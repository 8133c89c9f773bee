"""Languages by code: their names, and which one a text is in."""

from collections.abc import Sequence
from functools import lru_cache

from lingua import IsoCode639_1, Language, LanguageDetector, LanguageDetectorBuilder

from nmt.errors import InputError


def name(code: str) -> str:
    """The English name of a language, or the code itself where none is known."""
    language = _language(code)
    return language.name.capitalize() if language else code


def is_known(code: str) -> bool:
    """Whether `detect` can find texts in this language."""
    return _language(code) is not None


def detect(text: str, candidates: Sequence[str]) -> tuple[str, float]:
    """Which of the candidate languages a text is in, and how sure that is, from 0 to 1.

    Candidates that the detector does not know are passed over; a single candidate is the answer.
    """
    known = {language: code for code in sorted(candidates, reverse=True) if (language := _language(code))}
    if len(candidates) == 1:
        return candidates[0], 1.0
    if not known:
        raise InputError(f"source is auto, but none of {', '.join(candidates)} can be detected; name it", "source")
    if len(known) == 1:
        return next(iter(known.values())), 1.0
    readable = text.encode("utf-8", "ignore").decode()  # the detector fails at half a surrogate pair
    best = _detector(frozenset(known)).compute_language_confidence_values(readable)[0]
    return known[best.language], float(best.value)


def base_language(code: str) -> str:
    """`en` of `en`, `en-GB` and `EN-us`."""
    return code.split("-")[0].lower()


def _language(code: str) -> Language | None:
    iso: IsoCode639_1 | None = getattr(IsoCode639_1, base_language(code).upper(), None)
    return Language.from_iso_code_639_1(iso) if iso else None


@lru_cache(maxsize=8)
def _detector(languages: frozenset[Language]) -> LanguageDetector:
    return LanguageDetectorBuilder.from_languages(*languages).build()
