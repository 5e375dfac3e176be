"""A transport that is handed to the client carries its tasks."""

import asyncio
import json

import pytest

from runware_nb import Client
from runware_nb.errors import TransportError
from runware_nb.providers.runware.frames import parse_frame

TASK = {"taskType": "imageInference", "taskUUID": "10000000-0000-4000-8000-000000000000", "model": "runware:101@1",
        "positivePrompt": "a", "width": 512, "height": 512}  # fmt: skip


class Canned:
    """Responds to each task at once, without a network."""

    pushes = True

    def __init__(self, settings, listener):
        self.listener = listener
        self.sent = []
        self.is_open = False
        self.error = None
        self.is_closed = False

    async def open(self):
        if self.error is not None:
            raise self.error
        self.is_open = True

    async def send(self, tasks, *, timeout_s, on_leaving=None):
        if on_leaving is not None:
            on_leaving()
        self.sent += tasks
        data = [{**{name: task[name] for name in ("taskType", "taskUUID")}, "imageUUID": "i", "cost": 0.001,
                 "imageURL": "https://im.runware.ai/i.png"} for task in tasks]  # fmt: skip
        self.listener.on_frame(parse_frame(json.dumps({"data": data}), key="k" * 24))

    async def aclose(self):
        self.is_closed = True


def test_a_handed_in_transport_carries_the_tasks_and_is_closed():
    built = []

    def build(settings, listener):
        built.append(Canned(settings, listener))
        return built[-1]

    async def main():
        async with Client("k" * 24, transport=build) as client:
            assert client.settings.transport == "websocket"  # the setting is left alone
            return await client.run(TASK, timeout_s=5, as_is=True)

    outcome = asyncio.run(main())
    assert len(outcome) == 1
    [transport] = built
    assert [task["taskUUID"] for task in transport.sent] == [TASK["taskUUID"]]
    assert transport.is_closed


def test_rest_does_not_take_over_from_a_handed_in_transport():
    notices, built = [], []

    def build(settings, listener):
        built.append(Canned(settings, listener))
        built[-1].error = TransportError("no way", may_have_arrived=False)
        return built[-1]

    async def main():
        async with Client("k" * 24, transport=build, on_notice=notices.append) as client:
            await client.open()

    with pytest.raises(TransportError, match="no way"):
        asyncio.run(main())
    assert notices == []
    assert built[0].is_closed
