"""Settings check themselves, and their messages let a person put things right."""

from typing import Any

import pytest
from pydantic import Field, ValidationError

from nmt.config import Config, ModelConfig, SearchConfig
from nmt.errors import ConfigError, NmtError


class Inner(Config):
    """Settings inside others."""

    size: int = Field(3, ge=1)
    colour: str = "red"


class Outer(Config):
    """Settings with others inside."""

    name: str
    inner: Inner = Inner()
    parts: tuple[Inner, ...] = Field((), min_length=1)
    spare: Inner | None = None


SMALL = {"source_vocabulary": 11, "target_vocabulary": 11}


def refusal(config: type[Config], **values: Any) -> str:
    """The message with which values are refused."""
    with pytest.raises(ConfigError) as caught:
        config.read(values, where="here.toml")
    return str(caught.value)


def test_values_are_read_and_the_others_have_defaults() -> None:
    """A file needs to say only what is not usual."""
    assert Outer.read({"name": "x", "inner": {"size": 5}}, "here.toml") == Outer(
        name="x", inner=Inner(size=5, colour="red")
    )


def test_settings_cannot_be_changed() -> None:
    """Whoever holds one may trust it."""
    config = SearchConfig()

    with pytest.raises(ValidationError, match="frozen"):
        config.beam_size = 3  # type: ignore[misc]

    assert config == SearchConfig()


def test_an_unknown_key_is_refused_with_those_that_are_known() -> None:
    """A slip of the pen is seen at once, beside what was meant."""
    assert refusal(Outer, name="x", nmae="y") == "here.toml: unknown key 'nmae'; known here: inner, name, parts, spare"


@pytest.mark.parametrize(
    ("values", "place"), [({"parts": [{}, {"hue": 1}]}, "parts.1.hue"), ({"spare": {"hue": 1}}, "spare.hue")]
)
def test_an_unknown_key_in_a_list_or_an_option(values: dict[str, Any], place: str) -> None:
    """The keys listed are those of an entry, and nothing is said of how many entries are left."""
    assert refusal(Outer, name="x", **values) == f"here.toml: unknown key '{place}'; known here: colour, size"


def test_too_few_are_told() -> None:
    """If that is what is wrong."""
    assert refusal(Outer, name="x", parts=[]).startswith("here.toml: parts is []: ")


def test_an_unknown_key_inside_is_refused_with_those_known_there() -> None:
    """The keys listed are those of the table that the key is in."""
    assert (
        refusal(Outer, name="x", inner={"colour": "blue", "color": "red"})
        == "here.toml: unknown key 'inner.color'; known here: colour, size"
    )


def test_a_missing_key_is_named() -> None:
    """What has no default has to be given."""
    assert refusal(Outer) == "here.toml: name is missing"


def test_a_value_of_another_kind_is_shown() -> None:
    """The message has the key, what was given, and what is wanted."""
    message = refusal(Outer, name="x", inner={"size": "many"})

    assert message.startswith("here.toml: inner.size is 'many': ")
    assert "integer" in message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"include": "garden"}, """include is 'garden': wanted: a list, such as ["garden"]"""),
        ({"attention": {"weight": 2}}, "attention is {'weight': 2}: wanted: a list, such as [{key=value}]"),
        ({"attention": ["Hund"]}, "attention.0 is 'Hund': wanted: a table, such as {key=value}"),
        ({"glossary": "Hund"}, """glossary is 'Hund': wanted: a table, such as {"Tür"="door"}"""),
        ({"prefix": 2024}, 'prefix is 2024: wanted: a text in quotes, such as "2024"'),
    ],
)
def test_a_value_of_another_kind_is_answered_with_what_to_write(values: dict[str, Any], message: str) -> None:
    """In the words of the file, not of Python."""
    assert refusal(SearchConfig, **values) == f"here.toml: {message}"


