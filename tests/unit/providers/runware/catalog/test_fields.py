"""From a request schema to the fields of a form, and what is wrong with a value."""

import pytest

from runware_nb.core.media_fields import replace_media
from runware_nb.providers.runware.catalog import (
    FieldProblem,
    Kind,
    all_models,
    fields_of,
    find_model,
    read_value,
    rulebook_of,
    size_pairs,
)
from runware_nb.providers.runware.catalog.check import Rulebook
from runware_nb.providers.runware.catalog.reading import plain_schema


def fields(properties, required=(), **others):
    schema = {"type": "object", "properties": properties, "required": list(required), **others}
    return {each.name: each for each in fields_of(Rulebook("test:1@1", plain_schema(schema), "https://x"))}


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, Kind.TEXT),
        ({"type": "string", "maxLength": 3000}, Kind.LONG_TEXT),
        ({"type": "integer", "minimum": 1}, Kind.WHOLE),
        ({"type": ["number", "null"]}, Kind.NUMBER),
        ({"type": "boolean"}, Kind.FLAG),
        ({"enum": ["a", "b"]}, Kind.CHOICE),
        ({"oneOf": [{"const": "a", "title": "First"}, {"const": "b"}]}, Kind.CHOICE),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, Kind.WHOLE),
        ({"type": "array", "items": {"type": "string"}}, Kind.LIST),
        ({"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer"}}}}, Kind.ROWS),
        ({"type": "object", "properties": {"x": {"type": "integer"}}}, Kind.GROUP),
        ({"type": "object"}, Kind.JSON),
        ({}, Kind.JSON),
        ({"type": ["boolean", "object"]}, Kind.JSON),
        ({"$ref": "#/$defs/side"}, Kind.WHOLE),
    ],
)
def test_each_kind_of_schema_has_its_field(schema, kind):
    found = fields({"thing": schema}, **{"$defs": {"side": {"type": "integer"}}})
    assert found["thing"].kind is kind


def test_titles_and_bounds_come_from_the_schema():
    found = fields(
        {
            "aspect": {
                "oneOf": [{"const": "16:9", "title": "Wide"}, {"const": "1:1", "title": "Square"}],
                "default": "1:1",
            },
            "width": {"type": "integer", "minimum": 128, "maximum": 2048, "multipleOf": 16, "title": "Breadth"},
        },
        ["width"],
    )
    assert found["aspect"].choices == (("Wide", "16:9"), ("Square", "1:1"))
    assert found["aspect"].default == "1:1"
    assert (found["width"].title, found["width"].bounds, found["width"].is_required) == (
        "Breadth", "128 to 2048, multiples of 16", True,
    )  # fmt: skip


def test_what_the_client_fills_in_is_not_asked_for():
    assert not fields(
        {"taskUUID": {"type": "string"}, "deliveryMethod": {"enum": ["sync"]}, "model": {"type": "string"}}
    )


def test_properties_of_all_of_are_fields_and_a_schema_within_itself_ends():
    node = {"type": "object", "properties": {"child": {"$ref": "#/$defs/node"}}}
    found = fields({"tree": {"$ref": "#/$defs/node"}}, **{"$defs": {"node": node}},
                   allOf=[{"properties": {"extra": {"type": "string"}}, "required": ["extra"]}])  # fmt: skip
    assert found["extra"].is_required
    deep, depth = found["tree"], 0
    while deep.fields:
        deep, depth = deep.fields[0], depth + 1
    assert 2 < depth < 10
    assert deep.kind is Kind.JSON


