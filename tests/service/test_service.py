"""The service over its HTTP interface: what it answers, and what it refuses and how."""

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Match

from nmt import SearchConfig, Translator
from nmt import errors as library_errors
from nmt.errors import EngineError, NmtError, QueueFull, VocabularyTooLarge
from nmt.search.engine import Engine
from service import limits
from service.app import create_app
from service.engine import Decoder
from service.errors import STATUS, problem_of
from service.registry import Registry
from service.replies import _rounded
from service.schemas import ProblemReply
from service.security import HEADERS
from service.settings import Settings

JSON = {"content-type": "application/json"}


def app_of(settings: Settings) -> FastAPI:
    """The app with the models that the settings name."""
    return create_app(Registry.load(settings), settings)


@pytest.fixture(scope="module")
def client(tiny_folder: Path) -> Iterator[TestClient]:
    """A service with the small model."""
    settings = Settings(models=[tiny_folder], max_texts=4, max_characters=300, max_body_bytes=4096, max_weights=5000)
    with TestClient(app_of(settings)) as client:
        yield client


def ask(client: TestClient, **fields: Any) -> dict[str, Any]:
    """`POST /translate`, which must succeed."""
    short = {"search": {"max_length": 12}, "source": "de", "target": "en"}
    response = client.post("/translate", json={**short, **fields})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_one_text(client: TestClient) -> None:
    """One text gives one translation with one hypothesis, the model's name and hash, and the timing."""
    body = ask(client, text="Der Hund schläft.")

    (translation,) = body["translations"]
    assert [h["text"] for h in translation["hypotheses"]] == [translation["text"]]
    assert body["model"]["name"] == "tiny"
    assert len(body["model"]["sha256"]) == 64
    assert body["timing"]["decode_ms"] > 0
    signs = {"confidence", "coverage", "repetition", "uncovered", "over_covered", "sentences", "warnings"}
    assert set(translation["quality"]) == signs


def test_terms_of_a_glossary_come_with_both_places(client: TestClient) -> None:
    """Only where the text has any, and each is where the reply says."""
    search = {"max_length": 20, "glossary": {"Hund": "dog"}, "include": ["the house"], "exclude": ["Tom"]}
    with_term, without = ask(client, text=["Der Hund schläft.", "Er schläft."], search=search)["translations"]

    (term,) = with_term["hypotheses"][0]["terms"]
    assert term["source"] == {"text": "Hund", "start": 4, "end": 8}
    assert with_term["text"][term["target"]["start"] : term["target"]["end"]] == term["target"]["text"]
    assert "terms" not in without["hypotheses"][0]
    assert all("the house" in translation["text"] for translation in (with_term, without))


def test_masked_words_get_no_attention(client: TestClient) -> None:
    """The alignment shows it; what would leave nothing to see is refused."""
    attention = [{"start": 4, "end": 8, "weight": 0}]
    body = ask(client, text="Der Hund schläft.", search={"max_length": 12, "attention": attention})
    weights = body["translations"][0]["hypotheses"][0]["alignment"]["weights"]
    everything = {"attention": [{"start": 0, "end": 17, "weight": 0}]}
    response = client.post(
        "/translate", json={"text": "Der Hund.", "source": "de", "target": "en", "search": everything}
    )

    assert all(row[1] == 0 and row[0] > 0 for row in weights)
    assert response.status_code == 422
    assert response.json()["field"] == "search.attention"


def test_the_service_says_what_the_library_says(client: TestClient, tiny_folder: Path) -> None:
    """The same text, score and alignment as `Translator.translate`."""
    search = SearchConfig(max_length=12, n_best=3)
    translation = Translator.load(tiny_folder).translate(["Der Hund schläft."], "en", "de", search)[0]
    body = ask(client, text="Der Hund schläft.", search=search.model_dump())

    hypotheses = body["translations"][0]["hypotheses"]
    assert [h["text"] for h in hypotheses] == [h.text for h in translation.hypotheses]
    assert [h["score"] for h in hypotheses] == pytest.approx([h.score for h in translation.hypotheses], abs=1e-3)
    assert [h["alignment"]["pharaoh"] for h in hypotheses] == [h.alignment().pharaoh for h in translation.hypotheses]


def test_every_hypothesis_is_aligned_and_its_offsets_are_true(client: TestClient) -> None:
    """Rows sum to 1; `text[start:end]` is the word, in the source that was sent and in the text that came back."""
    source = "Der 🙂 Hund schläft.\n\n  Und Tom?"
    body = ask(client, text=source, search={"n_best": 3, "max_length": 12})

    for hypothesis in body["translations"][0]["hypotheses"]:
        alignment = hypothesis["alignment"]
        assert [source[u["start"] : u["end"]] for u in alignment["source"]] == [u["text"] for u in alignment["source"]]
        target = hypothesis["text"]
        assert [target[u["start"] : u["end"]] for u in alignment["target"]] == [u["text"] for u in alignment["target"]]
        assert all(sum(row) == pytest.approx(1, abs=2e-3) for row in alignment["weights"])
        assert all(len(row) == len(alignment["source"]) for row in alignment["weights"])


