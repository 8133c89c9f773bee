"""Train a translation service on your own sentences, run it on an ordinary computer, see why each word came out so.

>>> from nmt import Translator
>>> translation = Translator.load().translate(["Ein Hund schläft."], target="en", source="de")[0]

Glossary, one word an idea, everywhere: source and target (sides) · piece (subword unit) · memory (encoder output) ·
keys (projected memory) · context (attention mix) · hypothesis (search path) · row (a hypothesis slot in the engine) ·
links (hard alignment) · weights (soft alignment) · model folder (the package on disk). Axes of tensors: B batch ·
S source pieces · T target pieces · V vocabulary · H hidden · K beam · R rows.
"""

from nmt.config import ModelConfig, SearchConfig
from nmt.errors import NmtError
from nmt.translation import TextHypothesis, Translation
from nmt.translator import Translator

__all__ = ["ModelConfig", "NmtError", "SearchConfig", "TextHypothesis", "Translation", "Translator"]
