"""The programs that ours is measured against, installed by the scripts in a folder, and the sentences for both."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np

VOCABULARY = 8000
"""Of all networks in the benchmarks."""

Sentences = tuple[list[list[int]], list[list[int]]]


class Peers:
    """JoeyNMT 2.3 and CTranslate2 4.8, as PEERS and PEERS_WORK say."""

    def __init__(self, scripts: Path, work: Path) -> None:
        self._scripts, self._work = scripts, work
        if not (work / "data" / "joint.voc").exists():
            subprocess.run([scripts / "setup.sh", work], check=True, stdout=subprocess.DEVNULL)

    @classmethod
    def from_environment(cls) -> "Peers | None":
        """None without PEERS."""
        scripts = os.environ.get("PEERS")
        return cls(Path(scripts), Path(os.environ.get("PEERS_WORK") or ".peers").absolute()) if scripts else None

    def sentences(self, part: str) -> Sentences:
        """A part of Multi30k in the peer's own pieces, so that both count the same; a tag and an end as ours have."""
        import sentencepiece

        pieces = sentencepiece.SentencePieceProcessor(model_file=str(self._work / "data" / "joint.model"))
        lines = [(self._work / "data" / f"{part}.{side}").read_text("utf-8").splitlines() for side in ("en", "de")]
        sources, targets = (pieces.encode(side) for side in lines)
        return [[4, *ids, 3] for ids in sources], [[*ids, 3] for ids in targets]

    def training_speed(self) -> float:
        """JoeyNMT's target tokens a second in 60 updates; the first report is left out, which includes the start."""
        found = re.findall(r"Tokens per Sec: *(\d+)", self._output("joeynmt.sh", "train"))
        return float(np.mean([float(number) for number in found[1:]]))

    def joeynmt(self, batch: int) -> float:
        """Its sentences a second, beam 5, exactly 16 steps."""
        if not (self._work / "joeynmt" / "60.ckpt").exists():
            self.training_speed()
        return float(self._output("joeynmt.sh", "decode", str(batch)).split()[0])

    def transformers(self) -> dict[str, float]:
        """Sentences a second of CTranslate2's, beam 5, exactly 16 steps; keys such as `tiny int8 batch 64`."""
        script = self._scripts / "ctranslate2_transformer.py"
        output = self._run([self._work / "venv" / "bin" / "python", script, self._work])
        return {name: float(speed) for name, speed in re.findall(r"^(.*): ([\d.]+) sentences/s", output, re.MULTILINE)}

    def _output(self, script: str, *arguments: str) -> str:
        return self._run([self._scripts / script, self._work, *arguments])

    @staticmethod
    def _run(command: list[Path | str]) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def made_up(count: int) -> tuple[list[list[int]], list[list[int]]]:
    """Sentences of random pieces; lengths and their correlation are those of Multi30k in a vocabulary of 8,000."""
    random = np.random.default_rng(0)
    source = np.clip(random.gamma(9.5, 1.6, count), 4, 60).astype(int)
    target = np.clip(source * random.normal(1.09, 0.19, count), 4, 60).astype(int)
    sides = ([random.integers(4, VOCABULARY, n).tolist() for n in lengths] for lengths in (source, target))
    return next(sides), next(sides)