def test_line_breaks_and_spaces_between_sentences_stay(client: TestClient) -> None:
    """What stands between sentences comes back as it was."""
    body = ask(client, text="Der Hund.\n\n  Das Haus.\tTom.\r\n")

    assert "\n\n  " in body["translations"][0]["text"]
    assert body["translations"][0]["text"].endswith("\r\n")


@pytest.mark.parametrize(
    ("choice", "words", "pieces"),
    [
        ("none", None, None),
        ("words", "words", None),
        ("pieces", "pieces", None),
        ("both", "words", "pieces"),
        ("characters", "characters", None),
    ],
)
def test_alignment_can_be_chosen(client: TestClient, choice: str, words: str | None, pieces: str | None) -> None:
    """None, words, pieces, both of these, or characters."""
    hypothesis = ask(client, text="Der Hund.", alignment=choice)["translations"][0]["hypotheses"][0]

    assert hypothesis.get("alignment", {}).get("level") == words
    assert hypothesis.get("alignment_pieces", {}).get("level") == pieces


@pytest.mark.parametrize("path", ["/translate", "/score"])
@pytest.mark.parametrize("search", [{}, {"n_best": 3}])
def test_alignments_too_large_for_a_reply_are_left_out(client: TestClient, path: str, search: dict[str, int]) -> None:
    """And the reply says so: the translation itself is not lost, however many of it there are."""
    own = {"search": {"max_length": 12, **search}} if path == "/translate" else {"translation": "the dog. " * 10}
    body = {"text": "Der Hund. " * 10, "source": "de", "target": "en", "alignment": "characters", **own}
    reply = client.post(path, json=body).json()
    found = reply["translations"][0]["hypotheses"] if path == "/translate" else reply["scores"]

    assert all(hypothesis["text"] and "alignment" not in hypothesis for hypothesis in found)
    assert re.search(
        r"left out: .* the size of \d+ weights, and a reply can have 5000; send less", reply["warnings"][0]
    )
    assert path == "/translate" or f"the size of {10 * 8 * 10 * 7} weights" in reply["warnings"][0]
    assert "warnings" not in client.post(path, json={**body, "alignment": "none"}).json()


