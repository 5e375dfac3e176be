"""Fresh schemas: from a real server, kept on disk, and never a reason to wait."""

import asyncio
import json
import time

import pytest

from runware_nb.errors import TaskInvalid, TransportError
from runware_nb.net.http import HttpConnection
from runware_nb.providers.runware.catalog import LiveCatalogue, check_task
from runware_nb.providers.runware.schema_refresh import FreshSchemas
from runware_nb.settings import load_settings
from tests.conftest import TASK


class Service:
    """A schema service of the test's own: counts what it is asked."""

    def __init__(self, answer, etag="v1", delay_s=0.0):
        self.answer, self.etag, self.delay_s, self.asked = answer, etag, delay_s, []

    async def __call__(self, url, etag):
        self.asked.append((url, etag))
        await asyncio.sleep(self.delay_s)
        if isinstance(self.answer, Exception):
            raise self.answer
        if etag == self.etag:
            return 304, b"", etag
        body = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        return 200, body, self.etag


SCHEMA = {
    "requestSchema": {
        "$id": "x", "type": "object", "required": ["taskType", "taskUUID", "positivePrompt"],
        "properties": {
            "taskType": {"const": "imageInference"}, "model": {"type": "string"}, "taskUUID": {"type": "string"},
            "positivePrompt": {"type": "string", "maxLength": 10},
            "style": {"$id": "x", "oneOf": [{"const": "ink", "title": "Ink"}, {"const": "oil", "title": "Oil"}]},
            "width": {"type": "integer"}, "height": {"type": "integer"},
            "inputs": {"type": "object", "properties": {"seedImage": {"type": "string"}}},
        },
        "additionalProperties": False,
        "allOf": [{"if": {"required": ["width"]}, "then": {"oneOf": [
            {"properties": {"width": {"const": 1024}, "height": {"const": 1024}}, "title": "1K (1:1)"},
            {"properties": {"width": {"const": 1536}, "height": {"const": 1024}}, "title": "1K (3:2)"}]}}],
    },
    "responseSchema": None,
    "documentation": "https://runware.ai/docs/models/new-one",
}  # fmt: skip
TASK_OF_NEW = {"taskType": "imageInference", "model": "new:one@1", "positivePrompt": "a ship"}


def rules_of(run_async, service, folder=None):
    return run_async(LiveCatalogue("https://schemas.example", folder, service).rules("new:one@1"))


def test_a_model_that_came_out_this_morning_is_checked(run_async):
    rules = rules_of(run_async, Service(SCHEMA))
    assert check_task(TASK_OF_NEW, rules=rules) == []
    for change, words in [
        ({"style": "inc"}, "nearest: ink"), ({"positivePrompt": "x" * 11}, "11 characters"),
        ({"width": 1100, "height": 1000}, "nearest accepted: 1024x1024"),
        ({"width": 1500, "height": 1000}, "nearest accepted: 1536x1024"), ({"positivePrompt": None}, "is missing"),
        ({"taskType": "upscale"}, "does imageInference"),
    ]:  # fmt: skip
        task = {name: value for name, value in {**TASK_OF_NEW, **change}.items() if value is not None}
        with pytest.raises(TaskInvalid, match=words) as caught:
            check_task(task, rules=rules)
        assert caught.value.documentation.startswith("https://runware.ai/docs/models/new-one")
    assert "styel" in check_task({**TASK_OF_NEW, "styel": 1}, rules=rules)[0]
    assert check_task({**TASK_OF_NEW, "seedImage": "u"}, rules=rules) == []  # it is put under inputs


def test_what_is_kept_is_used_at_once_and_asked_about_with_its_etag(run_async, tmp_path):
    first = Service(SCHEMA)
    rules_of(run_async, first, tmp_path)
    second = Service(SCHEMA)
    catalogue = LiveCatalogue("https://schemas.example", tmp_path, second)
    assert catalogue.known_rules("new:one@1") is not None
    assert second.asked == []
    assert run_async(catalogue.rules("new:one@1")).air == "new:one@1"
    assert second.asked == [("https://schemas.example/resolve/new%3Aone%401", "v1")]
    run_async(catalogue.rules("new:one@1"))
    assert len(second.asked) == 1  # fresh for five minutes


def test_a_new_version_replaces_the_old(run_async, tmp_path):
    rules_of(run_async, Service(SCHEMA), tmp_path)
    changed = json.loads(json.dumps(SCHEMA))
    changed["requestSchema"]["properties"]["positivePrompt"]["maxLength"] = 3
    rules = rules_of(run_async, Service(changed, "v2"), tmp_path)
    with pytest.raises(TaskInvalid, match="6 characters"):
        check_task(TASK_OF_NEW, rules=rules)


