"""Text cells in a real shell."""

import pytest

from runware_nb.errors import MagicUsageError, TaskInvalid
from runware_nb.runlog import Parent
from runware_nb.session import current_session


def test_a_conversation_in_cells(shell, sandbox):
    shell.run("%%runware text --yes -o first\nName {{three}} oceans.")
    first = shell.names["first"]
    shell.run("%%runware text --yes --continue -o second\nWhich is the deepest?")
    sent = sandbox.requests()
    assert [task["deliveryMethod"] for task in sent] == ["stream", "stream"]
    assert [message["content"] for message in sent[1]["messages"]] == [
        "Name {three} oceans.", first[0].text, "Which is the deepest?",
    ]  # fmt: skip
    run = current_session().log.find(shell.names["second"].task_uuid)
    assert run.parents == (Parent(first.task_uuid, "conversation", 0),)
    shell.run(f"%%runware text --yes --continue {first.task_uuid[:8]}\nAnd the warmest?")
    shell.run("%%runware text --yes --continue first\nAnd the coldest?")
    shell.run("%runware text 'And the saltiest?' --yes --continue")
    assert [len(task["messages"]) for task in sandbox.requests()] == [1, 3, 3, 3, 5]
    with pytest.raises(TaskInvalid, match="Cannot continue nothing: no run and no variable has this name"):
        shell.run("%%runware text --yes --continue nothing\nAnd?")


def test_json_from_a_variable(shell, sandbox, capsys):
    shell.names["ship"] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    shell.run("%%runware text --yes --schema ship -o made\nA ship.")
    assert list(shell.names["made"][0].json) == ["name"]
    sent = sandbox.requests()[-1]
    assert (sent["jsonSchema"], sent["outputFormat"]) == (shell.names["ship"], "JSON")
    with pytest.raises(MagicUsageError, match=r"Invalid --schema missing\.json: expected a variable, or the path"):
        shell.run("%%runware text --yes --schema missing.json\nA ship.")


def test_no_stream(shell, sandbox):
    shell.run("%%runware text --yes --no-stream\nHello there.")
    assert sandbox.requests()[-1]["deliveryMethod"] == "sync"