def test_guides_too_many_for_one_request_are_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all texts of a request together; what several ask for alike is there once."""
    monkeypatch.setattr(limits, "_MOST_STATES", 30)
    body = {
        "source": "de",
        "target": "en",
        "search": {"max_length": 12, "glossary": {"Hund": "dog", "Tom": "Tommy boy"}},
    }
    same, different = (
        client.post("/translate", json={**body, "text": texts}) for texts in (["Hund"] * 4, ["Hund", "Tom"] * 2)
    )

    assert same.status_code == 200
    assert different.status_code == 422
    assert "ask too much of so many texts; send fewer texts" in different.json()["detail"]


def test_alternatives_too_many_for_a_reply_are_left_out(client: TestClient) -> None:
    """Each counts as ten weights; the tokens themselves stay."""
    body = {"text": "Der Hund.", "source": "de", "target": "en", "details": ["top"], "alternatives": 50}
    search = {"n_best": 5, "min_length": 11, "max_length": 12}
    body["details"] = ["tokens", "top"]
    reply = client.post("/translate", json={**body, "search": search}).json()

    assert "alignments and alternatives were left out" in reply["warnings"][0]
    assert all("top" not in token for token in reply["translations"][0]["hypotheses"][0]["tokens"])


def test_words_and_sentences_have_a_confidence(client: TestClient) -> None:
    """Offsets are in the translation; words are those of the alignment; a text is as sure as its pieces."""
    (translation,) = ask(client, text="Der Hund. Und Tom?", details=["words"])["translations"]
    (hypothesis,), quality = translation["hypotheses"], translation["quality"]

    assert [{k: word[k] for k in ("text", "start", "end")} for word in hypothesis["words"]] == (
        hypothesis["alignment"]["target"]
    )
    assert all(0 <= word["confidence"] <= 1 for word in hypothesis["words"])
    assert "tokens" not in hypothesis
    values = [sentence["confidence"] for sentence in quality["sentences"]]
    assert len(values) == 2
    assert min(values) <= quality["confidence"] <= max(values)
    assert [quality["sentences"][0]["start"], quality["sentences"][1]["end"]] == [0, len(translation["text"])]


def test_the_service_warns_below_the_confidence_that_is_asked_for(client: TestClient) -> None:
    """Random weights are sure of nothing; without a threshold nobody is told. Uncovered words are those of the text."""
    warned, silent = (
        ask(client, text="Der Hund.", alignment="none", **fields)["translations"][0]["quality"]
        for fields in ({"min_confidence": 0.9}, {})
    )

    assert "low_confidence" in warned["warnings"]
    assert "low_confidence" not in silent["warnings"]
    assert ("uncovered" in silent["warnings"]) == bool(silent["uncovered"])
    assert all("Der Hund."[word["start"] : word["end"]] == word["text"] for word in silent["uncovered"])


def test_the_threshold_may_be_a_setting(tiny_folder: Path) -> None:
    """NMT_MIN_CONFIDENCE holds for requests that name none."""
    with TestClient(app_of(Settings(models=[tiny_folder], min_confidence=0.9))) as client:
        marked = ask(client, text="Der Hund.")["translations"][0]["quality"]["warnings"]
        unmarked = ask(client, text="Der Hund.", min_confidence=0)["translations"][0]["quality"]["warnings"]

    assert "low_confidence" in marked
    assert "low_confidence" not in unmarked


def test_tokens_and_their_alternatives(client: TestClient) -> None:
    """The tokens' log-probabilities sum to the hypothesis'; greedy search chose the first alternative everywhere."""
    body = ask(client, text="Der Hund.", details=["tokens", "top"], search={"method": "greedy", "max_length": 6})
    hypothesis = body["translations"][0]["hypotheses"][0]

    assert sum(token["log_prob"] for token in hypothesis["tokens"]) == pytest.approx(hypothesis["log_prob"], abs=2e-3)
    assert len(hypothesis["tokens"]) == hypothesis["length"]
    for token in hypothesis["tokens"][:-1]:  # the last may have been forced by max_length
        assert token["top"][0]["log_prob"] == pytest.approx(token["log_prob"], abs=2e-3)


def test_references_give_bleu_and_chrf(client: TestClient) -> None:
    """For each text and for all; the translation as its own reference scores 100."""
    own = ask(client, text="Der Hund und Tom weiß nicht warum.", search={"min_length": 6, "max_length": 20})
    text = own["translations"][0]["text"]
    body = ask(
        client,
        text="Der Hund und Tom weiß nicht warum.",
        search={"min_length": 6, "max_length": 20},
        references=[["something else", text]],
    )

    assert body["bleu"]["score"] == pytest.approx(100)
    assert body["translations"][0]["chrf"]["score"] == pytest.approx(100)
    assert "nrefs:2" in body["bleu"]["signature"]


@pytest.mark.parametrize(
    ("bad", "status", "detail"),
    [
        ("  ", 422, "text is empty"),
        ("a" * 301, 413, "text has 301 characters"),
        ("a\ud800", 422, "text has half a surrogate pair"),
    ],
)
def test_a_bad_text_does_not_cost_its_neighbours_their_answer(
    client: TestClient, bad: str, status: int, detail: str
) -> None:
    """It gets an error of its own."""
    body = {"text": ["Der Hund.", bad, "Tom."], "search": {"max_length": 12}, "source": "de", "target": "en"}
    translations = client.post("/translate", content=json.dumps(body), headers=JSON).json()["translations"]

    assert [t["text"] is None for t in translations] == [False, True, False]
    assert translations[1]["error"]["status"] == status
    assert translations[1]["error"]["detail"].startswith(detail)
    assert translations[2]["text"] == ask(client, text="Tom.")["translations"][0]["text"]

    (alone,) = client.post("/translate", content=json.dumps({**body, "text": [bad]}), headers=JSON).json()[
        "translations"
    ]
    assert alone == translations[1]


def test_auto_detects_the_language(client: TestClient) -> None:
    """And says which."""
    body = ask(client, text="Warum schläft der Hund nicht im Haus?", source="auto", target="en")

    assert body["translations"][0]["detected_source"] == "de"


@pytest.mark.parametrize(("target", "language"), [("de", "German"), ("en", "English")])
def test_auto_does_not_take_a_text_for_what_it_is_not(client: TestClient, target: str, language: str) -> None:
    """What is in the wanted language already is no text of the other one."""
    texts = {"de": "Warum schläft der Hund nicht im Haus?", "en": "Why does the dog not sleep in the house?"}
    response = client.post("/translate", json={"text": texts[target], "target": target})

    assert response.status_code == 422
    assert f"the text looks {language}, and there is no translation from '{target}' to" in response.json()["detail"]
    ask(client, text=texts[target], target=target, source={"de": "en", "en": "de"}[target])


def test_a_smaller_limit_makes_the_default_beam_fit(tiny_folder: Path) -> None:
    """A request that names no size is not refused for it."""
    with TestClient(app_of(Settings(models=[tiny_folder], max_beam_size=2))) as client:
        own, wanted = (ask(client, text="Der Hund.", search=search) for search in ({}, {"beam_size": 2}))
        refused = client.post("/translate", json={"text": "Hund", "target": "en", "search": {"beam_size": 3}})

    assert own["translations"] == wanted["translations"]
    assert "search.beam_size is 3; choose 1 to 2" in refused.json()["detail"]


def test_a_bad_text_costs_the_scores_of_the_others_nothing(client: TestClient) -> None:
    """It is no translation without a single right word, but none."""
    alone = ask(client, text=["Der Hund."], references=["the dog"])
    beside = ask(client, text=["Der Hund.", ""], references=["the dog", "x"])

    assert beside["bleu"] == alone["bleu"]
    assert "bleu" not in beside["translations"][1]
    assert "bleu" not in ask(client, text=["", " "], references=["a", "b"])


def test_the_number_of_a_bad_source_is_said(client: TestClient) -> None:
    """By the name of the field that it has in the request."""
    body = {"sources": ["a", " "], "references": ["a", "b"], "source": "de", "target": "en"}

    assert client.post("/evaluate", json=body).json()["detail"].startswith("sources 1: text is empty; send")


def test_a_search_that_no_text_can_be_translated_by_is_the_requests_mistake(client: TestClient) -> None:
    """However many texts there are."""
    search = {"glossary": {"": "x"}}
    for text in ("Hund", ["Hund", "Tom"]):
        body = {"text": text, "source": "de", "target": "en", "search": search}
        response = client.post("/translate", json=body)
        assert (response.status_code, response.json()["field"]) == (422, "search.glossary")


def test_the_field_that_is_wrong_stands_alone_and_in_the_list(client: TestClient) -> None:
    """Whoever found it: the schema, or a limit of the service."""
    for size in (11, 33):
        body = {"text": "Hund", "source": "de", "target": "en", "search": {"beam_size": size}}
        problem = client.post("/translate", json=body).json()
        assert problem["field"] == "search.beam_size"
        assert [own["field"] for own in problem["errors"]] == ["search.beam_size"]


@pytest.mark.parametrize("count", [1, 70, 1000])
def test_rows_of_weights_sum_to_one(count: int) -> None:
    """Also where many of them are so small that they are rounded away."""
    weights = np.random.default_rng(count).dirichlet(np.full(count, 0.05), 40).astype(np.float32)
    rounded = _rounded(weights)

    assert np.allclose(rounded.sum(axis=1), 1, atol=1e-9)
    assert (rounded == rounded.round(4)).all()
    assert np.abs(rounded - weights).max() < 0.02


def test_the_description_knows_the_errors_that_are_sent(client: TestClient) -> None:
    """Each as problem+json, which the schema of the description fits."""
    paths = client.get("/openapi.json").json()["paths"]
    known = paths["/v1/translate"]["post"]["responses"]

    assert {"400", "404", "408", "413", "415", "422", "429", "503", "504"} <= known.keys()
    assert all("application/problem+json" in known[status]["content"] for status in known.keys() - {"200"})
    assert set(paths["/v1/models"]["get"]["responses"]) == {"200", "503"}
    wrong = client.post("/translate", json={"text": "a", "target": 5, "beams": 1}).json()
    assert len(ProblemReply.model_validate(wrong).errors or ()) == 2


def test_v1_is_the_same(client: TestClient) -> None:
    """With and without the prefix."""
    request = {"text": "Der Hund.", "source": "de", "target": "en", "search": {"max_length": 5}}
    answers = [client.post(path, json=request).json()["translations"] for path in ("/translate", "/v1/translate")]

    assert answers[0] == answers[1]


BAD = [
    ({"text": ""}, 422, "text is empty; send at least one character"),
    ({"text": []}, 422, "text is an empty list"),
    ({"text": 5}, 422, "text: Input should be a valid string, got 5"),
    ({"text": "\ud800"}, 422, "text has half a surrogate pair at 0; send valid Unicode"),
    ({"text": ["a", 1]}, 422, "text.1: Input should be a valid string, got 1"),
    ({"source": "x" * 21}, 422, "source: String should have at most 20 characters"),
    ({"target": "xx"}, 404, "no translation into 'xx'; this service has en to de, de to en"),
    ({"source": "xx"}, 404, "no translation from 'xx' to 'en'; this service has"),
    ({"model": "nobody"}, 404, "there is no model 'nobody'; this service has tiny"),
    ({"text": "a" * 301}, 413, "text has 301 characters; at most 300 are allowed"),
    ({"text": ["a"] * 5}, 413, "text has 5 entries; send at most 4 at once"),
    ({"text": "a " * 3000}, 413, "the request body is over 4096 bytes"),
    ({"search": {"beam_size": 11}}, 422, "search.beam_size is 11; choose 1 to 10"),
    ({"search": {"beam_size": 0}}, 422, "search.beam_size: Input should be greater than or equal to 1, got 0"),
    ({"search": {"n_best": 6}}, 422, "n_best is 6, but beam search keeps 5"),
    ({"search": {"n_best": 11, "method": "sample"}}, 422, "search.n_best is 11; choose 1 to 10"),
    ({"search": {"min_length": 9, "max_length": 8}}, 422, "min_length is 9, above max_length, which is 8"),
    ({"search": {"n_best": 11, "beam_size": 11}}, 422, "search.beam_size is 11; choose 1 to 10"),
    ({"search": {"beam_size": "5"}}, 422, "search.beam_size: Input should be a valid integer"),
    ({"search": {"beam_size": True}}, 422, "search.beam_size: Input should be a valid integer, got true"),
    ({"search": {"length_penalty": "1"}}, 422, "search.length_penalty: Input should be a valid number"),
    ({"search": {"include": "dog"}}, 422, "search.include: Input should be a valid list"),
    ({"search": {"beams": 3}}, 422, "search.beams: unknown field; /docs lists those that exist"),
    ({"references": ["a", "b"]}, 422, "references has 2 entries for 1 texts; one each is wanted; several references"),
    ({"references": [[]]}, 422, "references 0 is an empty list"),
    ({"references": [["a"] * 51]}, 413, "references 0 has 51 entries; send at most 50 of one text"),
    ({"references": ["a" * 301]}, 413, "references has 301 characters; at most 300 are allowed"),
    ({"alignment": "letters"}, 422, "alignment: Input should be 'none', 'words', 'pieces', 'both' or 'characters'"),
]


@pytest.mark.parametrize(("fields", "status", "detail"), BAD, ids=lambda value: str(value)[:40])
def test_bad_requests_are_explained(client: TestClient, fields: dict[str, Any], status: int, detail: str) -> None:
    """As problem+json: what was wrong, what was given, what is allowed."""
    body = {"text": "Der Hund.", "source": "de", "target": "en", **fields}
    headers = {"content-type": "application/json"}
    response = client.post("/translate", content=json.dumps(body), headers=headers)
    problem = response.json()

    assert response.status_code == problem["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert detail in problem["detail"]
    assert problem["error"] == problem["detail"]
    assert problem["instance"] == "/translate"


@pytest.mark.parametrize(
    ("content", "status", "detail"),
    [
        (b"{bad", 400, "the body is not valid JSON at character 1"),
        (b"", 400, "there is no body; send an object such as"),
        (b"[1]", 422, "the body is no JSON object; send an object such as"),
        (b"\xff", 400, "the body cannot be read as JSON; send UTF-8"),
        (b"[" * 2000, 400, "the body "),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(client: TestClient, content: bytes, status: int, detail: str) -> None:
    """With 400 for what is no JSON, 422 for what is none of ours."""
    response = client.post("/translate", content=content, headers={"content-type": "application/json"})

    assert response.status_code == status
    assert response.json()["detail"].startswith(detail)
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/translate", "/evaluate"])
def test_a_language_that_no_text_could_have_is_the_requests_mistake(client: TestClient, path: str) -> None:
    """Not one of each text, nor a score of 0."""
    texts = {"text": ["Der Hund.", "Tom."]} if path == "/translate" else {"sources": ["Tom."], "references": ["Tom."]}
    problem = client.post(path, json={**texts, "source": "de", "target": "xx"}).json()

    assert problem["status"] == 404
    assert "no translation into 'xx'" in problem["detail"]


def test_what_nobody_foresaw_is_a_problem_with_the_headers_of_all_replies(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word of the text."""
    monkeypatch.setattr(Registry, "find", lambda *_: 1 / 0)
    with TestClient(app_of(Settings(models=[tiny_folder])), raise_server_exceptions=False) as client:
        response = client.post("/translate", json={"text": "Geheim", "source": "de", "target": "en"})

    assert response.status_code == response.json()["status"] == 500
    assert "Geheim" not in response.text
    assert all(response.headers[name] == value for name, value in HEADERS.items())


