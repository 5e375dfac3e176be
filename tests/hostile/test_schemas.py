"""Schemas and model documents made to read files, reach the network, hang or crash whoever compiles them."""

import contextlib
import http.server
import json
import math
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runware_nb.errors import ConfigError, RunwareNBError, TaskInvalid
from runware_nb.notebook.forms.api import rules_of as rules_of_form
from runware_nb.providers.runware.catalog import LiveCatalogue, Rulebook, check_task, fields_of, size_pairs
from runware_nb.providers.runware.catalog.fields import Kind
from runware_nb.providers.runware.catalog.reading import SchemaRefused, compile_schema, plain_schema
from runware_nb.providers.runware.schema_refresh import FreshSchemas
from runware_nb.providers.runware.tasks import as_wire

MODEL = "hostile:1@1"
TASK = {"taskType": "imageInference", "model": MODEL, "positivePrompt": "a ship"}


def document(properties=None, **keywords):
    """Return a response of `/resolve`."""
    known = {"taskType": {"const": "imageInference"}, "model": {"type": "string"}, "positivePrompt": {"type": "string"}}
    return {"requestSchema": {"type": "object", "properties": {**known, **(properties or {})}, **keywords},
            "responseSchema": None, "documentation": "https://runware.ai/docs/models/x"}  # fmt: skip


def catalogue(answer, folder=None):
    async def get(url, etag):
        return 200, answer if isinstance(answer, bytes) else json.dumps(answer).encode(), "v1"

    return LiveCatalogue("https://schemas.example", folder, get)


def rules_of(properties, **keywords):
    return Rulebook(MODEL, plain_schema(document(properties, **keywords)["requestSchema"]), "https://x")


