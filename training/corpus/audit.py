"""What may be wrong with training sets although no rule drops it: it is counted and shown, and people decide."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from nmt.config import Config
from nmt.text.languages import base_language, detect, is_known, name
from training.corpus.cleaning import Example, shortened
from training.corpus.records import Direction, TextPairs
from training.corpus.sentences import fold

_GRAM = 6  # characters
_MOST_OF = 0.8
_FEWEST_GRAMS = 20
_EXAMPLES = 5

_SAMPLE = 2000  # pairs a corpus
_CLEAR = 40  # characters that a language needs to be told from many others; of shorter ones, 2 % are taken for another
_SURE = 0.8
_COMMON = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "sv", "ru")


class Finding(Config):
    """So many of what was checked have the fault that `what` names."""

    what: str
    checked: int
    found: int
    examples: tuple[Example, ...] = ()

    def text(self) -> str:
        """A line, then the examples."""
        lines = [f"{self.found:,} of {self.checked:,} {self.what}"]
        lines += [f"  {example.file}:{example.line}  [{example.detail}]  {example.text}" for example in self.examples]
        return "\n".join(lines) + "\n"


TrainingPairs = Mapping[str, tuple[Direction, TextPairs]]
"""Languages and pairs by the file that they are written to, in which an example's line is counted."""


def near_copies(train: TrainingPairs, held_out: Mapping[str, Iterable[str]]) -> Iterator[Finding]:
    """How many dev and test sentences, by language, have a near copy in the training sets.

    A near copy has at least 80 % of the sentence's sequences of 6 characters, after case and punctuation are folded;
    sentences with less than 20 of them are not checked. Equal sentences are not in the training sets any more.
    """
    for language, sentences in held_out.items():
        known = _Grams(sentences)
        near: set[int] = set()
        examples: list[Example] = []
        for file, (languages, pairs) in train.items():
            for side in [
                side for side, other in enumerate(languages) if base_language(other) == base_language(language)
            ]:
                for line, pair in enumerate(pairs, start=1):
                    for number in known.contained_in(pair[side]) - near:
                        near.add(number)
                        if len(examples) < _EXAMPLES:
                            text = shortened(pair[side])
                            detail = shortened(known.sentences[number])
                            examples.append(Example(file=file, line=line, detail=detail, text=text))
        yield Finding(
            what=f"dev and test sentences in {language} have a near copy in the training sets",
            checked=len(known.sentences),
            found=len(near),
            examples=tuple(examples),
        )


class _Grams:
    """Sentences, found by sequences of characters.

    A text that has 80 % of a sentence's sequences has at least one of any 21 % of them; so each sentence is filed under
    that many, the rarest, and compared in full only with texts that have one (prefix filtering: Chaudhuri et al. 2006).
    """

    def __init__(self, sentences: Iterable[str]) -> None:
        distinct = {sentence: _grams(sentence) for sentence in dict.fromkeys(sentences)}
        self.sentences = [sentence for sentence, grams in distinct.items() if len(grams) >= _FEWEST_GRAMS]
        self._grams = [distinct[sentence] for sentence in self.sentences]
        frequency = Counter(gram for grams in self._grams for gram in grams)
        self._filed: defaultdict[str, list[int]] = defaultdict(list)
        for number, grams in enumerate(self._grams):
            rarest = sorted(grams, key=lambda gram: (frequency[gram], gram))
            for gram in rarest[: len(grams) - self._needed(number) + 1]:
                self._filed[gram].append(number)

    def contained_in(self, text: str) -> set[int]:
        """The numbers of the sentences of which the text has most."""
        grams = _grams(text)
        candidates = {number for gram in self._filed.keys() & grams for number in self._filed[gram]}
        return {number for number in candidates if len(self._grams[number] & grams) >= self._needed(number)}

    def _needed(self, number: int) -> int:
        return -int(-_MOST_OF * len(self._grams[number]) // 1)  # rounded up


def _grams(text: str) -> set[str]:
    folded = fold(text)
    return {folded[start : start + _GRAM] for start in range(len(folded) - _GRAM + 1)}


def other_languages(train: TrainingPairs) -> Iterator[Finding]:
    """How many sentences of a sample, evenly spread over each training set, are in a language that it should not have.

    Short ones are not checked: in few letters, languages cannot be told apart.
    """
    for file, (languages, pairs) in train.items():
        step = max(1, len(pairs) // _SAMPLE)
        for side, language in enumerate(languages):
            if not is_known(language):
                continue
            texts = [(line, pair[side]) for line, pair in islice(enumerate(pairs, start=1), 0, None, step)]
            clear = [(line, text) for line, text in texts if len(text) >= _CLEAR]
            candidates = list(dict.fromkeys((language, *_COMMON)))
            found = [
                Example(file=file, line=line, detail=f"looks like {name(code)}", text=shortened(text))
                for line, text in clear
                for code, confidence in [detect(text, candidates)]
                if base_language(code) != base_language(language) and confidence >= _SURE
            ]
            yield Finding(
                what=f"sampled sentences of {_CLEAR} characters or more of {file} that should be in {language} are not",
                checked=len(clear),
                found=len(found),
                examples=tuple(found[:_EXAMPLES]),
            )