@pytest.mark.parametrize(
    ("fields", "aside"),
    [
        ({}, False),
        ({"search": {"n_best": 5, "max_length": 12}}, False),
        ({"text": "Der Hund. " * 30, "search": {"n_best": 5}, "alignment": "none"}, True),
        ({"search": {"n_best": 5, "min_length": 250, "max_length": 300}}, True),
        ({"references": ["the dog"]}, True),
        ({"details": ["top"]}, True),
        ({"source": "auto"}, True),
        ({"search": {"prefix": "the"}}, True),
        ({"search": {"mbr": "chrf"}}, True),
    ],
    ids=str,
)
def test_only_what_is_quick_is_done_between_the_requests(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], aside: bool
) -> None:
    """What may take long goes to a thread, so that others are answered meanwhile."""
    used = []

    async def recorded(_: Decoder, work: Callable[[], Any], deadline: float) -> Any:
        used.append(deadline)
        return work()

    monkeypatch.setattr(Decoder, "plan", recorded)
    ask(client, **{"text": "Der Hund.", **fields})

    assert bool(used) == aside


def test_evaluate_scores_no_mistakes(client: TestClient) -> None:
    """What cannot be translated as the search asks is an error; so is what is too long to compare."""
    body = {"sources": ["Der Hund."], "references": ["the dog"], "source": "de", "target": "en"}
    for changes, status, detail in (
        ({"search": {"include": ["dog"], "exclude": ["dog"]}}, 422, "'dog'"),
        (
            {"references": [["a " * 150] * 10], "hypotheses": ["b " * 150]},
            413,
            "would be 225000 times a word with a word, and",
        ),
        ({"sources": ["a" * 301]}, 413, "sources 0: text has 301 characters"),
        ({"hypotheses": ["a" * 301]}, 413, "hypotheses has 301 characters"),
        ({"sources": ["a" * 301], "hypotheses": ["the dog"]}, 413, "sources has 301 characters"),
        ({"target": "zz", "hypotheses": ["the dog"]}, 404, "no translation into 'zz'; this service has"),
        ({"model": "tiny", "source": "en", "hypotheses": ["the dog"]}, 404, "from 'en' to 'en'; this model has"),
    ):
        problem = client.post("/evaluate", json={**body, **changes}).json()
        assert problem["status"] == status
        assert detail in problem["detail"]