@pytest.fixture
def listener():
    """A server on this machine that counts requests; none may come."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"type": "string"}')

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/x", asked
    server.shutdown()
    thread.join()
    server.server_close()


# --- references ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef", "$recursiveRef"])
@pytest.mark.parametrize("place", ["property", "root", "nested", "definition"])
def test_no_reference_leads_out_of_a_schema(run_async, listener, tmp_path, keyword, place):
    url, asked = listener
    secret = tmp_path / "secret.json"
    secret.write_text('{"type": "integer", "const": "the secret"}')
    for target in (
        url,
        f"{url}#/x",
        secret.as_uri(),
        str(secret),
        "x.json",
        "//127.0.0.1/x",
        "urn:x",
        "",
        "?#",
        7,
        ["#"],
    ):
        outside = {keyword: target}
        answer = {
            "property": document({"style": outside}),
            "root": document(**outside),
            "nested": document({"style": {"items": {"anyOf": [{"not": outside}]}}}),
            "definition": document({"style": {"$ref": "#/$defs/a"}}, **{"$defs": {"a": outside}}),
        }[place]
        live = catalogue(answer, tmp_path / "cache")
        assert run_async(live.rules(MODEL)) is None
        reason = live.take_refusal(MODEL)
        assert "outside of the schema" in reason
        assert "the secret" not in reason
        assert live.take_refusal(MODEL) is None  # one sentence, once
    assert asked == []
    assert not list((tmp_path / "cache").glob("*"))  # what was refused is not kept


@pytest.mark.parametrize(
    "trick",
    [
        {"$id": "http://127.0.0.1:9/", "$ref": "#/$defs/a"}, {"$schema": "http://127.0.0.1:9/meta"},
        {"$id": "file:///etc/"}, {"id": "http://127.0.0.1:9/"}, {"$anchor": "a", "$dynamicAnchor": "a"},
        {"$vocabulary": {"http://127.0.0.1:9/": True}}, {"$recursiveAnchor": True},
        {"properties": {"$ref": {"type": "string"}, "$id": {"const": "http://x"}}}, {"const": {"$ref": "http://x"}},
        {"enum": [{"$ref": "file:///etc/passwd"}]}, {"default": {"$ref": "http://x"}},
    ],
)  # fmt: skip
def test_identifiers_and_data_change_nothing_about_where_references_lead(trick):
    rules = rules_of({"style": trick}, **{"$defs": {"a": {"type": "string"}}})
    written = json.dumps({key: value for key, value in rules.schema.items() if key != "properties"})
    assert "$" not in written
    style = rules.schema["properties"]["style"]
    assert not {"$id", "$schema", "id", "$anchor", "$dynamicAnchor", "$vocabulary", "$recursiveAnchor"} & style.keys()
    assert check_task(TASK, rules=rules) == []


def test_an_inner_id_does_not_move_the_references_below_it():
    inner = {
        "$id": "http://127.0.0.1:9/other",
        "properties": {"a": {"$ref": "#/$defs/side"}},
        "$defs": {"side": {"type": "null"}},
    }
    rules = rules_of({"style": inner}, **{"$defs": {"side": {"type": "integer"}}})
    assert rules.schema["properties"]["style"]["properties"]["a"] == {"type": "integer"}


def test_references_within_a_schema_are_followed():
    shared = {"side": {"type": "integer", "minimum": 8, "title": "Side"}, "named": {"$anchor": "x", "enum": ["a"]},
              "with~odd/name": {"type": "boolean"}}  # fmt: skip
    rules = rules_of(
        {"breadth": {"$ref": "#/$defs/side", "title": "Breadth"}, "kind": {"$ref": "#x"}, "flag": {"$ref": "#/$defs/with~0odd~1name"},
         "list": {"items": {"$ref": "#/oneOf/0"}}, "both": {"$ref": "#/$defs/side", "maximum": 9, "minimum": 4}},
        oneOf=[{"type": "object"}], **{"$defs": shared},
    )  # fmt: skip
    properties = rules.schema["properties"]
    assert properties["breadth"] == {"type": "integer", "minimum": 8, "title": "Breadth"}
    assert properties["kind"] == {"enum": ["a"]}
    assert properties["flag"] == {"type": "boolean"}
    assert properties["list"]["items"] == {"type": "object"}
    for value, is_right in ((8, True), (10, False), (5, False)):  # the bounds of both places apply
        task = {**TASK, "both": value}
        with contextlib.nullcontext() if is_right else pytest.raises(TaskInvalid):
            check_task(task, rules=rules)


# --- size and time ---------------------------------------------------------------------------------------


def doubling(levels, keyword):
    """Return a schema of 2**levels parts in a few lines."""
    defs = {f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{levels}": {"type": "object"}}}


def chained(levels):
    schema = {}
    for _ in range(levels):
        schema = {"allOf": [schema]}
    return schema


HUGE = {
    "doubling allOf": doubling(40, "allOf"),
    "doubling anyOf": doubling(40, "anyOf"),
    "doubling oneOf": doubling(40, "oneOf"),
    "doubling objects": {"$ref": "#/$defs/a", "$defs": {"a": {"properties": {f"p{n}": {"$ref": "#/$defs/b"} for n in range(200)}},
                                                        "b": {"properties": {f"p{n}": {"$ref": "#/$defs/c"} for n in range(200)}},
                                                        "c": {"type": "string"}}},
    "many properties": {"properties": {f"p{n}": {"type": "string"} for n in range(5000)}},
    "huge enum": {"properties": {"style": {"enum": [f"style {n}" for n in range(100_000)]}}},
    "deep": chained(400),
    "deep data": {"properties": {"style": {"const": json.loads("[" * 300 + "]" * 300)}}},
    "many patterns": {"properties": {"style": {"allOf": [{"pattern": f"((a{{900}}){{{n}}}){{900}}"} for n in range(5000)]}}},
    "long references": {"properties": {"style": {"$ref": "#" + "/a" * 100_000}}},
}  # fmt: skip


@pytest.mark.parametrize("name", list(HUGE))
def test_a_huge_schema_is_refused_or_made_small_in_a_moment(run_async, name):
    """Each of these took minutes, or ended the process, when it was compiled as it came."""
    schema = document()["requestSchema"]
    answer = {
        "requestSchema": {
            **schema,
            **HUGE[name],
            "properties": {**schema["properties"], **HUGE[name].get("properties", {})},
        }
    }
    live = catalogue(answer)
    started = time.monotonic()
    rules = run_async(live.rules(MODEL))
    if rules is None:
        assert live.take_refusal(MODEL)
    else:
        fields_of(rules)
        check_task(TASK, rules=rules)
    assert time.monotonic() - started < 5


def test_a_schema_within_itself_is_repeated_a_few_times(run_async):
    """Twelve properties that contain the schema itself hung the form."""
    for count in (1, 12, 40, 250):
        itself = {f"part{n}": {"$ref": "#"} for n in range(count)}
        started = time.monotonic()
        rules = run_async(catalogue(document(itself)).rules(MODEL))
        assert rules is not None
        assert len(fields_of(rules)) >= count
        assert check_task({**TASK, "part0": {"part0": {"positivePrompt": "x"}}}, rules=rules) == []
        with pytest.raises(TaskInvalid) if count < 100 else contextlib.nullcontext():  # 250 times 250 are too many
            check_task({**TASK, "part0": 7}, rules=rules)
        assert time.monotonic() - started < 5
    with pytest.raises(TaskInvalid):  # the first repetitions are checked
        check_task({**TASK, "part0": {"part0": {"positivePrompt": 7}}}, rules=rules_of({"part0": {"$ref": "#"}}))


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_a_schema_that_is_its_own_condition_ends(keyword):
    rules = rules_of({"style": {"$ref": "#/$defs/a"}}, **{"$defs": {"a": {keyword: [{"$ref": "#/$defs/a"}]}}})
    assert check_task({**TASK, "style": 1}, rules=rules) == []


def test_a_schema_that_excludes_itself_excludes_nothing():
    """What is cut off inside `not` would otherwise allow less, and refuse what the service takes."""
    rules = rules_of({"style": {"$ref": "#/$defs/a"}}, **{"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}})
    assert check_task({**TASK, "style": 1}, rules=rules) == []


@pytest.mark.parametrize(
    "pattern",
    ["(a*)*\\1b", "^(?=(a+)+b)(a+)+$", "((a{900}){900}){900}", "(", "(?<!x)(a|aa)+$", "a" * 5000, "\ud800", 7],
)
def test_a_pattern_that_could_take_long_is_left_to_the_service(pattern):
    rules = rules_of({"style": {"type": "string", "pattern": pattern}})
    started = time.monotonic()
    assert check_task({**TASK, "style": "a" * 200_000 + "!"}, rules=rules) == []
    assert time.monotonic() - started < 2


def test_an_ordinary_pattern_is_checked_whatever_the_text_is():
    rules = rules_of({"style": {"type": "string", "pattern": "^(a+)+$"}})
    started = time.monotonic()
    with pytest.raises(TaskInvalid):
        check_task({**TASK, "style": "a" * 200_000 + "!"}, rules=rules)
    assert check_task({**TASK, "style": "aaa"}, rules=rules) == []
    assert time.monotonic() - started < 2


def test_a_wait_for_a_schema_ends_although_compiling_does_not(run_async, monkeypatch):
    """Compiling happens in a thread, so that neither the loop nor Stop waits for it."""
    monkeypatch.setattr("runware_nb.providers.runware.catalog.live._PATIENCE_S", 0.3)
    goes_on = threading.Event()
    monkeypatch.setattr(
        "runware_nb.providers.runware.catalog.live.plain_schema", lambda schema: goes_on.wait(20) and {}
    )
    live = catalogue(document())
    started = time.monotonic()
    try:
        assert run_async(live.rules(MODEL)) is None
        assert time.monotonic() - started < 5
    finally:
        goes_on.set()


@pytest.mark.parametrize(
    "error", [RecursionError("deep"), KeyError("x"), MemoryError(), AttributeError("odd")], ids=repr
)
def test_whatever_reading_a_schema_raises_the_task_can_be_sent(run_async, monkeypatch, tmp_path, error):
    def broken(schema):
        raise error

    run_async(catalogue(document(), tmp_path).rules(MODEL))
    monkeypatch.setattr("runware_nb.providers.runware.catalog.live.plain_schema", broken)
    live = catalogue(document(), tmp_path)
    assert live.known_rules(MODEL) is None
    assert run_async(live.rules(MODEL)) is None
    assert live.take_refusal(MODEL) == f"it cannot be read ({type(error).__name__})"


def test_a_response_that_is_deep_elsewhere_is_not_kept_but_used(run_async, tmp_path):
    body = json.dumps(document())[:-1] + ', "more": ' + "[" * 900 + "]" * 900 + "}"
    assert run_async(catalogue(body.encode(), tmp_path).rules(MODEL)) is not None


def test_a_validator_fetches_nothing_even_from_a_schema_that_was_not_read_strictly(listener):
    url, asked = listener
    with pytest.raises(ValueError, match="nothing is fetched"):
        compile_schema({"properties": {"style": {"$ref": url}}})
    assert asked == []


# --- odd values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        {"minimum": math.inf}, {"minimum": 10**400}, {"maximum": -math.inf}, {"maximum": math.nan}, {"multipleOf": 0},
        {"multipleOf": -1}, {"multipleOf": 1e-320}, {"minimum": "low"}, {"minimum": True}, {"minLength": -1}, {"maxLength": 1e300},
        {"maxItems": [1]}, {"type": 7}, {"type": []}, {"enum": "ab"}, {"enum": []}, {"enum": [math.nan]}, {"const": 10**400},
        {"oneOf": []}, {"allOf": 7}, {"anyOf": [None]}, {"required": "width"}, {"required": [1]}, {"items": 3},
        {"properties": 7}, {"properties": {"a": None}}, {"not": {"minimum": "x"}}, {"if": {"multipleOf": 0}, "then": False},
        {"title": ["x"]}, {"title": "\ud800"}, {"description": 4}, {"default": math.inf}, {"pattern": 3}, {"x-titles": 7},
        {"dependentRequired": 4}, {"patternProperties": {"(": {}}}, {"format": {"a": 1}}, {"uniqueItems": "yes"},
        {"additionalProperties": "no"}, {"propertyNames": {"pattern": "(?=x)"}}, {"unevaluatedProperties": False},
    ],
    ids=lambda odd: json.dumps(odd)[:40],
)  # fmt: skip
def test_a_keyword_that_means_nothing_checks_nothing(odd):
    """The model stays usable: `style` is sent, and the service checks it. The form has a field for it."""
    rules = rules_of({"style": odd})
    for value in (0, 5, "x", [1], {"a": 1}):
        task = {**TASK, "style": value}
        if "properties" not in odd or not isinstance(value, dict):
            assert check_task(task, rules=rules) == []
    assert "style" in {field.name for field in fields_of(rules)}


@pytest.mark.parametrize(
    ("schema", "default"),
    [
        ({"type": "integer"}, "many"), ({"type": "integer", "maximum": 9}, 10**12), ({"type": "integer"}, 0.5),
        ({"type": "number"}, True), ({"type": "string"}, 7), ({"type": "boolean"}, "yes"), ({"enum": ["a"]}, "b"),
        ({"type": "array", "items": {"type": "string"}}, "abc"), ({"type": "string", "maxLength": 3}, "x" * 100_000),
    ],
)  # fmt: skip
def test_a_default_of_another_type_is_not_taken(schema, default):
    """A form that began with 0.5 where an integer belongs would have sent 0, which nobody asked for."""
    (field,) = [
        field for field in fields_of(rules_of({"style": {**schema, "default": default}})) if field.name == "style"
    ]
    assert field.default is None


@pytest.mark.parametrize("name", ["__proto__", "constructor", "__class__", "toString", "self", "class", "$ref", "None"])
def test_special_names_are_names(name):
    rules = rules_of({name: {"type": "integer"}})
    assert name in {field.name for field in fields_of(rules)}
    with pytest.raises(TaskInvalid, match="a whole number"):
        check_task({**TASK, name: "x"}, rules=rules)


@pytest.mark.parametrize(
    "name", ["a\nimport os", "a b", "a\x1b[2J", "a\u202eb", '"', "<script>", "\ud800", "", "x" * 101]
)
def test_names_that_are_none_have_no_field(name):
    """Names are written into cells: `Copy as cell` must not copy a line of someone else's."""
    assert name not in {field.name for field in fields_of(rules_of({name: {"type": "integer"}}))}


