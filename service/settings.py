"""Settings of the service, from environment variables `NMT_…`."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from nmt.runtime.precision import PrecisionChoice

_PREFIX = "NMT_"


class Settings(BaseSettings):
    """Where to listen, what to serve, and how much one request may ask for."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True)

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8000, ge=0, le=65535)
    models: list[Path] = Field(
        [], description="model folders, as a JSON list, each FOLDER or NAME=FOLDER; empty: the model in the box"
    )
    precision: PrecisionChoice = Field("auto", description="of the products: fp32, int8, or auto, the fastest here")
    queue_size: int = Field(64, ge=1, description="requests that wait or are decoded; one more is refused with 429")
    deadline_seconds: float = Field(30.0, gt=0)
    max_body_bytes: int = Field(128 * 1024, ge=1024)
    max_texts: int = Field(50, ge=1)
    max_characters: int = Field(5000, ge=1, description="of one text")
    max_weights: int = Field(2_000_000, ge=1, description="of all alignments in a reply; each takes about 50 bytes")
    min_confidence: float = Field(0.0, ge=0, le=1, description="with less, a translation gets a warning")
    max_beam_size: int = Field(10, ge=1, le=32)


def variables() -> list[str]:
    """The names of all that the environment can set."""
    return [f"{_PREFIX}{name.upper()}" for name in Settings.model_fields]


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """Names that look as if they were a setting, and are none: a typing mistake must not go unseen."""
    return sorted(name for name in environment if name.upper().startswith(_PREFIX) and name.upper() not in variables())