def test_unknown_paths_and_methods_are_problems_too(client: TestClient) -> None:
    """404 and 405."""
    for response, status in ((client.get("/nowhere"), 404), (client.get("/translate"), 405)):
        assert response.status_code == response.json()["status"] == status


def test_score_agrees_with_the_search(client: TestClient) -> None:
    """The log-probability of a translation that the service made is the one that it gave."""
    found = ask(client, text="Der Hund.", search={"max_length": 40})["translations"][0]["hypotheses"][0]
    scored = client.post(
        "/score",
        json={
            **{"text": "Der Hund.", "translation": found["text"], "source": "de", "target": "en"},
            **{"details": ["top"], "alternatives": 2, "min_confidence": 1},
        },
    ).json()["scores"][0]

    assert scored["log_prob"] <= found["log_prob"] + 1e-3  # the given pieces may be cut in another way than the found
    assert {len(token["top"]) for token in scored["tokens"]} == {2}
    assert "low_confidence" in scored["quality"]["warnings"]
    assert all(sum(row) == pytest.approx(1, abs=2e-3) for row in scored["alignment"]["weights"])


def test_score_refuses_what_is_no_sentence(client: TestClient) -> None:
    """Before it is scored: the work grows with the product of both lengths."""
    body = {"text": "Der Hund. " * 29, "translation": "the dog. " * 29, "source": "de", "target": "en"}
    problem = client.post("/score", json=body).json()

    assert problem["status"] == 413
    assert "pairs of pieces, and a request can have 5000; send single sentences" in problem["detail"]