def test_a_long_list_of_choices_is_typed_and_a_form_has_so_many_fields():
    rules = rules_of({"voice": {"type": "string", "enum": [f"voice {n}" for n in range(5000)]}})
    voice = next(field for field in fields_of(rules) if field.name == "voice")
    assert voice.kind is Kind.TEXT
    with pytest.raises(TaskInvalid, match="nearest: voice 12"):
        check_task({**TASK, "voice": "voice 12x"}, rules=rules)

    def count(fields):
        return sum(1 + count(field.fields) for field in fields)

    wide = {
        f"g{n}": {"type": "object", "properties": {f"p{m}": {"type": "string"} for m in range(200)}} for n in range(60)
    }
    assert count(fields_of(rules_of(wide))) <= 600


def test_forms_are_built_from_odd_schemas(sandbox, make_session):
    from runware_nb.notebook.forms.model_form import ModelForm

    session = make_session(sandbox)
    odd = {
        "width": {"type": "integer", "minimum": -5, "maximum": -1, "multipleOf": 0.5}, "height": {"type": "string"},
        "seed": {"type": "array"}, "numberResults": {"type": "string", "default": "<b>"}, "steps": {"default": 1e308, "type": "integer"},
        "__proto__": {"type": "object", "properties": {"constructor": {"type": "string"}}},
        "style": {"title": "<script>alert(1)</script>\x1b]0;x\x07\u202e", "description": "\x1b[2J", "enum": ["a\x1b", "b"]},
        **{f"part{n}": {"$ref": "#"} for n in range(12)},
    }  # fmt: skip
    form = ModelForm(session, rules_of(odd))
    style = next(field for field in fields_of(rules_of(odd)) if field.name == "style")
    assert "\x1b" not in style.title + style.help + style.choices[0][0]
    assert style.choices[0][1] == "a\x1b"  # the value that is sent stays
    assert form.model == MODEL
    for side in (
        {"type": "integer", "minimum": -5, "maximum": -1, "multipleOf": 0.5},
        {"type": "number", "maximum": 1e300},
        {},
    ):
        ModelForm(session, rules_of({"width": side, "height": side}))


