"""The model folder: what is written is read back, and whatever is altered, missing or unsafe is refused."""

import ast
import errno
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from nmt.arrays import Arrays
from nmt.config import ModelConfig
from nmt.errors import ModelFolderError
from nmt.model.shapes import weight_shapes
from nmt.package import FORMAT, Description, ModelFolder, save_model_folder, write_sums
from nmt.text.tokenizer import Tokenizer

NAMES = ["README.md", "config.json", "model.safetensors", "tokenizer/joint.model", "tokenizer/tokenizer.json"]
NEEDED = [name for name in NAMES if name != "README.md"]
UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


@pytest.fixture(scope="module")
def weights(tiny_config: ModelConfig) -> Arrays:
    """The weights of a network that was never trained."""
    rng, shapes = np.random.default_rng(0), weight_shapes(tiny_config)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def description(tiny_config: ModelConfig) -> Description:
    """What the folder says of itself."""
    return Description(name="tiny", version="7", directions=[("en", "de"), ("de", "en")], model=tiny_config)


@pytest.fixture(scope="module")
def original(
    tmp_path_factory: pytest.TempPathFactory,
    description: Description,
    tiny_tokenizer: Tokenizer,
    weights: Arrays,
) -> Path:
    """A sound folder, which no test may change."""
    path = tmp_path_factory.mktemp("models") / "made" / "tiny"
    save_model_folder(path, description, tiny_tokenizer, weights, "# Tiny\n")
    return path


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory, original: Path) -> Path:
    """A copy for tests that alter it and set it right again themselves."""
    return Path(shutil.copytree(original, tmp_path_factory.mktemp("victims") / "tiny"))


@pytest.fixture
def folder(tmp_path: Path, original: Path) -> Path:
    """A copy that the test may do anything to."""
    return Path(shutil.copytree(original, tmp_path / "tiny"))


def refusal(path: Path) -> str:
    """The message with which a folder is refused."""
    with pytest.raises(ModelFolderError) as caught:
        ModelFolder.load(path)
    return str(caught.value)


def test_a_folder_is_read_back_as_it_was_written(
    original: Path, description: Description, tiny_tokenizer: Tokenizer, weights: Arrays
) -> None:
    """Description and tokenizer are the same, and each weight is the float16 nearest to it."""
    loaded = ModelFolder.load(original)

    assert loaded.description == description
    assert loaded.tokenizer.encode_source("Baken.", "de") == tiny_tokenizer.encode_source("Baken.", "de")
    assert loaded.weights.keys() == weights.keys()
    for name, weight in weights.items():
        np.testing.assert_array_equal(loaded.weights[name], weight.astype(np.float16))
    assert loaded.parameters == sum(weight.size for weight in weights.values())


def test_a_folder_lists_all_its_files(original: Path) -> None:
    """The sums cover every file, the card included, in the format of `sha256sum`."""
    lines = (original / "SHA256SUMS").read_text().splitlines()

    assert [line[66:] for line in lines] == NAMES
    assert all(line[64:66] == "  " for line in lines)


def test_the_same_content_has_the_same_sum(original: Path, folder: Path) -> None:
    """`sha256` names the content, wherever it lies."""
    assert ModelFolder.load(folder).sha256 == ModelFolder.load(original).sha256