@pytest.mark.parametrize("bad", ["", "\ud800", "a" * 301])
def test_a_bad_pair_does_not_cost_its_neighbours_their_score(client: TestClient, bad: str) -> None:
    """Whichever side of it is bad; alone, it is the request's mistake."""
    body = {"text": ["Der Hund.", bad, "Tom."], "translation": ["the dog", "x", bad]}
    languages = {"source": "de", "target": "en"}
    reply = client.post("/score", content=json.dumps({**body, **languages}), headers=JSON).json()
    first, second, third = reply["scores"]
    alone = {"text": "Der Hund.", "translation": "the dog", **languages}

    assert [first] == client.post("/score", json=alone).json()["scores"]
    assert (second["text"], second["error"]["field"], third["error"]["field"]) == (None, "text", "translation")
    response = client.post("/score", content=json.dumps({**alone, "text": bad}), headers=JSON)
    assert response.status_code == second["error"]["status"]


def test_score_wants_the_language_named(client: TestClient) -> None:
    """It does not look for it."""
    body = {"text": "Der Hund.", "translation": "the dog", "source": "auto", "target": "en"}
    problem = client.post("/score", json=body).json()

    assert (problem["status"], problem["field"]) == (422, "source")
    assert "the language of the text is not detected here; name it" in problem["detail"]


def test_score_wants_as_many_translations_as_texts(client: TestClient) -> None:
    """The message counts both."""
    body = {"text": ["a", "b"], "translation": "c", "source": "de", "target": "en"}
    response = client.post("/score", json=body)

    assert response.status_code == 422
    assert "translation has 1 entries for 2 texts" in response.json()["detail"]


def test_evaluate_scores_given_and_own_hypotheses(client: TestClient) -> None:
    """Perfect hypotheses score 100; without hypotheses the service translates."""
    body = {"sources": ["Der Hund.", "Tom."], "references": ["the dog sleeps in a house", "Tom does not know why"]}
    languages = {"source": "de", "target": "en", "search": {"max_length": 5}}
    perfect = client.post("/evaluate", json={**body, **languages, "hypotheses": body["references"]}).json()
    own = client.post("/evaluate", json={**body, **languages}).json()

    assert perfect["bleu"]["score"] == perfect["chrf"]["score"] == pytest.approx(100)
    assert perfect["ter"]["score"] == 0
    assert perfect["by_length"][0]["sentences"] == 2
    assert own["hypotheses"] == [
        t["text"] for t in ask(client, text=body["sources"], search={"max_length": 5})["translations"]
    ]


def test_evaluate_counts(client: TestClient) -> None:
    """Hypotheses and references must be as many as the sources."""
    body = {"sources": ["a"], "references": ["b"], "hypotheses": ["c", "d"], "source": "de", "target": "en"}

    assert "hypotheses has 2 entries for 1 sources" in client.post("/evaluate", json=body).json()["detail"]


def test_models_and_languages(client: TestClient) -> None:
    """What is served, with names that people read."""
    (model,) = client.get("/models").json()["models"]

    assert (model["name"], model["default"], model["directions"]) == ("tiny", True, [["en", "de"], ["de", "en"]])
    assert client.get("/languages").json() == {
        "languages": [
            {"code": "de", "name": "German", "targets": ["en"]},
            {"code": "en", "name": "English", "targets": ["de"]},
        ],
        "max_n_best": 10,
    }