@pytest.mark.parametrize(
    "answer",
    [
        TransportError("no network"), b"", b"<html>", b"[]", b"{}", b'{"requestSchema": 7}', b"[" * 100_000,
        {"requestSchema": {"properties": {"width": {"type": "nonsense"}}}}, b"x" * 5_000_000,
        {"requestSchema": {"properties": {"width": {"$ref": "#/nowhere"}}}},
    ],
)  # fmt: skip
def test_what_is_no_schema_means_none(run_async, tmp_path, answer):
    assert rules_of(run_async, Service(answer), tmp_path) is None
    assert rules_of(run_async, Service(SCHEMA), tmp_path) is not None


def test_it_is_not_waited_for_long(run_async, monkeypatch):
    monkeypatch.setattr("runware_nb.providers.runware.catalog.live._PATIENCE_S", 0.2)
    started = time.monotonic()
    assert rules_of(run_async, Service(SCHEMA, delay_s=30)) is None
    assert time.monotonic() - started < 2


def test_a_damaged_file_and_a_full_disk_cost_nothing_but_asking_again(run_async, tmp_path):
    rules_of(run_async, Service(SCHEMA), tmp_path)
    for path in tmp_path.iterdir():
        path.write_text('{"half')
    assert rules_of(run_async, Service(SCHEMA), tmp_path) is not None
    (tmp_path / "file").write_text("in the way")
    assert rules_of(run_async, Service(SCHEMA), tmp_path / "file") is not None


def test_off_means_nobody_is_asked(run_async):
    service = Service(SCHEMA)
    assert run_async(LiveCatalogue("", None, service).rules("new:one@1")) is None
    assert service.asked == []
    assert load_settings({"RUNWARE_NB_SCHEMAS_URL": "off"}).schemas_url == ""


def test_the_sandboxs_schemas_over_http(sandbox, run_async, tmp_path):
    async def main():
        http = HttpConnection(sandbox.info["schemas_url"], user_agent="test", connect_timeout_s=10)

        async def get(url, etag):
            response = await http.get(url, etag)
            return response.status, response.body, response.headers.get("etag")

        try:
            catalogue = LiveCatalogue(sandbox.info["schemas_url"], tmp_path, get)
            again = LiveCatalogue(sandbox.info["schemas_url"], tmp_path, get)
            return await catalogue.rules("google:4@3"), await again.rules("google:4@3"), await catalogue.rules("no:1@1")
        finally:
            await http.aclose()

    rules, again, unknown = run_async(main())
    assert rules.task_type == again.task_type == "imageInference"
    assert unknown is None
    with pytest.raises(TaskInvalid, match="nearest accepted: 1024x1024"):
        check_task({"taskType": "imageInference", "model": "google:4@3", "positivePrompt": "xy", "width": 1000,
                    "height": 1000}, rules=rules)  # fmt: skip


def test_a_session_asks_for_what_the_snapshot_does_not_know(sandbox, make_session):
    session = make_session(sandbox, schemas_url=sandbox.info["schemas_url"])
    task = {**TASK, "model": "civitai:102438@133677"}  # in the sandbox's catalogue, and not in ours
    assert session.plan({**task, "width": 1024, "height": 1024}).warnings == []
    with pytest.raises(TaskInvalid, match="nearest accepted: 960 or 1024"):
        session.plan({**task, "width": 1000, "height": 1024})
    job = session.submit(task, agreed=True)
    job.result(20)
    assert job.record.request["seed"]  # its schema takes a seed, so one was pinned


def test_a_local_service_is_not_asked_about_through_the_internet(sandbox, make_session):
    session = make_session(sandbox)
    assert isinstance(session.planner._fresh, FreshSchemas)
    assert not session.planner._fresh._live().is_on


def test_media_stand_where_a_fresh_schema_wants_them(sandbox, make_session):
    session = make_session(sandbox, schemas_url=sandbox.info["schemas_url"])
    frames = [{"inputImage": "https://example.com/x.png", "frame": "first"}]
    task = {"taskType": "videoInference", "model": "klingai:5@3", "positivePrompt": "xy", "frameImages": frames}
    planned = session.plan(task).task  # a closed model that the snapshot does not know: flat media would be refused
    assert planned["inputs"] == {"frameImages": [{"image": "https://example.com/x.png", "frame": "first"}]}
    assert "frameImages" not in planned
