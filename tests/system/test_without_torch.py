"""What works where only the dependencies of translating and serving are installed, as in the image."""

import subprocess
import sys
from pathlib import Path

import pytest


def without_torch(*arguments: object, kernels: bool = True, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `nmt` where torch cannot be imported, and perhaps no kernels are either."""
    code = "import sys; sys.modules['torch'] = None; from nmt import cli, kernels\n"
    code += "" if kernels else "kernels.available = tuple\n"
    command = [sys.executable, "-c", code + "cli.main()", *map(str, arguments)]
    done = subprocess.run(command, input="Der Hund.\n", capture_output=True, encoding="utf-8", timeout=300, check=False)
    assert done.returncode == status, done.stderr
    return done


SHORT = ("--set", "max_length=8")


@pytest.mark.parametrize("options", [(), ("--set", "include=['house']"), ("--set", "method=sample")])
def test_translates(tiny_folder: Path, options: tuple[str, ...]) -> None:
    """In every way to search, from an ensemble as well."""
    folders = ("--model", tiny_folder, "--model", tiny_folder)

    assert without_torch("translate", *folders, "--source", "de", "--target", "en", *options).stdout.strip()


def test_scores_and_evaluates(tiny_folder: Path, tmp_path: Path) -> None:
    """A test set, and translations that somebody brings."""
    (tmp_path / "test.tsv").write_text("Der Hund.\tThe dog.\n", encoding="utf-8")
    directions = ("--source", "de", "--target", "en", "--model", tiny_folder)

    assert "BLEU" in without_torch("evaluate", tmp_path / "test.tsv", *directions).stdout
    assert without_torch("score", *directions, status=2).stderr.startswith("line 1: 'Der Hund.' is no pair")


def test_makes_corpora(tmp_path: Path) -> None:
    """What a model writes for another one, and the links of words; all that it takes is there."""
    (tmp_path / "text").write_text("Der Hund.\nTom.\n", encoding="utf-8")
    options = ("--source", "de", "--target", "en", "--output", tmp_path / "made.tsv")

    assert "2 pairs are in" in without_torch("backtranslate", tmp_path / "text", *options, *SHORT).stderr
    for command in (("links", tmp_path), ("distill", tmp_path, *options)):
        assert "holds no finished corpus" in without_torch(*command, status=2).stderr


def test_the_command_that_trains_says_what_it_lacks() -> None:
    """And the help still lists it."""
    refused = without_torch("train", "recipe.toml", "--output", "run", status=2)

    assert refused.stderr == "error: nmt train needs torch, which is not installed; install the project as nmt[train]\n"
    assert without_torch("--help").stdout.count("Needs torch") == 1


def test_without_kernels_there_is_nothing_to_decode_with(tiny_folder: Path) -> None:
    """The message says how to get one or the other."""
    options = ("--model", tiny_folder, "--source", "de", "--target", "en")
    refused = without_torch("translate", *options, kernels=False, status=2)

    assert "neither compiled kernels nor torch: install a C compiler, then nmt again" in refused.stderr