def test_health_page_and_docs(client: TestClient) -> None:
    """All answer, and the pages may load nothing from elsewhere."""
    for path in ("/livez", "/readyz", "/", "/docs", "/openapi.json", "/static/app.js", "/vendor/swagger-ui.css"):
        response = client.get(path)

        assert response.status_code == 200, path
        assert response.headers["content-security-policy"].startswith("default-src 'self'")
        assert response.headers["cache-control"] == "no-cache"


def test_not_ready_before_the_models_are_loaded(tiny_folder: Path) -> None:
    """503 with Retry-After; alive all the same."""
    client = TestClient(app_of(Settings(models=[tiny_folder])))
    response = client.get("/readyz")

    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert client.get("/livez").status_code == 200


def test_a_full_queue_refuses_and_says_when_to_come_back(tiny_folder: Path) -> None:
    """429 with Retry-After, while those inside are answered."""
    with TestClient(app_of(Settings(models=[tiny_folder], queue_size=1))) as client:
        release = hold_up(client)
        body = {"text": "Der Hund.", "source": "de", "target": "en", "search": {"max_length": 5}}
        answers: list[int] = []
        waiting = threading.Thread(target=lambda: answers.append(client.post("/translate", json=body).status_code))
        waiting.start()
        until(lambda: len(decoder_of(client)._load), lambda waiting: waiting == 1)
        refused = client.post("/translate", json=body)
        release.set()
        waiting.join()

    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert "try again later" in refused.json()["detail"]
    assert answers == [200]


@pytest.mark.parametrize(
    ("texts", "model"),
    [
        (["Le chien dort dans la maison avec les enfants."], "tatoeba"),
        (["Der Hund schläft mit den Kindern im Haus."], "tiny"),
        (["Le chien.", "Nous voulons manger du pain et boire du lait."], "tatoeba"),
    ],
)
def test_of_several_models_the_language_chooses(tiny_folder: Path, texts: list[str], model: str) -> None:
    """The first that translates from it, of those that translate into the target."""
    with TestClient(app_of(Settings(models=[tiny_folder, Path("box")]))) as client:
        body = {"text": texts, "target": "en", "search": {"method": "greedy", "max_length": 5}}
        assert client.post("/translate", json=body).json()["model"]["name"] == model


def test_models_that_are_called_alike_get_other_names(tiny_folder: Path, tmp_path: Path) -> None:
    """As two versions of one do, to be compared; a folder that has such a name is a folder."""
    folder = tmp_path / "old=new"
    shutil.copytree(tiny_folder, folder)
    with TestClient(app_of(Settings(models=[Path(f"old={tiny_folder}"), folder]))) as client:
        listed = [model["name"] for model in client.get("/models").json()["models"]]
        answer = client.post("/translate", json={"text": "Der Hund.", "source": "de", "target": "en", "model": "old"})

    assert listed == ["old", "tiny"]
    assert answer.json()["model"]["name"] == "old"


def test_several_models_refuse_as_one_service(tiny_folder: Path) -> None:
    """With the directions of all, and with the language that one of them knows the text to be in."""
    with TestClient(app_of(Settings(models=[tiny_folder, Path("box")]))) as client:
        unknown = client.post("/translate", json={"text": "A dog.", "source": "fr", "target": "de"}).json()
        text = "Le chien dort dans la maison avec les enfants."
        french = client.post("/translate", json={"text": text, "target": "de"}).json()

    assert unknown["detail"].startswith("no translation from 'fr' to 'de'; this service has en to de, de to en, en to ")
    assert french["detail"].startswith("the text looks French, and there is no translation from 'fr' to 'de'")


def test_several_models_refuse_half_a_surrogate_pair_as_one_does(tiny_folder: Path) -> None:
    """The language is looked for before the texts are checked one by one."""
    with TestClient(app_of(Settings(models=[tiny_folder, Path("box")]))) as client:
        body = b'{"text": "ein \\ud800 Hund", "target": "en"}'
        refused = client.post("/translate", content=body, headers={"Content-Type": "application/json"})

    assert refused.status_code == 422
    assert "surrogate" in refused.json()["detail"]


def test_the_description_has_the_limits_of_this_service() -> None:
    """Not those of the library, with which a client would be refused."""
    settings = Settings(max_beam_size=3, max_texts=7, max_characters=11)
    schemas = create_app(Registry([]), settings).openapi()["components"]["schemas"]
    search, translate, evaluate = (
        schemas[name]["properties"] for name in ("SearchConfig", "TranslateRequest", "EvaluateRequest")
    )

    assert (search["beam_size"]["maximum"], search["n_best"]["maximum"]) == (3, 3)
    assert (search["beam_size"]["default"], search["n_best"]["default"]) == (3, 1)
    assert [kind.get("maxLength", kind.get("maxItems")) for kind in translate["text"]["anyOf"]] == [11, 7]
    assert evaluate["sources"]["maxItems"] == 7
    assert evaluate["references"]["items"]["anyOf"][1]["items"]["maxLength"] == 11


