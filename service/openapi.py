"""What `openapi.json` says beyond what the framework knows: how much of each a request may ask for here."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from service.settings import Settings

_WIDTHS = "beam_size", "n_best", "diversity_groups"
_TEXTS = {
    "TranslateRequest": ("text", "references"),
    "ScoreRequest": ("text", "translation"),
    "EvaluateRequest": ("sources", "references", "hypotheses"),
}


def describe_limits(app: FastAPI, settings: Settings) -> None:
    """Where the library would allow more than the settings do, let the description have the latter."""
    described: Callable[[], dict[str, Any]] = app.openapi

    def openapi() -> dict[str, Any]:
        whole = described()
        schemas = whole["components"]["schemas"]
        for name in _WIDTHS:
            width = schemas["SearchConfig"]["properties"][name]
            width["maximum"] = settings.max_beam_size
            width["default"] = min(width["default"], settings.max_beam_size)
        for request, fields in _TEXTS.items():
            for field in fields:
                _limit(schemas[request]["properties"][field], settings)
        return whole

    app.openapi = openapi  # type: ignore[method-assign]  # as the framework's manual has it


def _limit(schema: dict[str, Any], settings: Settings) -> None:
    """A text, or as many as one request may have."""
    for kind in schema.get("anyOf", [schema]):
        if kind["type"] == "string":
            kind["maxLength"] = settings.max_characters
        elif kind["type"] == "array":
            kind["maxItems"] = settings.max_texts
            for own in kind["items"].get("anyOf", [kind["items"]]):
                text = own if own["type"] == "string" else own["items"]
                text["maxLength"] = settings.max_characters