def test_all_problems_are_told_at_once() -> None:
    """Nobody wants to run a program once a mistake."""
    message = refusal(Outer, inner={"size": 0}, nmae="y")

    assert message.startswith("here.toml: ")
    assert sorted(part.split(" is ")[0] for part in message.removeprefix("here.toml: ").split("; ")) == [
        "inner.size",
        "known here: inner, name, parts, spare",
        "name",
        "unknown key 'nmae'",
    ]


def test_a_config_error_is_ours_and_a_value_error() -> None:
    """Either way of catching it works."""
    assert issubclass(ConfigError, NmtError)
    assert issubclass(ConfigError, ValueError)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("source_vocabulary", 7),
        ("target_vocabulary", 7),
        ("embedding_size", 0),
        ("encoder_size", 0),
        ("encoder_layers", 0),
        ("encoder_layers", 9),
        ("decoder_size", 0),
        ("decoder_layers", 0),
        ("decoder_layers", 9),
        ("attention", "cosine"),
        ("attention_size", 0),
        ("attention_heads", 0),
        ("attention_heads", 17),
        ("wiring", "shallow"),
        ("tying", "four_way"),
        ("embedding_dropout", -0.1),
        ("layer_dropout", 1.0),
        ("output_dropout", float("nan")),
    ],
)
def test_a_model_setting_out_of_range_is_named_with_its_value(key: str, value: object) -> None:
    """The message begins with the key and what was given."""
    assert refusal(ModelConfig, **(SMALL | {key: value})).startswith(f"here.toml: {key} is {value!r}: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method", "sampling"),
        ("beam_size", 0),
        ("beam_size", 33),
        ("n_best", 0),
        ("n_best", 33),
        ("length_penalty", -0.1),
        ("length_penalty", 5.1),
        ("length_penalty", float("nan")),
        ("length_penalty_form", "linear"),
        ("coverage_penalty", -1),
        ("coverage_penalty", 6),
        ("max_length", 0),
        ("max_length", 1001),
        ("min_length", -1),
        ("min_length", 1001),
        ("max_length_ratio", 0),
        ("no_repeat_ngram", 11),
        ("max_repeats", -1),
        ("temperature", 0),
        ("top_p", 1.5),
        ("top_k", -1),
        ("seed", -1),
    ],
)
def test_a_search_setting_out_of_range_is_named_with_its_value(key: str, value: object) -> None:
    """The message begins with the key and what was given."""
    assert refusal(SearchConfig, **{key: value}).startswith(f"here.toml: {key} is {value!r}: ")


def test_more_hypotheses_than_the_beam_holds_are_refused() -> None:
    """The message gives both numbers and what to do."""
    assert (
        refusal(SearchConfig, beam_size=4, n_best=5)
        == "here.toml: n_best is 5, but beam search keeps 4; raise beam_size"
    )


def test_greedy_search_has_one_hypothesis_whatever_the_beam() -> None:
    """A beam size that greedy search does not use does not count."""
    assert (
        refusal(SearchConfig, method="greedy", beam_size=4, n_best=2)
        == "here.toml: n_best is 2, but greedy search keeps 1; choose the method beam or sample"
    )


@pytest.mark.parametrize(("method", "width"), [("greedy", 1), ("beam", 4), ("sample", 1)])
def test_the_width_is_what_search_holds(method: str, width: int) -> None:
    """Greedy search holds one row."""
    assert SearchConfig.read({"method": method, "beam_size": 4}, "here").width == width


def test_as_many_hypotheses_as_the_beam_are_allowed() -> None:
    """The bound itself is within."""
    assert SearchConfig(beam_size=4, n_best=4).n_best == 4


def test_a_least_length_above_the_greatest_is_refused() -> None:
    """No translation could be both."""
    assert (
        refusal(SearchConfig, min_length=6, max_length=5) == "here.toml: min_length is 6, above max_length, which is 5"
    )


def test_a_least_relative_length_above_the_greatest_is_refused() -> None:
    """As with absolute ones."""
    assert refusal(SearchConfig, min_length_ratio=1.5, max_length_ratio=1.25) == (
        "here.toml: min_length_ratio is 1.5, above max_length_ratio, which is 1.25"
    )


