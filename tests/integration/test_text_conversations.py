"""Texts as users ask for them: streaming by default, conversations, JSON, and what a cell shows of them."""

import json

import pytest

import runware_nb as rw
from runware_nb.core.results import Result
from runware_nb.engine.job_view import render_job
from runware_nb.errors import ArgumentInvalid, TaskInvalid
from runware_nb.runlog import Parent

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
    "required": ["name", "count"],
}
WRITTEN = {"kind": "write", "text": "# A *plan*\n\n- one\n- <b>two</b>", "reasoning": "Let me think."}


@pytest.fixture
def session(sandbox, make_session, monkeypatch):
    made = make_session(sandbox)
    monkeypatch.setattr("runware_nb.session.operations.current_session", lambda: made)
    return made


@pytest.fixture
def ask(session):
    return lambda *prompt, **options: rw.text(*prompt, agreed=True, **options)


def messages(sandbox):
    return sandbox.requests()[-1]["messages"]


def test_a_text_is_streamed_unless_asked_otherwise(sandbox, ask):
    assert ask("hello").result()[0].text
    assert ask("hello", stream=False).result()[0].text
    assert ask("hello", number_results=2).result()[1].text
    assert [task["deliveryMethod"] for task in sandbox.requests()] == ["stream", "sync", "sync"]
    assert all(task["includeUsage"] for task in sandbox.requests())


def test_a_conversation_sends_all_of_it_and_knows_its_parent(sandbox, session, ask):
    first = ask("Name three oceans.", system_prompt="Be brief.", model="gpt", temperature=0.5).result()
    second = first.ask("Which is the deepest?", agreed=True)
    expected = [
        {"role": "user", "content": "Name three oceans."},
        {"role": "assistant", "content": first[0].text},
        {"role": "user", "content": "Which is the deepest?"},
    ]
    second.result()
    sent = sandbox.requests()[-1]
    assert sent["messages"] == expected
    assert sent["settings"] == {"systemPrompt": "Be brief.", "temperature": 0.5}
    assert sent["model"] == "openai:gpt@5.5"
    assert session.log.find(second.task_uuid).parents == (Parent(first.task_uuid, "conversation", 0),)
    assert session.log.find(second.task_uuid).prompt == "Which is the deepest?"
    third = ask("And the warmest?", continue_from=second, temperature=1.0, model="gemma")
    third.result()
    assert len(messages(sandbox)) == 5
    assert sandbox.requests()[-1]["settings"] == {"systemPrompt": "Be brief.", "temperature": 1.0}
    assert session.log.find(third.task_uuid).parents == (Parent(second.task_uuid, "conversation", 0),)
    html = render_job(third)["text/html"]
    assert "Conversation, 4 earlier messages" in html
    assert "<details" in html


@pytest.mark.parametrize("how", ["last", "prefix", "result", "job"])
def test_ways_to_name_what_is_continued(sandbox, ask, how):
    first = ask("Name three oceans.")
    outcome = first.result()
    named = {"last": True, "prefix": first.task_uuid[:8], "result": outcome[0], "job": first}[how]
    ask("And?", continue_from=named).result()
    assert messages(sandbox)[1] == {"role": "assistant", "content": outcome[0].text}


def test_an_unfinished_text_is_continued_when_it_is_there(sandbox, session, ask):
    sandbox.faults({"kind": "write", "text": "one two three four"}, {"kind": "hold", "after": 2})
    first = ask("Count.")
    next(first.pieces())
    second = ask("Go on.", continue_from=first)
    sandbox.control("release", post=True)
    second.result()
    assert messages(sandbox)[1] == {"role": "assistant", "content": "one two three four"}
    assert session.log.find(second.task_uuid).parents == (Parent(first.task_uuid, "conversation", 0),)


