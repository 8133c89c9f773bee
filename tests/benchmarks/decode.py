"""How fast decoding is: `make bench-decode`, with PEERS=FOLDER also JoeyNMT and CTranslate2 in turn.

Every figure comes once for each precision of this processor, from a process of its own. Networks have random weights,
for the speed does not depend on them, and a bias that keeps the end of sentence away: beam 5, exactly 16 steps, as the
peers have it. `small` is the network of `training/recipes/multi30k.en-de.toml`. PEERS and PEERS_WORK are those of
`make bench-train`.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from figures import report, untrained
from peers import VOCABULARY, Peers, made_up
from serving import Service, serving

from nmt.config import ModelConfig, SearchConfig
from nmt.kernels import Precision, available
from nmt.runtime.packed import PackedStepper
from nmt.runtime.threads import an_engine_a_core
from nmt.search.engine import search_all
from nmt.text.tokenizer import END
from training.config import read_recipe

ROUNDS, SENTENCES, ALONE, CLIENTS = 3, 320, 40, 32
BEAM = SearchConfig(max_length=15)
GREEDY = SearchConfig(method="greedy", max_length=15)
RECIPE = Path(__file__).parents[2] / "training" / "recipes" / "multi30k.en-de.toml"
JOEYNMT: dict[str, Any] = {
    "embedding_size": 256,
    "encoder_size": 256,
    "encoder_layers": 1,
    "decoder_size": 512,
    "decoder_layers": 1,
    "attention_size": 512,
    "wiring": "input_feeding",
}
TEXT = {"text": "A dog is sleeping in front of the old house.", "source": "en", "target": "de"}

Speeds = dict[str, float]


def main() -> None:
    """Measure and print; ours and the peers take turns, so that a slow moment of the machine hits all."""
    peers = Peers.from_environment()
    ours: dict[str, list[Speeds]] = {precision: [] for precision in available()}
    theirs: list[Speeds] = []
    for _ in range(ROUNDS):
        for precision, speeds in ours.items():
            output = subprocess.run([sys.executable, __file__, precision], check=True, capture_output=True, text=True)
            speeds.append(json.loads(output.stdout))
        if peers:
            theirs.append({"joeynmt 64": peers.joeynmt(64), "joeynmt 1": peers.joeynmt(1), **peers.transformers()})
    for precision, speeds in ours.items():
        report_speeds(precision, middle(speeds), middle(theirs) if peers else {})
    for precision in (*ours, "auto"):
        report_service(precision)


def measure(precision: Precision) -> Speeds:
    """Sentences a second, by kind of network, of batch and of search."""
    engines, peers = an_engine_a_core(), Peers.from_environment()
    sources = (peers.sentences("first320") if peers else made_up(SENTENCES))[0]
    small = read_recipe(RECIPE).model
    speeds: Speeds = {}
    for name, shape, vocabulary in (("", JOEYNMT, VOCABULARY), ("small ", small, VOCABULARY // 2)):
        config = ModelConfig.read({**shape, "source_vocabulary": vocabulary, "target_vocabulary": vocabulary}, name)
        weights = untrained(config)
        weights["output.bias"][END] = -50
        stepper = PackedStepper(config, weights, precision)
        own = [[piece % vocabulary for piece in source] for source in sources]
        for search, method in ((BEAM, "beam"), (GREEDY, "greedy")):
            search_all(stepper, own[:64], search, engines)  # warm
            started = time.perf_counter()
            search_all(stepper, own, search, engines)
            speeds[f"{name}{method} 64"] = len(own) / (time.perf_counter() - started)
            started = time.perf_counter()
            for source in own[:ALONE]:
                search_all(stepper, [source], search)
            speeds[f"{name}{method} 1"] = ALONE / (time.perf_counter() - started)
    return speeds


def middle(rounds: list[Speeds]) -> Speeds:
    """The median of each figure over the rounds: another user of the machine slows one of them down."""
    return {name: median(own[name] for own in rounds) for name in rounds[0]}


def report_speeds(precision: str, ours: Speeds, theirs: Speeds) -> None:
    """Print the figures of one precision."""
    for name, prefix in (("", "decode."), ("small ", "decode.small.")):
        report(f"{prefix}batch64_sentences_per_s", ours[f"{name}beam 64"], "sentences/s", precision=precision)
        report(f"{prefix}batch64_greedy_sentences_per_s", ours[f"{name}greedy 64"], "sentences/s", precision=precision)
        report(f"{prefix}single_ms", 1000 / ours[f"{name}beam 1"], "ms", precision=precision)
        report(f"{prefix}single_greedy_ms", 1000 / ours[f"{name}greedy 1"], "ms", precision=precision)
    for prefix, own, peer in (
        ("decode.{}_ratio_to_joeynmt", "beam {}", "joeynmt {}"),
        ("decode.{}_ratio_to_ct2_base_int8", "beam {}", "base int8 batch {}"),
        ("decode.small.{}_ratio_to_ct2_tiny_int8", "small beam {}", "tiny int8 batch {}"),
    ):
        for size, batch in (("batch64", 64), ("single", 1)):
            speed = theirs.get(peer.format(batch))
            if speed:
                ratio = ours[own.format(batch)] / speed
                report(prefix.format(size), ratio, "times", precision=precision, peer_sentences_per_s=round(speed, 1))


def report_service(precision: str) -> None:
    """With the model in the box: how long until the first translation, with what memory, and many clients at once."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "nmt", "translate", "--source", "en", "--target", "de", "--precision", precision]
    subprocess.run(command, input=b"A dog.\n", check=True, capture_output=True)
    report("decode.start_s", time.perf_counter() - started, "s, process to first translation", precision=precision)
    os.environ["NMT_PRECISION"] = precision
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "log.txt") as service:
        ask(service, 5)
        started = time.perf_counter()
        ask(service, SENTENCES)
        serial = SENTENCES / (time.perf_counter() - started)
        with ThreadPoolExecutor(CLIENTS) as clients:
            started = time.perf_counter()
            list(clients.map(lambda _: ask(service, SENTENCES // CLIENTS * 4), range(CLIENTS)))
            together = 4 * SENTENCES / (time.perf_counter() - started)
        status = Path(f"/proc/{service.process.pid}/status").read_text()
    details = {"precision": precision, "serial_per_s": round(serial, 1), "together_per_s": round(together, 1)}
    report("decode.clients32_ratio_to_serial", together / serial, "times", **details)
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    report("decode.memory_mb", peak / 1024, "MiB, the most so far, of the service", precision=precision)


def ask(service: Service, times: int) -> None:
    """Have one sentence translated, again and again, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    for _ in range(times):
        connection.request("POST", "/translate", json.dumps(TEXT), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        if reply.status != 200:
            raise RuntimeError(reply.read().decode())
        reply.read()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))  # type: ignore[arg-type]
    else:
        main()
