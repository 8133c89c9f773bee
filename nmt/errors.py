"""Every exception that this project raises on purpose.

::

    NmtError
    ├── ConfigError            a setting is unknown, missing or out of range
    ├── InputError             what the caller sent cannot be translated or scored
    │   ├── TextTooLong
    │   └── UnknownLanguage    no such language, or no such direction in this model
    ├── DataError              a corpus or test file cannot be read
    ├── ModelFolderError       a model folder is incomplete, altered or of another format
    ├── TrainingError          a training run cannot go on
    │   ├── SaveError          what it has reached cannot be written
    │   ├── Diverged           its numbers are no longer finite
    │   └── Forgotten          a fine-tuned model has lost too much of what it could do
    └── EngineError
        ├── QueueFull          try again later
        ├── DeadlineExceeded
        └── EngineStopped

A message says what was wrong, what was given and what is wanted.
"""

from typing import ClassVar


class NmtError(Exception):
    """Root of the tree: catch this to catch everything that the project raises on purpose."""

    exit_status: ClassVar[int] = 2
    """With which the command line ends."""


class ConfigError(NmtError, ValueError):
    """A setting is unknown, missing or out of range."""


class InputError(NmtError, ValueError):
    """What the caller sent cannot be translated or scored; `field` names the culprit."""

    def __init__(self, message: str, field: str = "text") -> None:
        super().__init__(message)
        self.field = field


class TextTooLong(InputError):
    """A text has more characters than the limit allows."""


class UnknownLanguage(InputError):
    """The language, or the direction, is not one that the model was trained on."""


class DataError(NmtError):
    """A corpus or a test file cannot be read as what it claims to be."""


class VocabularyTooLarge(DataError):
    """A text does not give so many pieces; `largest` is how many it gives."""

    def __init__(self, message: str, largest: int) -> None:
        super().__init__(message)
        self.largest = largest


class ModelFolderError(NmtError):
    """A model folder is incomplete, altered, or of a format that this version does not read."""


class TrainingError(NmtError):
    """A training run cannot go on; the message says what to do."""


class SaveError(TrainingError):
    """What a run has reached cannot be written: a full disk, say. What was saved before is whole."""

    exit_status = 4


class Diverged(TrainingError):
    """Loss, gradient or weights of a run are no longer finite. What was saved before is whole and finite."""

    exit_status = 5


class Forgotten(TrainingError):
    """No checkpoint of a fine-tuned model kept what the recipe's guard asks it to keep."""

    exit_status = 6


class EngineError(NmtError):
    """The decode engine did not finish a request."""


class QueueFull(EngineError):
    """The queue of the engine is full; `retry_after_seconds` estimates when there is room."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class DeadlineExceeded(EngineError):
    """The request was not finished by its deadline."""


class EngineStopped(EngineError):
    """The engine is not running: stopped, or failed."""


def how_to_convert(file: object) -> str:
    """What to do with a text that is not UTF-8; the code page of Western Windows is what it mostly is in."""
    return f"if it is from Windows, convert it: iconv -f WINDOWS-1252 -t UTF-8 {file} > converted"
