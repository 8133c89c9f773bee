"""The models that are served, each with its decode threads."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from nmt import SearchConfig, Translator
from nmt.directions import AUTO, Directions
from nmt.errors import ConfigError, InputError
from nmt.package import NAME, ModelFolder
from nmt.runtime.threads import an_engine_a_core
from nmt.translator import BOX, load_model
from service.engine import Decoder
from service.errors import UnknownModel
from service.settings import Settings

_ENOUGH = 1000
"""Characters that tell in which language the texts of a request are, where several models could translate them."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A translator and what is known of its folder."""

    name: str
    version: str
    sha256: str
    parameters: int
    translator: Translator
    decoder: Decoder


class Registry:
    """Finds the model for a request: by name, or the first that knows the direction."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self.models = list(models)
        self._directions = Directions([pair for own in models for pair in own.translator.directions], "this service")

    @classmethod
    def load(cls, settings: Settings) -> "Registry":
        """Load the folders, or the model in the box. Raises `ConfigError` for two models of one name."""
        engines = an_engine_a_core()
        named: dict[str, ModelFolder] = {}
        for given in settings.models or [BOX]:
            title, path = _placed(given)
            folder = load_model(path)
            name = title or folder.description.name
            if name in named:
                raise ConfigError(
                    f"the models in {named[name].path} and {folder.path} are both named {name!r}, and requests could "
                    f"not say which; give one of them another name: NAME={folder.path}"
                )
            named[name] = folder
        return cls([_served(name, folder, settings, engines) for name, folder in named.items()])

    def start(self) -> None:
        """Start the decode threads of all models."""
        for model in self.models:
            model.decoder.start()

    async def find(self, name: str | None, source: str, target: str, texts: Sequence[str]) -> ServedModel:
        """The named model, or the first that knows the direction; with `auto`, that of the language of the texts.

        Raises `UnknownModel`, `UnknownLanguage`, and `InputError` for a single text that is in another language.
        """
        if name is not None:
            model = self._named(name)
            _check(Directions(model.translator.directions), source, target)
            return model
        _check(self._directions, source, target)
        if source == AUTO and len(self.models) > 1:
            source = await run_in_threadpool(self._detect, texts, target)
        able = [model for model in self.models if target in {own for _, own in model.translator.directions}]
        return next((model for model in able if (source, target) in model.translator.directions), able[0])

    def _named(self, name: str) -> ServedModel:
        for model in self.models:
            if model.name == name:
                return model
        known = ", ".join(model.name for model in self.models)
        raise UnknownModel(f"there is no model {name!r}; this service has {known}", "model")

    def _detect(self, texts: Sequence[str], target: str) -> str:
        """Of several texts in a language that cannot be translated, each is left to a model to complain about."""
        try:
            return self._directions.detect(" ".join(texts)[:_ENOUGH], target)
        except InputError:
            if len(texts) == 1:
                raise
            return AUTO

    @property
    def ready(self) -> bool:
        """Whether every model answers."""
        return all(model.decoder.alive for model in self.models)

    def close(self) -> None:
        """Stop the decode threads."""
        for model in self.models:
            model.decoder.stop()


def _check(directions: Directions, source: str, target: str) -> None:
    """Raises `UnknownLanguage`."""
    if source == AUTO:
        directions.sources(target)
    else:
        directions.check(source, target)


def _placed(given: Path) -> tuple[str, Path]:
    """What a model is to be called, if anything, and its folder, from `NAME=FOLDER` or `FOLDER`."""
    name, equals, path = str(given).partition("=")
    return (name, Path(path)) if equals and re.match(NAME, name) and not given.exists() else ("", given)


def _served(name: str, folder: ModelFolder, settings: Settings, engines: int) -> ServedModel:
    translator = Translator.from_folders([folder], settings.precision)
    source, target = translator.directions[0]
    translator.translate(["a"], target, source, SearchConfig(max_length=4))  # the first run of a network is slow
    _log.info("loaded model %s from %s, to decode in %s", name, folder.path, translator.precision)
    description = folder.description
    decoder = Decoder(translator, settings.queue_size, engines)
    return ServedModel(name, description.version, folder.sha256, folder.parameters, translator, decoder)