def test_a_hostile_schema_gives_fields_or_none_but_no_fault():
    odd = {"a": {"enum": "no list"}, "b": {"type": 7}, "c": {"minimum": "low", "type": "integer"}, "d": None,
           "e": {"items": 3, "type": "array"}, "f": {"title": ["x"], "description": 4, "type": "string"},
           "g": {"$ref": "#/properties/g"}, "h": {"oneOf": []}, "i": {"multipleOf": 0, "type": "number"}}  # fmt: skip
    schema = {"type": "object", "properties": odd, "required": "a"}
    found = {each.name: each for each in fields_of(Rulebook("x", schema, ""))}
    assert set(found) == set(odd) - {"d"}
    assert read_value(found["i"], "3.5") == 3.5


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("12.5", "no whole number"),
        ("0", "too small: 16 to 100, multiples of 4"),
        ("200", "too large"),
        ("18", "no multiple of 4; nearest: 16 or 20"),
        ("x", "no whole number: 16 to 100"),
    ],
)
def test_a_wrong_number_is_told_with_what_would_do(typed, said):
    field = fields({"steps": {"type": "integer", "minimum": 16, "maximum": 100, "multipleOf": 4}})["steps"]
    with pytest.raises(FieldProblem, match=said):
        read_value(field, typed)


@pytest.mark.parametrize("typed", ["nan", "inf", "1e999", "٣x"])
def test_no_number_is_no_number(typed):
    with pytest.raises(FieldProblem, match="no number"):
        read_value(fields({"cfg": {"type": "number"}})["cfg"], typed)


def test_an_empty_field_is_left_to_the_service_unless_it_is_needed():
    found = fields(
        {"note": {"type": "string"}, "prompt": {"type": "string", "minLength": 2, "maxLength": 5}}, ["prompt"]
    )
    assert read_value(found["note"], "  ") is None
    with pytest.raises(FieldProblem, match="Prompt is needed"):
        read_value(found["prompt"], "")
    with pytest.raises(FieldProblem, match="1 characters are too few: 2 or more"):
        read_value(found["prompt"], "x")
    with pytest.raises(FieldProblem, match="6 characters are too many: 5 at most"):
        read_value(found["prompt"], "xxxxxx")


def test_what_is_typed_is_kept_letter_by_letter():
    field = fields({"prompt": {"type": "string"}})["prompt"]
    for text in (' {a} "b" \\n \n 😀 שלום ', "</textarea><script>", "x" * 3000):
        assert read_value(field, text) == text


def test_json_fields_say_what_is_wrong():
    field = fields({"settings": {"type": "object"}})["settings"]
    assert read_value(field, '{"a": [1]}') == {"a": [1]}
    with pytest.raises(FieldProblem, match="no JSON"):
        read_value(field, "{a: 1}")
    with pytest.raises(FieldProblem, match="no JSON"):
        read_value(field, "[" * 100_000)


def test_sizes_of_a_model_with_fixed_pairs():
    assert (1392, 752) in size_pairs(rulebook_of(find_model("bfl:3@1")))
    assert size_pairs(rulebook_of(find_model("runware:101@1"))) == []


@pytest.mark.parametrize("model", all_models(), ids=lambda model: model.air)
def test_every_bundled_model_has_fields_of_known_names(model):
    found = fields_of(rulebook_of(model))
    assert found
    assert all(each.title and each.title[0].isupper() for each in found)
    assert len({each.path for each in found}) == len(found)


def leaves(fields):
    for field in fields:
        yield field
        yield from leaves(field.fields)


def test_a_form_offers_an_upload_exactly_where_a_medium_is_uploaded():
    """A text box for an image, or an upload that is sent as a text, would be two lists that disagree."""
    seen = set()
    for model in all_models():
        for field in leaves(fields_of(rulebook_of(model))):
            if field.kind in {Kind.MEDIUM, Kind.MEDIA}:
                sent = ["a.png"] if field.kind is Kind.MEDIA else "a.png"
                is_medium = True
            elif field.kind in {Kind.TEXT, Kind.LONG_TEXT}:
                sent, is_medium = "a.png", False
            else:
                continue
            for name in reversed(field.path[1:]):
                sent = {name: sent}
            replaced = []
            replace_media({field.path[0]: sent}, replaced.append)
            assert bool(replaced) is is_medium, field.path
            seen.add((field.path, is_medium))
    assert (("photoMaker", "images"), True) in seen
    assert sum(is_medium for _, is_medium in seen) > 10
