"""A running service as a translator."""

import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx2

from nmt.config import SearchConfig
from nmt.errors import ConfigError, InputError, NmtError
from training.report.html import Translated

_CHUNK = 25  # texts a request: far below what a service accepts by default
_TRIES = 20


def translate_remotely(
    url: str, texts: Sequence[str], source: str, target: str, search: SearchConfig, *, aligned: bool
) -> tuple[list[Translated], str, float]:
    """Translate through `POST /translate`, with alignments or without. Returns the translations, the model's name and
    the seconds.

    What is too much for one request or reply of the service is asked for in halves; of a single text that is too long
    for it, the alignment is left out.
    """
    options = {"search": search.model_dump(exclude_defaults=True), "alignment": "words" if aligned else "none"}
    done: list[Translated] = []
    name = ""
    started = time.perf_counter()
    with _client(url) as client:
        waiting = [list(texts[first : first + _CHUNK]) for first in reversed(range(0, len(texts), _CHUNK))]
        while waiting:
            chunk = waiting.pop()
            body = {"text": chunk, "source": source, "target": target, "priority": "bulk", **options}
            reply = _post(client, body)
            if len(chunk) > 1 and (reply is None or (aligned and "warnings" in reply)):
                waiting += [chunk[len(chunk) // 2 :], chunk[: len(chunk) // 2]]
            elif reply is None:
                raise InputError(f"line {len(done) + 1} is too long for the service; cut it, or raise its limits")
            else:
                name = reply["model"]["name"]
                done += [_translated(len(done) + i, item) for i, item in enumerate(reply["translations"])]
    return done, name, time.perf_counter() - started


def _client(url: str) -> httpx2.Client:
    try:
        return httpx2.Client(base_url=url.rstrip("/") + "/", timeout=120)
    except httpx2.InvalidURL as error:
        raise ConfigError(f"--url is {url!r}: {error}; wanted: such as http://127.0.0.1:8000") from error


def _post(client: httpx2.Client, body: dict[str, Any]) -> dict[str, Any] | None:
    """One request, or nothing where it is too large, or several texts take too long; waits as told while the service is
    busy. Raises `NmtError` with what the service says."""
    for _ in range(_TRIES):
        try:
            response = client.post("translate", json=body)
        except httpx2.HTTPError as error:
            raise NmtError(f"the service at {client.base_url} does not answer: {error}") from error
        if response.status_code not in (429, 503):
            break
        wait = response.headers.get("Retry-After", "")
        time.sleep(int(wait) if wait.isdecimal() else 1)  # it may be a date
    several = len(body["text"]) > 1
    if response.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or (
        several and response.status_code == HTTPStatus.GATEWAY_TIMEOUT
    ):
        return None
    if response.status_code != HTTPStatus.OK:
        raise NmtError(f"the service answered {response.status_code}: {response.text[:500]}")
    try:
        reply: dict[str, Any] = response.json()
    except ValueError as error:
        raise NmtError(f"what answers at {client.base_url} is no such service: {response.text[:200]!r}") from error
    return reply


def _translated(number: int, item: dict[str, Any]) -> Translated:
    if item.get("error"):
        raise InputError(f"the service could not translate line {number + 1}: {item['error']['detail']}")
    alignment = item["hypotheses"][0].get("alignment")
    if alignment is None:
        return Translated(item["text"], [], [], [])
    words = [[unit["text"] for unit in alignment[side]] for side in ("source", "target")]
    return Translated(item["text"], words[0], words[1], alignment["weights"])