@pytest.mark.parametrize("number", range(6))
def test_odd_values_of_a_request_give_one_sentence(number):
    value = [10**400, 10**5000, -(10**400), 1e308, "\ud800", "x" * 10**6][number]
    rules = rules_of(
        {"width": {"type": "integer", "minimum": 128, "maximum": 2048, "multipleOf": 16}, "style": {"enum": ["a", "b"]}}
    )
    for name in ("width", "style"):
        with pytest.raises(TaskInvalid) as caught:
            check_task(as_wire({**TASK, name: value}), rules=rules)
        assert len(str(caught.value)) < 1000
        with contextlib.suppress(TaskInvalid):  # a caller that did not convert the task gets one sentence, too
            check_task({**TASK, name: value}, rules=rules)


def test_a_file_name_that_is_not_text_still_names_a_medium():
    wire = as_wire({**TASK, "seedImage": "caf\udce9.png", "inputs": {"image": "caf\udce9.png"}})
    assert wire["seedImage"] == wire["inputs"]["image"] == "caf\udce9.png"


def test_size_pairs_are_numbers_of_pixels():
    pair = {
        "oneOf": [
            {"properties": {"width": {"const": width}, "height": {"const": 512}}}
            for width in (True, 0, -5, 10**9, "5", 512)
        ]
    }
    assert size_pairs(rules_of({}, **pair)) == [(512, 512)]


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(
    ["#", "#/properties", "#/properties/style", "#x", "object", "integer", "string", "http://127.0.0.1:9/", 10**400]
)  # fmt: skip
keywords = st.sampled_from([
    "$ref", "$dynamicRef", "$id", "$defs", "type", "properties", "items", "enum", "const", "default", "oneOf", "anyOf", "allOf", "not",
    "if", "then", "else", "required", "minimum", "maximum", "multipleOf", "minLength", "maxLength", "pattern", "title", "x-titles",
    "additionalProperties", "patternProperties", "dependentRequired", "prefixItems", "contains", "width", "height", "style",
])  # fmt: skip
schemas = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keywords, inner, max_size=5), max_leaves=25
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(keywords, schemas, max_size=6), st.dictionaries(keywords, schemas, max_size=3))
def test_any_schema_is_refused_or_compiles_and_checks_any_request(properties, keywords):
    try:
        rules = rules_of(properties, **{name: value for name, value in keywords.items() if name != "properties"})
    except SchemaRefused:
        return
    try:
        _ = rules.validator
    except ValueError:
        return  # such a schema is refused by `LiveCatalogue`
    fields_of(rules)
    for value in (None, 1, "x", [], {"a": [1.5]}):
        with contextlib.suppress(TaskInvalid):
            check_task({**TASK, **dict.fromkeys(properties, value)}, rules=rules)