def test_other_content_has_another_sum(original: Path, folder: Path) -> None:
    """A changed card, duly summed, makes another model folder."""
    (folder / "README.md").write_text("# Other\n")
    write_sums(folder)

    assert ModelFolder.load(folder).sha256 != ModelFolder.load(original).sha256


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(data=st.data())
def test_a_flipped_byte_is_refused_by_the_name_of_its_file(victim: Path, name: str, data: st.DataObject) -> None:
    """Any byte of any file: nothing is parsed, and the message says which file was altered."""
    content = (victim / name).read_bytes()
    at, flip = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    (victim / name).write_bytes(content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :])
    try:
        message = refusal(victim)
    finally:
        (victim / name).write_bytes(content)

    assert message == f"{victim / name} was altered or damaged: its SHA-256 is not the one in SHA256SUMS"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_cut_short_is_refused(folder: Path, name: str) -> None:
    """A download that broke off leaves such files."""
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])

    assert name in refusal(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    """What the sums list has to be there."""
    (folder / name).unlink()

    assert refusal(folder) == f"{folder} lacks {name}; get the model folder again"


@pytest.mark.parametrize("name", NEEDED)
def test_a_file_that_is_read_but_has_no_sum_is_refused(folder: Path, name: str) -> None:
    """Striking a file off the list does not get it past the check."""
    sums = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
    (folder / "SHA256SUMS").write_text("".join(line for line in sums if not line.endswith(f"  {name}\n")))

    assert refusal(folder) == f"{folder / 'SHA256SUMS'} has no sum of {name}; get the model folder again"


def test_a_folder_without_sums_is_refused(folder: Path) -> None:
    """The sums are written last, so a folder without them was not finished."""
    (folder / "SHA256SUMS").unlink()

    assert refusal(folder) == f"{folder} has no SHA256SUMS: it is no model folder, or was not written whole"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"no sums at all\n", b"\n", b"0123 config.json\n"])
def test_damaged_sums_are_refused(folder: Path, content: bytes) -> None:
    """A file of sums that is none is named."""
    (folder / "SHA256SUMS").write_bytes(content)

    assert refusal(folder) == f"{folder / 'SHA256SUMS'} is damaged; get the model folder again"