def test_a_deadline_is_kept_and_frees_the_engine(tiny_folder: Path) -> None:
    """504, and the next request is answered."""
    with TestClient(app_of(Settings(models=[tiny_folder], deadline_seconds=0.3))) as client:
        release = hold_up(client)
        body = {"text": "Der Hund.", "source": "de", "target": "en", "search": {"max_length": 5}}
        late = client.post("/translate", json=body)
        release.set()
        next_one = until(lambda: client.post("/translate", json=body), lambda response: response.status_code == 200)

    assert late.status_code == 504
    assert "not answered within 0.3 s" in late.json()["detail"]
    assert next_one.status_code == 200


def test_a_failing_step_answers_with_an_error_and_the_service_goes_on(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 for those in the batch; the next request finds a working engine."""
    with TestClient(app_of(Settings(models=[tiny_folder]))) as client:
        body = {"text": "Der Hund.", "source": "de", "target": "en", "search": {"max_length": 5}}
        with monkeypatch.context() as broken:
            broken.setattr(Engine, "step", lambda _: (_ for _ in ()).throw(RuntimeError("broken")))
            failed = client.post("/translate", json=body)
        healthy = client.post("/translate", json=body)

    assert failed.status_code == 503
    assert "the decode engine failed on this batch" in failed.json()["detail"]
    assert healthy.status_code == 200


def test_requests_at_once_get_what_they_get_alone(client: TestClient) -> None:
    """Batches form across requests and change nothing."""
    texts = ["Der Hund.", "Tom weiß nicht warum.", "Das Haus und der Hund.", "Und?"] * 3
    alone = [ask(client, text=text)["translations"][0]["text"] for text in texts]
    together: list[str | None] = [None] * len(texts)

    def work(number: int) -> None:
        together[number] = ask(client, text=texts[number])["translations"][0]["text"]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert together == alone


def test_every_error_of_ours_has_a_status() -> None:
    """The table covers the whole tree, and every problem repeats its text."""
    kinds = [kind for kind in vars(library_errors).values() if isinstance(kind, type) and issubclass(kind, NmtError)]
    further: dict[type, tuple[float, ...]] = {QueueFull: (1.0,), VocabularyTooLarge: (8,)}
    for kind in kinds:
        problem = problem_of(kind("what happened", *further.get(kind, ())))

        assert problem["detail"] == problem["error"] == "what happened"
        assert 400 <= problem["status"] <= 599
    assert STATUS[EngineError] == 503


def test_every_route_stands_with_and_without_the_prefix(client: TestClient) -> None:
    """`/v1/x` and `/x` for all that openapi.json lists."""
    app = client.app
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        assert path.startswith("/v1/")
        for method in methods:
            scope = {"type": "http", "path": path.removeprefix("/v1"), "method": method.upper(), "headers": []}
            assert any(route.matches(scope)[0] == Match.FULL for route in app.routes), path  # type: ignore[attr-defined]


def hold_up(client: TestClient) -> threading.Event:
    """Make every decode step wait until the event is set."""
    release = threading.Event()
    for thread in decoder_of(client).threads:
        thread._engine.step = partial(_wait_and, release, thread._engine.step)  # type: ignore[method-assign]
    return release


def _wait_and(release: threading.Event, step: Callable[[], object]) -> object:
    release.wait(20)
    return step()


def decoder_of(client: TestClient) -> Decoder:
    """The decode threads of the only model."""
    decoder: Decoder = client.app.state.registry.models[0].decoder  # type: ignore[attr-defined]
    return decoder


def until(action: Any, done: Any) -> Any:
    """Repeat an action until its result is as wanted, for at most 20 seconds."""
    deadline = time.monotonic() + 20
    result = action()
    while not done(result) and time.monotonic() < deadline:
        time.sleep(0.02)
        result = action()
    return result


def test_requests_say_how_much_they_ask_for_and_how_urgently(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Characters, times the rows of the search; `/evaluate` can wait."""
    asked, urgent, admitted, decode = list[Any](), list[Any](), Decoder.admitted, Decoder.decode

    def ask_for(self: Decoder, seconds: float, work: float) -> Any:
        asked.append((seconds, work))
        return admitted(self, seconds, work)

    async def recorded(self: Decoder, *given: Any) -> Any:
        urgent.append(given[-1])
        return await decode(self, *given)

    monkeypatch.setattr(Decoder, "admitted", ask_for)
    monkeypatch.setattr(Decoder, "decode", recorded)
    rest = {"source": "de", "target": "en"}
    search = {**rest, "search": {"beam_size": 3, "max_length": 5}}
    with TestClient(app_of(Settings(models=[tiny_folder], deadline_seconds=17))) as client:
        client.post("/translate", json={"text": ["Der Hund.", "Tom."], **search})
        client.post("/translate", json={"text": "Tom.", "priority": "bulk", **search})
        client.post("/evaluate", json={"sources": ["Tom."], "references": ["Tom"], **search})
        client.post("/score", json={"text": "Tom.", "translation": "Tom", **rest})

    assert asked == [(17, 39), (17, 12), (17, 12), (17, 7)]
    assert urgent == ["interactive", "bulk", "bulk"]