# --- the cache, and what becomes of a refused schema ----------------------------------------------------


def test_a_cache_that_comes_with_a_project_is_not_read(sandbox, make_session, tmp_path, monkeypatch, run_async):
    """Nothing below the project's folder is; the cache of the user is outside of it."""
    project = tmp_path / ".runware" / "schemas"
    live = catalogue(document({"planted": {"type": "string"}}), project)
    run_async(live.rules(MODEL))
    assert list(project.iterdir())  # as a cloned project would bring it along
    session = make_session(sandbox, schemas_url="https://schemas.example")
    assert session.planner._fresh._live().known_rules(MODEL) is None
    folder = session.planner._fresh._live()._folder
    assert folder == tmp_path / "cache" / "runware_nb" / "schemas"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/to/the/project")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert FreshSchemas(lambda: session.settings)._live()._folder.is_relative_to(tmp_path / "home")


def test_a_kept_schema_is_read_as_strictly_as_a_new_one(run_async, tmp_path):
    run_async(catalogue(document({"style": {"type": "string"}}), tmp_path).rules(MODEL))
    (path,) = tmp_path.iterdir()
    path.write_text(json.dumps({"etag": ["odd"], "body": document({"style": {"$ref": "file:///etc/passwd"}})}))
    fresh = catalogue(document({"style": {"type": "integer"}}), tmp_path)
    assert fresh.known_rules(MODEL) is None
    assert run_async(fresh.rules(MODEL)).schema["properties"]["style"] == {"type": "integer"}