@pytest.mark.parametrize("values", [{"method": "sample"}, {"method": "greedy"}, {"beam_size": 5}])
def test_groups_that_do_not_divide_the_beam_are_refused(values: dict[str, object]) -> None:
    """And those of a search that has no beam."""
    message = refusal(SearchConfig, diversity_groups=2, **values)

    assert "diversity_groups is 2 for" in message
    assert "wanted: a beam, whose size is a multiple of the groups" in message


def test_phrases_have_a_size_that_can_be_searched_with() -> None:
    """Each, and all together."""
    many = ["x" * 50] * 6
    assert (
        refusal(SearchConfig, include=many[:5], exclude=many)
        == "here.toml: include and exclude have 550 characters in all; send at most 500"
    )
    assert "at most 100 characters" in refusal(SearchConfig, include=["x" * 101])


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ({}, "wanted: words, or start and end, of the source that the weight is for"),
        ({"words": "x", "start": 1, "end": 2}, "wanted: words, or start and end"),
        ({"words": "x", "start": 1}, "wanted: words, or start and end"),
        ({"end": 1}, "wanted: words, or start and end"),
        ({"start": 3, "end": 3}, "start is 3, not before 3, where it ends"),
        ({"words": "x", "steps": (4, 2)}, "steps is 4, not before 2, where it ends"),
    ],
)
def test_attention_is_steered_at_one_place(control: dict[str, Any], message: str) -> None:
    """Which is not empty."""
    assert message in refusal(SearchConfig, attention=[{"weight": 0.5, **control}])


def test_one_length_only_is_allowed() -> None:
    """Least and greatest may be the same."""
    assert SearchConfig(min_length=5, max_length=5).min_length == 5


def test_dot_attention_wants_vectors_of_one_size() -> None:
    """The message gives both sizes and the way out."""
    message = refusal(ModelConfig, **SMALL, attention="dot", encoder_size=3, decoder_size=5)

    assert "decoder_size is 5 and 2 × encoder_size is 6; make them equal or choose general" in message


def test_dot_attention_of_one_size_is_allowed() -> None:
    """Both directions of the encoder together are as wide as the decoder."""
    assert ModelConfig(**SMALL, attention="dot", encoder_size=3, decoder_size=6).memory_size == 6


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ({"attention_size": 5, "decoder_size": 6, "encoder_size": 3}, "attention_size is 5, not a multiple of 3 heads"),
        ({"attention_size": 6, "decoder_size": 7, "encoder_size": 3}, "decoder_size is 7, not a multiple of 3 heads"),
        ({"attention_size": 6, "decoder_size": 6, "encoder_size": 5}, "memory_size is 10, not a multiple of 3 heads"),
    ],
)
def test_sizes_that_the_heads_cannot_share_are_refused(sizes: dict[str, int], wanted: str) -> None:
    """Each head gets the same part of every vector."""
    assert refusal(ModelConfig, **SMALL, **sizes, attention_heads=3) == f"here.toml: {wanted}"


def test_tying_all_embeddings_wants_one_vocabulary() -> None:
    """The message gives both sizes and two ways out."""
    message = refusal(ModelConfig, source_vocabulary=11, target_vocabulary=13)

    assert "the vocabularies differ (11 source and 13 target pieces)" in message
    assert "train one joint tokenizer, or set tying to two_way" in message


@pytest.mark.parametrize("tying", ["none", "two_way"])
def test_other_tyings_go_with_two_vocabularies(tying: str) -> None:
    """The source embedding is on its own."""
    config = ModelConfig.read({"source_vocabulary": 11, "target_vocabulary": 13, "tying": tying}, "here.toml")

    assert config.tying == tying


def test_settings_survive_a_file() -> None:
    """What is stored beside the weights is read back the same."""
    config = ModelConfig(**SMALL, attention="general", wiring="conditional", layer_norm=True)

    assert ModelConfig.read(config.model_dump(mode="json"), "config.json") == config