def test_an_image_stays_in_the_conversation(sandbox, ask):
    from PIL import Image

    first = ask("What is this?", images=[Image.new("RGB", (64, 32), (0, 0, 255))]).result()
    assert "mostly blue" in first[0].text
    second = first.ask("Sure?", agreed=True).result()
    assert "mostly blue" in second[0].text


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        (True, "the log has no text of this notebook"),
        ("nothing", "no run and no variable has this name"),
        (7, "it is not a run"),
    ],
)
def test_what_cannot_be_continued(sandbox, ask, named, problem):
    with pytest.raises(TaskInvalid, match=f"Cannot continue .*{problem}.* Nothing was sent"):
        ask("And?", continue_from=named)
    assert sandbox.charges() == []


def test_an_image_cannot_be_continued(sandbox, session, ask):
    image = session.submit(
        {
            "taskType": "imageInference",
            "model": "runware:101@1",
            "positivePrompt": "an airship",
            "width": 256,
            "height": 256,
        }
    )
    image.result()
    with pytest.raises(TaskInvalid, match="it did not generate text"):
        ask("And?", continue_from=image)


# --- JSON ------------------------------------------------------------------------------------------------


def test_json_that_matches_its_schema(sandbox, ask, tmp_path):
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    job = ask("A ship", schema=SCHEMA)
    value = job.result()[0].json
    assert set(value) == {"name", "count"}
    assert sandbox.requests()[-1]["jsonSchema"] == SCHEMA
    shown = render_job(job)["text/html"]
    assert "JSON, 4 lines" in shown
    assert "does not match" not in shown
    ask("A ship", schema=str(file), fresh=True).result()
    assert sandbox.requests()[-1]["jsonSchema"] == SCHEMA


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("no JSON", "The text is not valid JSON, so it is shown as text."),
        ('{"name": "x"}', "The JSON does not match its schema"),
        ('{"name": "x", "count": 0}', "The JSON does not match its schema at count"),
    ],
)
def test_json_that_does_not(sandbox, ask, text, sentence):
    sandbox.faults({"kind": "write", "text": text})
    job = ask("A ship", schema=SCHEMA)
    assert job.result()[0].text == text
    assert sentence in render_job(job)["text/plain"]


@pytest.mark.parametrize(
    ("text", "value"),
    [('{"a": 1}', {"a": 1}), ('```json\n{"a": 1}\n```', {"a": 1}), ("[1]", [1]), ("nothing", None), ("[" * 100_000, None)],
)  # fmt: skip
def test_the_json_of_a_text(text, value):
    assert Result({"text": text}, "u").json == value


@pytest.mark.parametrize("schema", [{"type": 5}, "missing.json", "{", [1], {"$ref": "#/nowhere"}])
def test_a_schema_that_is_none(sandbox, ask, schema):
    with pytest.raises(ArgumentInvalid, match=r"Invalid schema .*Nothing was sent"):
        ask("A ship", schema=schema)
    assert sandbox.charges() == []


# --- what is shown ---------------------------------------------------------------------------------------


def test_a_text_is_shown_with_its_facts(sandbox, ask):
    sandbox.faults(WRITTEN)
    job = ask("A plan", max_tokens=50)
    job.result()
    shown = render_job(job)
    assert "<h1>A <em>plan</em></h1>" in shown["text/html"]
    assert "<li>&lt;b&gt;two&lt;/b&gt;</li>" in shown["text/html"]
    assert "Reasoning, 3 words" in shown["text/html"]
    assert WRITTEN["text"] in shown["text/plain"]
    assert "tokens: 2 in" in shown["text/plain"]
    assert "$0.000021" in shown["text/plain"]
    again = ask("A plan", max_tokens=50)
    again.result()


def test_the_reason_for_an_early_end_is_stated(sandbox, ask):
    job = ask("A long story, please", max_tokens=3)
    assert job.result()[0].finish_reason == "length"
    assert "The text ends at the limit of tokens. Raise `max_tokens` for a longer one." in render_job(job)["text/plain"]


def test_a_text_that_broke_off_says_so(sandbox, ask):
    sandbox.faults(WRITTEN, {"kind": "fail", "code": "contentModeration", "message": "It was filtered", "after": 5})
    job = ask("A plan")
    job.result()
    plain = render_job(job)["text/plain"]
    assert "It was filtered" in plain
    assert "incomplete · " in plain
    assert "# A" in plain