@pytest.mark.parametrize("name", ["../outside", "tokenizer/../../outside", "{parent}/outside"])
def test_sums_that_lead_out_of_the_folder_are_refused(folder: Path, name: str) -> None:
    """The file is there and its sum is right, and still it is none of this folder's."""
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "SHA256SUMS").touch()
    (outside / "file").write_text("secret")
    write_sums(outside)
    checksum = (outside / "SHA256SUMS").read_text().split()[0]
    listed = f"{name.format(parent=folder.parent)}/file"
    with (folder / "SHA256SUMS").open("a") as sums:
        sums.write(f"{checksum}  {listed}\n")

    assert refusal(folder) == f"{folder} lacks {listed}; get the model folder again"


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    """A name inside that leads outside is outside."""
    shutil.move(folder / "README.md", folder.parent / "README.md")
    (folder / "README.md").symlink_to(folder.parent / "README.md")

    assert refusal(folder) == f"{folder} lacks README.md; get the model folder again"


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The message says what a model is and where one comes from."""
    path = tmp_path / "nowhere"

    assert refusal(path) == f"{path} is not there; a model is a folder, made by `nmt train`"


def test_a_file_instead_of_a_folder_is_refused(folder: Path) -> None:
    """Some give the weights instead of the folder."""
    path = folder / "model.safetensors"

    assert refusal(path) == f"{path} is a file; a model is a folder, made by `nmt train`"


@pytest.mark.parametrize("content", ["{", "", "[]", '"text"', "null", "\ud83d"])
def test_a_description_that_is_no_object_is_refused(folder: Path, content: str) -> None:
    """Sums may be right and the content still wrong."""
    (folder / "config.json").write_bytes(content.encode(errors="surrogatepass"))
    write_sums(folder)

    assert refusal(folder).startswith(f"{folder / 'config.json'} is not a JSON object: ")


@pytest.mark.parametrize("found", [FORMAT + 1, 0, "1", None])
def test_another_format_is_refused(folder: Path, found: object) -> None:
    """The message gives the format found, the one that can be read, and what to do."""
    change_description(folder, format=found)

    assert refusal(folder) == (
        f"{folder / 'config.json'} has format {found!r}; this version reads format {FORMAT}: update the project"
    )


def test_a_description_with_an_unknown_key_is_refused(folder: Path) -> None:
    """The message names the file, the key, and the keys that there are."""
    change_description(folder, author="me")

    assert refusal(folder) == (
        f"{folder / 'config.json'}: unknown key 'author'; known here: directions, format, model, name, version"
    )


@pytest.mark.parametrize("name", ["", "../tiny", "a/b", ".hidden", "x" * 65, "tiny\n"])
def test_a_name_that_could_be_a_path_is_refused(folder: Path, name: str) -> None:
    """Names become parts of addresses and of file names."""
    change_description(folder, name=name)

    assert f"name is {name!r}" in refusal(folder)


def test_a_model_of_no_direction_is_refused(folder: Path) -> None:
    """It could translate nothing."""
    change_description(folder, directions=[])

    assert "directions is []" in refusal(folder)


def test_weights_that_are_not_safetensors_are_refused(folder: Path) -> None:
    """The message names the file."""
    (folder / "model.safetensors").write_bytes(b"anything else")
    write_sums(folder)

    assert refusal(folder).startswith(f"{folder / 'model.safetensors'} is not a safetensors file: ")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused_when_read(folder: Path, weights: Arrays, value: float) -> None:
    """One such number would spread to every translation; the message names where it is."""
    (folder / "model.safetensors").write_bytes(save(spoiled(weights, "output.bias", value)))
    write_sums(folder)

    assert (
        refusal(folder)
        == f"{folder} has weights that are not finite (output.bias); train it again, or get the model folder again"
    )


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1e6])
def test_weights_that_float16_cannot_hold_are_refused_when_written(
    folder: Path, description: Description, tiny_tokenizer: Tokenizer, weights: Arrays, value: float
) -> None:
    """The message names the weight and the folder, and a folder that is already there stays as it was."""
    before = ModelFolder.load(folder).sha256

    with pytest.raises(ModelFolderError) as caught:
        save_model_folder(folder, description, tiny_tokenizer, spoiled(weights, "output.bias", value), "# Tiny\n")

    assert str(caught.value) == (
        f"output.bias has values that float16 cannot hold; the model was not written to {folder}"
    )
    assert ModelFolder.load(folder).sha256 == before


def test_weights_of_another_shape_are_refused(folder: Path, weights: Arrays) -> None:
    """Config and weights have to be of one run, and the message says which weights are not."""
    wrong = {"output.bias": np.zeros(3, np.float32), "other": np.zeros(1, np.float32)}
    (folder / "model.safetensors").write_bytes(save(wrong))
    write_sums(folder)

    with pytest.raises(ModelFolderError) as caught:
        ModelFolder.load(folder)

    assert "unknown ['other'], of another shape ['output.bias']" in str(caught.value)
    assert all(name in str(caught.value) for name in weights)


@pytest.mark.parametrize("type_name", ["BF16", "I64", "F64"])
def test_weights_of_another_type_are_refused(folder: Path, weights: Arrays, type_name: str) -> None:
    """What NumPy does not know, what would lose its digits, and what float32 cannot hold."""
    header = {name: {"dtype": type_name, "shape": weight.shape} for name, weight in weights.items()}
    size, at = {"BF16": 2, "I64": 8, "F64": 8}[type_name], 0
    for name, weight in weights.items():
        header[name]["data_offsets"] = (at, at + weight.size * size)
        at += weight.size * size
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(at))
    write_sums(folder)

    assert refusal(folder).endswith("this version reads float16 and float32")


def test_a_tokenizer_of_another_size_is_refused(folder: Path, weights: Arrays, description: Description) -> None:
    """It would ask the network for pieces that it does not have, or not know those that it gives."""
    sizes = {"source_vocabulary": 301, "target_vocabulary": 301}
    larger = description.model_copy(update={"model": description.model.model_copy(update=sizes)})
    save_model_folder(folder, larger, ModelFolder.load(folder).tokenizer, weights, "# Larger\n")

    assert refusal(folder).endswith("and the network 301 and 301; both must come from the same run")


def test_a_direction_that_the_tokenizer_has_no_tag_for_is_refused(folder: Path) -> None:
    """Every request for it would fail."""
    change_description(folder, directions=[["en", "xx"]])

    assert "to translate to xx, which its tokenizer has no tag for" in refusal(folder)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "circle"])
def test_names_that_no_file_can_have_are_refused(folder: Path, name: str) -> None:
    """And links that lead to themselves."""
    (folder / "circle").symlink_to("circle")
    with (folder / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  {name}\n")

    assert refusal(folder) == f"{folder} lacks {name}; get the model folder again"


@pytest.mark.parametrize("languages", ['"de"', "[1]", "null", "[" * 100_000])
def test_a_tokenizer_of_no_languages_is_refused(folder: Path, languages: str) -> None:
    """Also one whose JSON is nested deeper than it can be read."""
    (folder / "tokenizer/tokenizer.json").write_text(f'{{"languages": {languages}}}')
    write_sums(folder)

    assert refusal(folder).startswith(f"no tokenizer can be read from {folder / 'tokenizer'}: ")


def test_a_folder_can_be_written_over(
    folder: Path, description: Description, tiny_tokenizer: Tokenizer, weights: Arrays
) -> None:
    """An export that is repeated replaces what was there, sums included."""
    zeros = {name: np.zeros_like(weight) for name, weight in weights.items()}

    save_model_folder(folder, description, tiny_tokenizer, zeros, "# Zeros\n")

    assert not any(weight.any() for weight in ModelFolder.load(folder).weights.values())


@pytest.mark.parametrize("aside", [False, True])
def test_a_folder_whose_place_is_taken_while_it_is_read_is_read_anew(
    folder: Path, weights: Arrays, monkeypatch: pytest.MonkeyPatch, *, aside: bool
) -> None:
    """As by a run that writes its model again; between two renames, the old one stands aside."""
    old, new = folder.with_name(f".{folder.name}.before"), Path(shutil.copytree(folder, folder.with_name("new")))
    (new / "README.md").write_text("# New\n")
    write_sums(new)
    read, files = Path.read_bytes, []

    def replacing(path: Path) -> bytes:
        files.append(path)
        if len(files) == 2:
            folder.rename(old)
            if not aside:
                new.rename(folder)
                shutil.rmtree(old)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", replacing)
    found = ModelFolder.load(folder)

    assert found.path == (old if aside else folder)
    assert all(np.array_equal(weight, weights[name].astype(np.float16)) for name, weight in found.weights.items())


def test_no_module_can_run_code_from_a_model_file() -> None:
    """Neither library nor service imports pickle or its kin, or calls `torch.load`, which unpickles."""
    files = [file for package in ("nmt", "service") for file in sorted(package_folder(package).rglob("*.py"))]
    found = [f"{file}:{line}" for file in files for line in unsafe_lines(file.read_text(encoding="utf-8"))]

    assert len(files) > 20
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "import os, dill as d",
        "from joblib import load",
        "from torch import load",
        "torch.load(f)",
        "x = torch.serialization.load",
        "numpy.load(f, allow_pickle=True)",
    ],
)
def test_the_search_for_unsafe_code_finds_it(code: str) -> None:
    """A check that never fails would be worth nothing."""
    assert unsafe_lines(code) == [1]


def unsafe_lines(code: str) -> list[int]:
    """Numbers of the lines that import what unpickles, or reach for it."""
    return [node.lineno for node in ast.walk(ast.parse(code)) if is_unsafe(node)]


def is_unsafe(node: ast.AST) -> bool:
    """Whether the node imports or names what runs code from a file."""
    match node:
        case ast.Import(names=names):
            return any(alias.name.split(".")[0] in UNSAFE_MODULES for alias in names)
        case ast.ImportFrom(module=str(module), names=names):
            from_torch = module in {"torch", "torch.serialization"} and any(alias.name == "load" for alias in names)
            return module.split(".")[0] in UNSAFE_MODULES or from_torch
        case ast.Attribute(value=value, attr="load"):
            return ast.unparse(value) in {"torch", "torch.serialization"}
        case ast.keyword(arg="allow_pickle"):
            return True
    return False


def package_folder(package: str) -> Path:
    """Where a package of this project lies, without importing it."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def change_description(folder: Path, **changes: object) -> None:
    """Rewrite `config.json` and the sums."""
    values = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(values))
    write_sums(folder)


def spoiled(weights: Arrays, name: str, value: float) -> Arrays:
    """The weights with one number replaced."""
    changed = {own: weight.copy() for own, weight in weights.items()}
    changed[name].flat[-1] = value
    return changed


@pytest.mark.parametrize("name", ["SHA256SUMS", "model.safetensors"])
def test_a_file_that_may_not_be_read_is_named(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user owns nothing; it is not said to be missing."""
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(ModelFolderError, match=f"{name} cannot be read: Permission denied; let this user read"):
        ModelFolder.load(folder)
