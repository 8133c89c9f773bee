"""What a person at the page can rely on."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

pytestmark = pytest.mark.browser

GERMAN = "Ein Hund schläft auf dem Sofa."
ANY_TEXT = re.compile(r"\S")
HELD = re.compile(r"\bheld\b")
LIT = re.compile(r"\blit\b")

OpenPage = Callable[..., Page]


def source_box(page: Page) -> Locator:
    return page.get_by_label("Text to translate")


def translation(page: Page) -> Locator:
    return page.locator("#translation")


def write(page: Page, text: str) -> dict[str, Any]:
    """Puts `text` into the source, waits until its answer is shown and returns what the service sent for it."""
    with page.expect_response(lambda reply: is_translation_of(text, reply.request)) as reply:
        source_box(page).fill(text)
    answer: dict[str, Any] = reply.value.json()["translations"][0]
    expect(page.locator("#source-words .word")).to_have_count(len(alignment_of(answer)["source"]))
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    return answer


def is_translation_of(text: str, request: Any) -> bool:
    return bool(request.url.endswith("/v1/translate") and request.post_data_json["text"] == text)


def alignment_of(answer: dict[str, Any], hypothesis: int = 0) -> dict[str, Any]:
    alignment: dict[str, Any] = answer["hypotheses"][hypothesis]["alignment"]
    return alignment


def weights_in_map(page: Page) -> list[list[float]]:
    """The weights as they are drawn: rows are target words, columns source words."""
    weights: list[list[float]] = page.locator("#map tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.querySelectorAll('td')].map(cell => +cell.style.getPropertyValue('--weight')))"
    )
    return weights


def strongest(weights: list[float]) -> int:
    return max(range(len(weights)), key=weights.__getitem__)


def fails_with(status: int, detail: str) -> Callable[[Route], None]:
    problem = {"type": "about:blank", "title": "Problem", "status": status, "detail": detail}
    return lambda route: route.fulfill(status=status, content_type="application/problem+json", body=json.dumps(problem))


# --- translating ------------------------------------------------------------------------------------------------------


def test_typing_translates(page: Page) -> None:
    """Whoever types sees a translation without pressing anything."""
    source_box(page).press_sequentially(GERMAN)

    expect(translation(page)).to_have_text(ANY_TEXT)
    expect(page.locator("#facts")).to_have_text(re.compile(r"Confidence (high|medium|low), \d\.\d\d.* ms"))
    expect(page.locator("#model")).to_have_text(re.compile(r"Model \S+"))


def test_late_answer_is_dropped(page: Page) -> None:
    """The answer to an earlier text never replaces that to the text now written."""
    held_back: list[Route] = []
    page.route("**/v1/translate", lambda route: held_back.append(route), times=1)
    source_box(page).fill("Guten Morgen.")
    expect(translation(page)).to_have_attribute("aria-busy", "true")
    page.wait_for_timeout(300)

    answer = write(page, GERMAN)
    assert held_back
    for route in held_back:
        route.continue_()
    page.wait_for_timeout(300)

    expect(translation(page)).to_have_text(answer["text"])


def test_empty_text_clears(page: Page) -> None:
    """Without a text there is no translation, no map and no claim about quality."""
    write(page, GERMAN)
    page.get_by_role("button", name="Clear").click()

    expect(translation(page)).to_have_text("")
    expect(page.locator("#facts")).to_have_text("")
    expect(page.locator("#insight")).to_be_hidden()

    source_box(page).press("ControlOrMeta+z")
    expect(source_box(page)).to_have_value(GERMAN)


def test_swap_before_the_answer_keeps_what_was_typed(page: Page) -> None:
    """The translation that is shown is of an older text."""
    write(page, GERMAN)
    page.route("**/v1/translate", lambda _: None)
    source_box(page).press_sequentially(" Und nun?")
    page.get_by_role("button", name="Swap the languages").click()

    expect(page.get_by_label("Translate from")).to_have_value("en")
    expect(source_box(page)).to_have_value(f"{GERMAN} Und nun?")


def test_no_more_alternatives_are_asked_for_than_there_are(page: Page) -> None:
    """By a setting, a service may give fewer than the page would show."""
    page.route("**/v1/languages", lambda route: route.fulfill(json={**route.fetch().json(), "max_n_best": 3}))
    page.reload()

    assert len(write(page, GERMAN)["hypotheses"]) == 3


def test_swap_turns_the_pair_and_the_text_around(page: Page) -> None:
    """Swapping makes the translation the new source."""
    answer = write(page, GERMAN)
    page.get_by_role("button", name="Swap the languages").click()

    expect(page.get_by_label("Translate from")).to_have_value("en")
    expect(page.get_by_label("Translate into")).to_have_value("de")
    expect(source_box(page)).to_have_value(answer["text"])


def test_detected_language_is_named(open_page: OpenPage) -> None:
    """With "Detect language" the page says which language it was taken for."""
    page = open_page("/#source=auto&target=en")
    answer = write(page, GERMAN)

    assert answer["detected_source"] == "de"
    expect(page.get_by_label("Translate from").locator("option:checked")).to_have_text("Detected: German")


def test_link_shows_the_same_again(open_page: OpenPage) -> None:
    """The address is a link to the text and the pair."""
    first = open_page()
    answer = write(first, GERMAN)
    second = open_page("/" + first.url[first.url.index("#") :])

    expect(source_box(second)).to_have_value(GERMAN)
    expect(translation(second)).to_have_text(answer["text"])


def test_copy_takes_the_translation(open_page: OpenPage) -> None:
    """The button copies the plain text, newlines and all."""
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    answer = write(page, f"{GERMAN}\nGuten Morgen.")
    page.get_by_role("button", name="Copy").click()

    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == answer["text"]


# --- alternatives -----------------------------------------------------------------------------------------------------


def test_alternatives_are_listed_with_their_scores(page: Page) -> None:
    """Every hypothesis of the answer is offered, best first and chosen."""
    hypotheses = write(page, GERMAN)["hypotheses"]

    expect(page.get_by_role("radio")).to_have_count(len(hypotheses))
    expect(page.get_by_role("radio").first).to_be_checked()
    expect(page.locator("#alternatives label")).to_contain_text([hypothesis["text"] for hypothesis in hypotheses])
    scores = [float(score.replace("\N{MINUS SIGN}", "-")) for score in page.locator(".score").all_text_contents()]
    assert scores == pytest.approx([hypothesis["score"] for hypothesis in hypotheses], abs=0.006)


def test_choosing_an_alternative_shows_its_text_and_map(page: Page) -> None:
    """Text and map always belong to the chosen hypothesis."""
    answer = write(page, GERMAN)
    page.get_by_role("radio").nth(1).check()

    expect(translation(page)).to_have_text(answer["hypotheses"][1]["text"])
    expect(page.locator("#map tbody th")).to_have_text([word["text"] for word in alignment_of(answer, 1)["target"]])
    assert weights_in_map(page) == alignment_of(answer, 1)["weights"]


# --- attention --------------------------------------------------------------------------------------------------------


def test_rows_of_the_map_sum_to_one(page: Page) -> None:
    """Each target word shares out its whole attention over the source words."""
    write(page, GERMAN)

    assert [sum(row) for row in weights_in_map(page)] == pytest.approx([1.0] * len(weights_in_map(page)), abs=0.01)


def test_links_are_framed_in_the_map(page: Page) -> None:
    """The hard links of the answer are the cells that stand out."""
    links = alignment_of(write(page, GERMAN))["links"]

    framed = page.locator("td.link").evaluate_all("cells => cells.map(e => [+e.dataset.target, +e.dataset.source])")
    assert framed == sorted([link["target"], link["source"]] for link in links)


@pytest.mark.parametrize("place", ["#translation .word", "#map tbody th"])
@pytest.mark.parametrize("touch", ["hover", "focus"])
def test_target_word_lights_its_sources(page: Page, place: str, touch: str) -> None:
    """Pointing at a target word, or focusing it, in text or map, lights what it came from."""
    weights = alignment_of(write(page, GERMAN))["weights"]
    getattr(page.locator(place).nth(1), touch)()

    partner = page.locator("#source-words .word").nth(strongest(weights[1]))
    expect(page.locator("#translation .word").nth(1)).to_have_class(HELD)
    expect(partner).to_have_class(LIT)
    expect(page.locator("#map thead th").nth(strongest(weights[1]))).to_have_class(LIT)
    assert float(partner.evaluate("e => e.style.getPropertyValue('--weight')")) == pytest.approx(
        max(weights[1]), abs=0.001
    )


def test_source_word_lights_its_targets(page: Page) -> None:
    """The words in the text area can be pointed at although a text area holds no elements."""
    weights = alignment_of(write(page, GERMAN))["weights"]
    page.locator("#source-words .word").nth(1).hover(force=True)

    column = [row[1] for row in weights]
    expect(page.locator("#source-words .word").nth(1)).to_have_class(HELD)
    expect(page.locator("#translation .word").nth(strongest(column))).to_have_class(LIT)


def test_caret_lights_the_word_it_stands_in(page: Page) -> None:
    """By keyboard, the source word is the one at the caret."""
    write(page, GERMAN)
    source_box(page).press("Control+Home")
    source_box(page).press("ArrowRight")

    expect(page.locator("#source-words .word").first).to_have_class(HELD)


def test_emoji_do_not_shift_the_words(page: Page) -> None:
    """Offsets count code points and strings in the browser do not: the words are cut right all the same."""
    text = "🐶🎉 Ein Hund 👨‍👩‍👧 schläft."
    answer = write(page, text)

    alignment = alignment_of(answer)
    cut = [text[word["start"] : word["end"]] for word in alignment["source"]]
    assert page.locator("#source-words .word").all_text_contents() == cut
    assert page.locator("#translation .word").all_text_contents() == [word["text"] for word in alignment["target"]]


def test_cell_names_both_words(page: Page) -> None:
    """A cell in hand marks its row, its column and both words, and is put into words."""
    alignment = alignment_of(write(page, GERMAN))
    page.locator("td[data-source='1'][data-target='0']").focus()

    expect(page.locator(".word.held")).to_have_text([alignment["source"][1]["text"], alignment["target"][0]["text"]])
    expect(page.locator("#readout")).to_contain_text(alignment["source"][1]["text"])


def test_long_text_is_mapped_by_sentence(page: Page) -> None:
    """A map that nobody could read is shown a sentence at a time, and scrolls in its own box."""
    write(page, "Ein Hund schläft auf dem Sofa. Eine Frau liest ein Buch im Garten. " * 5)

    sentences = page.get_by_label("A long text is shown a sentence at a time")
    first = page.locator("#map tbody th").all_text_contents()
    assert sentences.locator("option").count() > 1
    assert len(first) <= 40
    sentences.select_option(index=1)

    expect(page.locator("#map tbody th").first).to_have_attribute("data-target", str(len(first)))


# --- everyone can use it ----------------------------------------------------------------------------------------------


def test_map_is_one_tab_stop_with_arrow_keys(page: Page) -> None:
    """The arrow keys walk the map; Tab does not have to cross hundreds of cells."""
    write(page, GERMAN)
    expect(page.locator("#map [tabindex='0']")).to_have_count(1)
    page.locator("#map thead th").first.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)

    focused = page.locator("#map :focus")
    assert focused.get_attribute("data-source") == "0"
    assert focused.get_attribute("data-target") == "1"
    expect(page.locator("#map [tabindex='0']")).to_have_count(1)


def test_everything_is_reached_by_tab(page: Page) -> None:
    """One round of Tab passes every control, in reading order, and each shows that it has the focus."""
    write(page, GERMAN)
    page.get_by_label("Translate from").focus()
    reached = []
    for _ in range(9):
        name = "e => e.id || e.name || e.closest('[id]').id"
        reached.append(page.locator(":focus").evaluate(name))
        page.keyboard.press("Tab")

    expected = ["source-language", "source-text", "clear", "swap", "target-language", "translation", "copy"]
    assert reached == [*expected, "alternative", "map"]


def test_every_control_has_a_name(page: Page) -> None:
    """A screen reader can say what each control is for."""
    write(page, GERMAN)

    for control in page.locator(":is(button, select, textarea, input, table, section):visible").all():
        expect(control).to_have_accessible_name(ANY_TEXT)


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_page_never_scrolls_sideways(open_page: OpenPage, width: int) -> None:
    """On a phone as on a desk, only the map scrolls sideways, inside its box."""
    page = open_page(width=width)
    write(page, f"{GERMAN} {'Donaudampfschifffahrtsgesellschaft' * 3}")

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert source_box(page).evaluate("e => e.scrollWidth <= e.clientWidth")


def test_words_lie_beneath_the_text(page: Page) -> None:
    """The text area and the words beneath it break their lines alike, so both are equally high."""
    write(page, " ".join([GERMAN] * 8) + "\n\nGuten Morgen.\n\n")

    needed = source_box(page).evaluate("e => e.scrollHeight")
    assert needed == source_box(page).evaluate("e => e.clientHeight")


def test_dark_mode_has_its_own_colours(open_page: OpenPage) -> None:
    """Whoever asks for a dark screen gets light text on a dark ground."""
    colours = "() => { const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]; }"
    light = open_page(color_scheme="light").evaluate(colours)
    dark = open_page(color_scheme="dark").evaluate(colours)

    assert light[0] != dark[0]
    assert light[1] != dark[1]


def test_right_to_left_text_starts_at_the_right(page: Page) -> None:
    """The source area takes the direction of what is written in it."""
    source_box(page).fill("כלב ישן")

    assert source_box(page).evaluate("e => getComputedStyle(e).direction") == "rtl"


# --- when things go wrong ---------------------------------------------------------------------------------------------


def test_error_is_shown_in_words_and_can_be_retried(page: Page) -> None:
    """The page says what the service said, takes the old answer away, and offers to try again."""
    write(page, GERMAN)
    page.route("**/v1/translate", fails_with(503, "The queue is full."), times=1)
    source_box(page).press_sequentially(" Ja.")

    problem = page.locator("#problem")
    expect(problem).to_contain_text("The queue is full.")
    expect(problem).to_have_attribute("aria-live", "polite")
    expect(translation(page)).to_have_text("")
    page.get_by_role("button", name="Try again").click()
    expect(translation(page)).to_have_text(ANY_TEXT)
    expect(problem).to_have_text("")


def test_unreachable_service_is_said(page: Page) -> None:
    """A service that is down is named as such."""
    page.route("**/v1/translate", lambda route: route.abort())
    source_box(page).fill(GERMAN)

    expect(page.locator("#problem")).to_contain_text("cannot be reached")


def test_markup_is_shown_and_not_obeyed(page: Page) -> None:
    """What a service or a text says is text, whatever it looks like."""
    page.route("**/v1/translate", fails_with(400, "no <img src='x'> here"))
    source_box(page).fill("<img src='x'>")

    expect(page.locator("#problem")).to_contain_text("no <img src='x'> here")
    expect(page.locator("main img")).to_have_count(0)


def test_page_recovers_from_a_service_that_was_not_ready(open_page: OpenPage) -> None:
    """A page opened too early says so, and typing or trying again makes it whole."""
    page = open_page()
    page.route("**/v1/languages", fails_with(503, "The model is being loaded."), times=1)
    page.reload()
    expect(page.locator("#problem")).to_contain_text("The model is being loaded.")

    write(page, GERMAN)

    expect(translation(page)).to_have_text(ANY_TEXT)
    expect(page.locator("#problem")).to_have_text("")


def test_choice_while_typing_does_not_cut_the_new_text(page: Page) -> None:
    """Old offsets are never laid over a new text."""
    write(page, GERMAN)
    page.route("**/v1/translate", lambda _: None)
    source_box(page).fill("Ja.")
    page.get_by_role("radio").nth(1).check()

    expect(page.locator("#source-words .word")).to_have_count(0)
    expect(page.locator("#source-words")).to_have_text("Ja.")


def test_page_keeps_to_itself(browser: Browser, service_url: str) -> None:
    """Under the strictest policy for content the page works, complains of nothing and asks no other host."""
    page = browser.new_page()
    complaints: list[str] = []
    addresses: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: addresses.append(request.url))
    page.route(service_url + "/", forbid_everything_foreign)
    page.goto(f"{service_url}/#source=de&target=en&text={quote(GERMAN)}")
    expect(translation(page)).to_have_text(ANY_TEXT)
    page.locator("#translation .word").first.hover()
    expect(page.locator("#source-words .lit")).not_to_have_count(0)
    page.close()

    assert complaints == []
    assert [address for address in addresses if not address.startswith(service_url + "/")] == []


def forbid_everything_foreign(route: Route) -> None:
    reply = route.fetch()
    route.fulfill(response=reply, headers={**reply.headers, "content-security-policy": "default-src 'self'"})


def test_a_translation_whose_alignment_was_left_out_is_shown(page: Page) -> None:
    """As that of a very long text is; the page says why it has no words to light."""

    def without_alignment(route: Route) -> None:
        reply = route.fetch()
        body = reply.json()
        for hypothesis in body["translations"][0]["hypotheses"]:
            del hypothesis["alignment"]
        route.fulfill(response=reply, json={**body, "warnings": ["alignments and alternatives were left out"]})

    page.route("**/v1/translate", without_alignment)
    source_box(page).fill(GERMAN)

    expect(translation(page)).to_have_text(ANY_TEXT)
    expect(page.locator("#facts")).to_contain_text("too long to show which words came from which")
    expect(page.locator("#insight")).to_be_hidden()
    expect(page.locator("#problem")).to_be_empty()


def test_a_text_without_words_is_shown_as_it_is(page: Page) -> None:
    """It has no word to light either, but not because it is long."""
    source_box(page).fill("🙂 * * *")

    expect(translation(page)).to_have_text("🙂 * * *")
    expect(page.locator("#facts")).to_contain_text("Confidence high, 1.00")
    expect(page.locator("#facts")).not_to_contain_text("too long")
    expect(page.locator("#insight")).to_be_hidden()
    expect(page.locator("#problem")).to_be_empty()
