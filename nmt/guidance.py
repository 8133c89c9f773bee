"""From what a request asks of a translation to a guide for each of its sentences, or a clear no."""

from collections.abc import Sequence
from functools import lru_cache

from nmt.config import SearchConfig
from nmt.errors import InputError
from nmt.search.automaton import FAR, Automaton
from nmt.search.guides import Guide, fewest
from nmt.search.reading import Demand
from nmt.text.tokenizer import Pieces, Tokenizer

_EXCLUDED = "send words that must not come"
_INCLUDED = "send words that must come"


class Guidance:
    """Makes guides over the target pieces of a tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def of(self, sources: Sequence[Pieces], search: SearchConfig) -> list[Guide]:
        """Of each sentence of a text, which begins as its first sentence does, and says what it must say in the first
        one that has room for all of it.

        Raises `InputError` for what contradicts itself or has no room.
        """
        prefix, excluded = self._prefix(search), self._normalized(search.exclude, "exclude", _EXCLUDED)
        wanted = self._normalized(search.include, "include", _INCLUDED)
        longest = [search.lengths(len(source))[1] for source in sources]
        guides = [self._guide(prefix if number == 0 else "", excluded) for number in range(len(sources))]
        if prefix:
            _check_prefix(guides[0], search.prefix, longest[0])
        if wanted:
            self._check_wanted(wanted, excluded)
            options = [self._guide(prefix if number == 0 else "", excluded, wanted) for number in range(len(sources))]
            self._include(guides, options, longest)
        return guides

    def _include(self, guides: list[Guide], options: list[Guide], longest: list[int]) -> None:
        """Give the first sentence for which it is possible the option that includes more."""
        needed = [fewest(guide) for guide in options]
        for number, guide in enumerate(options):
            if needed[number] <= longest[number]:
                guides[number] = guide
                return
        raise InputError(
            f"include has at least {min(needed)} pieces, with prefix and what must stand between, but the translation "
            f"of a sentence may have {max(longest)}; raise max_length or ask for less",
            "search.include",
        )

    def _guide(self, prefix: str, excluded: tuple[str, ...], wanted: tuple[str, ...] = ()) -> Guide:
        if not (prefix or excluded or wanted):
            return ()
        return tuple(self._automaton(Demand(prefix, phrase, excluded=excluded)) for phrase in wanted or ("",))

    def _check_wanted(self, wanted: Sequence[str], excluded: tuple[str, ...]) -> None:
        for phrase in wanted:
            if fewest(self._guide("", excluded, (phrase,))) >= FAR:
                raise InputError(
                    f"include has {phrase!r}, which exclude leaves no place for; send one of both", "search.include"
                )

    def _prefix(self, search: SearchConfig) -> str:
        """As the model begins a text: with a space, which the text loses."""
        text = self._tokenizer.normalize(search.prefix).text
        return f" {text}{' ' * search.prefix[-1].isspace()}" if text else ""

    def _normalized(self, phrases: Sequence[str], field: str, advice: str) -> tuple[str, ...]:
        """Sorted, so that the same phrases have the same automaton."""
        normalized = {self._tokenizer.normalize(phrase).text for phrase in phrases}
        if "" in normalized:
            raise InputError(f"{field} has an empty phrase; {advice}", f"search.{field}")
        return tuple(sorted(normalized))

    @lru_cache(maxsize=32)  # noqa: B019 - lives as long as what uses it
    def _automaton(self, demand: Demand) -> Automaton:
        return Automaton.of(demand, self._tokenizer.target_symbols)


def _check_prefix(guide: Guide, prefix: str, longest: int) -> None:
    needed = fewest(guide)
    if needed >= FAR:
        raise InputError(f"prefix {prefix!r} has a phrase that exclude forbids; send one of both", "search.prefix")
    if needed > longest:
        raise InputError(
            f"prefix has at least {needed} pieces, but the translation may have {longest}; raise max_length",
            "search.prefix",
        )
