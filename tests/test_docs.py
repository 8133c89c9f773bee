"""What the documents promise is there."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nmt.cli import build
from nmt.package import PRETRAINED
from nmt.translator import load_model
from service.requests import TranslateRequest
from service.schemas import TranslateReply
from training.config import read_recipe
from training.corpus.config import read_corpora

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Relative links and pictures exist."""
    targets = re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [t for t in targets if not re.match(r"https?:", t) and not (document.parent / t).exists()]

    assert missing == []


def test_make_targets_exist() -> None:
    """Each `make x` of the documents is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    named = {name for document in DOCUMENTS for name in re.findall(r"\bmake ([a-z][a-z-]+)\b", document.read_text())}
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))

    assert {"serve", "test"} <= named <= targets


def test_commands_and_options_exist() -> None:
    """Each `nmt x --option` of the documents is known to the command line."""
    texts = [document.read_text(encoding="utf-8") for document in DOCUMENTS]
    used: dict[str, set[str]] = {}
    for name, rest in re.findall(r"^(?:\.venv/bin/)?nmt ([a-z]+)(.*(?:\\\n.*)*)", "\n".join(texts), flags=re.MULTILINE):
        used.setdefault(name, set()).update(re.findall(r"--[a-z-]+", rest))

    assert used.keys() <= {command.name for command in build([]).registered_commands}
    for name, options in used.items():
        help_text = subprocess.run(
            [sys.executable, "-m", "nmt", name, "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert {option for option in options if option not in help_text} == set(), name


def test_the_list_of_corpora_is_one(tmp_path: Path) -> None:
    """The TOML file of docs/data.md is read without an error."""
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/data.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "corpora.toml").write_text(block, encoding="utf-8")

    assert [corpus.title for corpus in read_corpora(tmp_path / "corpora.toml").corpora] == ["house", "web", "en-fr"]


def test_the_recipes_for_fine_tuning_are_some(tmp_path: Path) -> None:
    """The TOML files of docs/training.md are read without an error."""
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/training.md").read_text(encoding="utf-8"), re.DOTALL)
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.toml").write_text(block, encoding="utf-8")
    house, italian = (read_recipe(tmp_path / f"{number}.toml").fine_tune for number in range(len(blocks)))

    assert house
    assert set(house.guard) == {"en-de", "de-en"}
    assert italian
    assert load_model(italian.model).path.parent == PRETRAINED


def test_example_requests_are_valid() -> None:
    """Every JSON body that the README sends to /translate is one."""
    bodies = re.findall(r"-d '(\{.*?\})'", README, flags=re.DOTALL)

    assert bodies
    for body in bodies:
        TranslateRequest.model_validate_json(body)


def test_the_figures_of_the_model_in_the_box_are_those_of_its_card() -> None:
    """The README's BLEU on the test sets is the one that was measured when the model was made."""
    (folder,) = PRETRAINED.glob("*/config.json")
    card = folder.with_name("README.md").read_text(encoding="utf-8")
    for direction in map("-".join, json.loads(folder.read_text(encoding="utf-8"))["directions"]):
        (row,) = re.findall(rf"^\| {direction}, (.*)", README, re.MULTILINE)
        shown = [cell.split()[0] for cell in row.split(" | ")[1:4]]
        measured = re.findall(rf"^\| test \| {direction} \| ([0-9.]+) \| (?:bleu|chrf|ter)", card, re.MULTILINE)

        assert shown == measured, direction


def test_the_pretrained_model_is_whole_and_attributed() -> None:
    """Tatoeba and its licence are named in the card and in the README."""
    card = next(PRETRAINED.glob("*/README.md")).read_text()

    for text in (card, README):
        assert "Tatoeba" in text
        assert "CC BY 2.0 FR" in text


def test_vendored_files_are_unchanged() -> None:
    """They have the sums that stand beside them."""
    vendor = ROOT / "service/web/vendor"
    for line in (vendor / "SHA256SUMS").read_text().splitlines():
        checksum, name = line.split()

        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == checksum


def test_the_lock_file_pins_every_dependency() -> None:
    """Each dependency of pyproject.toml has one exact version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["train"], *extras["dev"]]
    names = {re.split(r"[<>=;\[ ]", entry)[0].lower().replace("_", "-") for entry in wanted}
    locked = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().splitlines())

    assert names <= {name.lower().replace("_", "-") for name in locked}


def test_the_api_example_of_the_readme_is_json() -> None:
    """The reply that is shown parses, and has the fields of a reply."""
    (block,) = re.findall(r"```json\n(.*?)```", README, flags=re.DOTALL)

    assert TranslateReply.model_validate_json(block).translations[0].hypotheses[0].alignment
