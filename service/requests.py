"""What requests look like."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from nmt.config import SearchConfig
from nmt.search.queue import Priority
from nmt.text.normalize import SURROGATE


class Request(BaseModel):
    """Base of all requests: a field that does not exist is an error, so that a typing mistake does not go unseen."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _unicode(text: str) -> str:
    """JSON can spell half a surrogate pair, which is no text, and which no reply could repeat."""
    if not text.isascii() and SURROGATE.search(text):
        raise ValueError("half a surrogate pair is no valid Unicode")
    return text


def _named(language: str) -> str:
    """What is scored may be short, and is looked at by who knows the language."""
    if language == "auto":
        raise ValueError("the language of the text is not detected here; name it")
    return language


String = Annotated[str, AfterValidator(_unicode)]
Text = Annotated[str, Field(description="any length up to the limit; sentences are split and joined again")]
"""May be a bad one of several, which gets an error of its own; all else must be right for any to be answered."""
Language = Annotated[str, Field(examples=["en"], max_length=20), AfterValidator(_unicode)]
AlignmentChoice = Literal["none", "words", "pieces", "both", "characters"]
Detail = Literal["tokens", "top", "words"]
Share = Annotated[float, Field(ge=0, le=1)]


class TranslateRequest(Request):
    """One text or a list of texts."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "Ein Hund schläft.", "source": "de", "target": "en"}]}
    )

    text: Text | list[Text]
    target: Language
    source: Language = "auto"
    model: String | None = None
    references: list[String | list[String]] | None = Field(None, description="one entry a text: a reference or several")
    search: SearchConfig = SearchConfig()
    alignment: AlignmentChoice = "words"
    details: list[Detail] = Field(
        [],
        description="tokens: log-probability of each piece; top: its alternatives too; words: confidence of each word",
    )
    alternatives: int = Field(5, ge=1, le=50, description="how many pieces `top` has at each place")
    priority: Priority = Field("interactive", description="bulk work lets interactive work go first, mostly")
    min_confidence: Share | None = Field(None, description="below it `quality.warnings` says so; default: a setting")


class ScoreRequest(Request):
    """A text and a translation of it, or as many of one as of the other."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "Ein Hund schläft.", "translation": "A dog is sleeping.", "source": "de", "target": "en"}
            ]
        }
    )

    text: Text | list[Text]
    translation: Text | list[Text]
    source: Annotated[Language, AfterValidator(_named)]
    target: Language
    model: String | None = None
    alignment: AlignmentChoice = "words"
    details: list[Detail] = []
    alternatives: int = Field(5, ge=1, le=50)
    min_confidence: Share | None = None


class EvaluateRequest(Request):
    """Sources and references; without `hypotheses` the service translates the sources itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sources": ["Ein Hund schläft.", "Die Kinder spielen."],
                    "references": ["A dog is sleeping.", ["The children play.", "The children are playing."]],
                    "source": "de",
                    "target": "en",
                }
            ]
        }
    )

    sources: list[String] = Field(min_length=1)
    references: list[String | list[String]]
    hypotheses: list[String] | None = None
    source: Language = "auto"
    target: Language
    model: String | None = None
    search: SearchConfig = SearchConfig()