def test_a_model_with_a_refused_schema_is_used_and_one_sentence_says_so_once(sandbox, make_session, monkeypatch):
    session = make_session(sandbox, schemas_url="https://schemas.example")

    async def get(url, etag):
        return 200, json.dumps(document({"style": {"$ref": "http://127.0.0.1:9/x"}})).encode(), None

    monkeypatch.setattr(session.planner._fresh, "_get", get)
    first = session.plan({**TASK, "style": "ink"})
    refused = [warning for warning in first.warnings if "is not used" in warning]
    assert len(refused) == 1
    assert (
        "The schema of model hostile:1@1 from https://schemas.example is not used: it refers to 'http://127.0.0.1:9/x'"
        in refused[0]
    )
    assert "the service checks them" in refused[0]
    assert first.task["style"] == "ink"
    assert not any("is not used" in warning for warning in session.plan(TASK).warnings)
    with pytest.raises(ConfigError, match=r"is not used: it refers to .*It has no form\."):
        rules_of_form(session, MODEL)


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "https://x/\x1b]0;",
        "https://x/\u202e",
        "https://x/ y",
        ["https://x"],
        "https://" + "x" * 9999,
    ],
)
def test_a_link_to_documentation_is_one(run_async, link):
    answer = {**document(), "documentation": link}
    assert run_async(catalogue(answer).rules(MODEL)).documentation == "https://runware.ai/docs/models"


# --- model documents -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        {"results": 7}, {"results": {"air": "x"}}, {"results": [None, 7, "x", [1]]}, {"results": [{"air": ["a"], "name": {}}]}, {},
        {"results": [{"air": "civitai:1@2", "name": {"a": 1}, "category": ["x"], "architecture": 7, "defaultSteps": [1],
                      "defaultCFG": "x", "heroImage": {}}], "totalResults": "\x1b[2J"},
        {"results": [{"air": "civitai:1@" + "9" * 10_000, "name": "x"}]}, {"results": [{"air": "civitai:1@2\x1b[2J"}]},
    ],
)  # fmt: skip
def test_odd_results_of_a_model_search_are_left_out(answer, sandbox, make_session, monkeypatch):
    from runware_nb.commands.arguments import LineParser
    from runware_nb.commands.models import add_arguments, run
    from runware_nb.notebook.forms.picker import search_service

    class Client:
        async def search_models(self, search="", **_):
            return answer

    session = make_session(sandbox)
    monkeypatch.setattr(session, "client", Client)
    parser = LineParser("models", "")
    add_arguments(parser)
    shown = run(session, parser.read(["flux"]))
    assert "\x1b" not in shown.bundle["text/plain"]
    for choice in search_service(session, "flux"):
        assert isinstance(choice.name + choice.air + choice.settings + choice.hero + choice.architecture, str)
    with pytest.raises(RunwareNBError):
        session.aliases.give("mine", "nobody knows this")
