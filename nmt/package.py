"""The model folder: everything that a translation needs, checked before any of it is parsed."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field
from safetensors import SafetensorError
from safetensors.numpy import load, save

from nmt.arrays import Arrays
from nmt.config import Config, ModelConfig
from nmt.disk import replace_folder, whole_folder
from nmt.errors import ModelFolderError
from nmt.model.shapes import check_weights
from nmt.text.tokenizer import Tokenizer

FORMAT = 1
PRETRAINED = Path(__file__).parent / "pretrained"
"""Where the model in the box is."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What a model may be called: it stands in addresses and in the names of folders."""

_SUMS = "SHA256SUMS"
_TYPES = "this version reads float16 and float32"
_TOKENIZER = "tokenizer"


class Description(Config):
    """`config.json`. `directions` are the pairs of languages that the model was trained to translate."""

    format: int = FORMAT
    name: str = Field(pattern=NAME)
    version: str = "1"
    directions: list[tuple[str, str]] = Field(min_length=1)
    model: ModelConfig


@dataclass(frozen=True)
class ModelFolder:
    """A model folder in memory. `sha256` names this very content: it is the sum of the file of sums."""

    path: Path
    description: Description
    tokenizer: Tokenizer
    weights: Arrays
    sha256: str

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a folder. Raises `ModelFolderError` when a file is missing or altered, when weights, config and
        tokenizer do not fit each other, or a weight is not finite."""
        # What is parsed is what was summed, also where the folder is written anew meanwhile.
        path, sums, content = _verified(path)
        description = _read_description(content["config.json"], path / "config.json")
        tokenizer = Tokenizer.read(lambda name: content[f"{_TOKENIZER}/{name}"], where=str(path / _TOKENIZER))
        _check_tokenizer(tokenizer, description, path)
        weights = _read_weights(content["model.safetensors"], path / "model.safetensors")
        check_weights(description.model, weights)
        broken = _not_finite(weights)
        if broken:
            raise ModelFolderError(
                f"{path} has weights that are not finite ({broken[0]}); train it again, or get the model folder again"
            )
        return cls(path, description, tokenizer, weights, sums)

    @property
    def parameters(self) -> int:
        """How many numbers the network has learned."""
        return sum(weight.size for weight in self.weights.values())


def save_model_folder(path: Path, description: Description, tokenizer: Tokenizer, weights: Arrays, card: str) -> None:
    """Write a folder, or replace one: whatever happens meanwhile, the old or the new one is there as a whole.

    Weights are stored in float16, which costs no measurable quality and halves the folder.
    """
    with np.errstate(over="ignore"):
        halves = {name: np.ascontiguousarray(weight, np.float16) for name, weight in weights.items()}
    broken = _not_finite(halves)
    if broken:
        raise ModelFolderError(f"{broken[0]} has values that float16 cannot hold; the model was not written to {path}")

    def fill(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(save(halves))
        (folder / "config.json").write_text(description.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(card, encoding="utf-8")
        tokenizer.save(folder / _TOKENIZER)
        write_sums(folder)

    replace_folder(path, fill)


def write_sums(path: Path) -> None:
    """List every file of the folder with its SHA-256, in the format of `sha256sum`."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != _SUMS)
    lines = [f"{_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
    (path / _SUMS).write_text("".join(lines), encoding="utf-8")


def _not_finite(weights: Arrays) -> list[str]:
    return sorted(name for name, weight in weights.items() if not np.isfinite(weight).all())


def _verified(path: Path) -> tuple[Path, str, dict[str, bytes]]:
    """Where the folder is, and as `_verify`; where another has taken its place meanwhile, that one."""
    while True:
        place = _place(path)
        try:
            return place[0], *_verify(place[0])
        except ModelFolderError:
            if _place(path) == place:
                raise


def _place(path: Path) -> tuple[Path, int]:
    """Where a folder is, and what tells it from one that takes its place."""
    found = whole_folder(path)
    try:
        return found, found.stat().st_ino
    except OSError:
        return found, 0


def _verify(path: Path) -> tuple[str, dict[str, bytes]]:
    """Compare every file with its sum, before anything is parsed.

    Returns the sum of the sums, and by its name what is in each file that will be parsed.
    """
    if not path.is_dir():
        raise ModelFolderError(
            f"{path} is {'a file' if path.exists() else 'not there'}; a model is a folder, made by `nmt train`"
        )
    try:
        content = (path / _SUMS).read_bytes()
        lines = (line.split("  ", 1) for line in content.decode("utf-8").splitlines())
        listed = {name: checksum for checksum, name in lines}
    except PermissionError as error:
        raise _unreadable(path / _SUMS, error) from error
    except OSError as error:
        inside = path / "model"  # of a run
        hint = f"; did you mean {inside}?" if (inside / _SUMS).is_file() else ""
        raise ModelFolderError(
            f"{path} has no {_SUMS}: it is no model folder, or was not written whole{hint}"
        ) from error
    except ValueError as error:
        raise ModelFolderError(f"{path / _SUMS} is damaged; get the model folder again") from error
    vocabularies = (f"{_TOKENIZER}/{file.name}" for file in (path / _TOKENIZER).glob("*.model"))
    parsed = {"config.json", "model.safetensors", f"{_TOKENIZER}/tokenizer.json", *vocabularies}
    found = {}
    for name in sorted({*parsed, *listed}):
        if name not in listed:
            raise ModelFolderError(f"{path / _SUMS} has no sum of {name}; get the model folder again")
        file = _within(path, name)
        try:
            if name in parsed:
                found[name] = file.read_bytes()
            checksum = hashlib.sha256(found[name]).hexdigest() if name in found else _sha256(file)
        except OSError as error:
            raise _unreadable(file, error) from error
        if checksum != listed[name]:
            raise ModelFolderError(f"{path / name} was altered or damaged: its SHA-256 is not the one in {_SUMS}")
    return hashlib.sha256(content).hexdigest(), found


def _unreadable(file: Path, error: OSError) -> ModelFolderError:
    return ModelFolderError(f"{file} cannot be read: {error.strerror}; let this user read the model folder")


def _within(path: Path, name: str) -> Path:
    """A file of the folder, which is there and nowhere else."""
    try:
        file = (path / name).resolve()
        if file.is_relative_to(path.resolve()) and file.is_file():
            return file
    except (OSError, ValueError, RuntimeError):  # names that no file can have, links in a circle
        pass
    raise ModelFolderError(f"{path} lacks {name}; get the model folder again")


def _read_weights(content: bytes, path: Path) -> Arrays:
    try:
        weights = load(content)
    except KeyError as error:
        raise ModelFolderError(f"{path} has weights of type {error}; {_TYPES}") from error
    except SafetensorError as error:
        raise ModelFolderError(f"{path} is not a safetensors file: {error}") from error
    other = sorted(name for name, weight in weights.items() if weight.dtype not in (np.float16, np.float32))
    if other:
        raise ModelFolderError(f"{path} has {other[0]} of type {weights[other[0]].dtype}; {_TYPES}")
    return weights


def _check_tokenizer(tokenizer: Tokenizer, description: Description, path: Path) -> None:
    has = tokenizer.source_vocabulary, tokenizer.target_vocabulary
    wanted = description.model.source_vocabulary, description.model.target_vocabulary
    if has != wanted:
        raise ModelFolderError(
            f"the tokenizer in {path} has {has[0]} and {has[1]} pieces of source and target, and the network "
            f"{wanted[0]} and {wanted[1]}; both must come from the same run"
        )
    unknown = sorted({target for _, target in description.directions}.difference(tokenizer.languages))
    if unknown:
        raise ModelFolderError(
            f"{path} is to translate to {unknown[0]}, which its tokenizer has no tag for; "
            f"it has {', '.join(tokenizer.languages)}"
        )


def _read_description(content: bytes, path: Path) -> Description:
    try:
        values = json.loads(content.decode("utf-8"))
        found = values.get("format")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ModelFolderError(f"{path} is not a JSON object: {error}") from error
    if found != FORMAT:
        raise ModelFolderError(f"{path} has format {found!r}; this version reads format {FORMAT}: update the project")
    try:
        return Description.read(values, where=str(path))
    except ValueError as error:
        raise ModelFolderError(str(error)) from error


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
