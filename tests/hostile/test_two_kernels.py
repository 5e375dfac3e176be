"""The same cell in two kernels at once, where only one of them can reach what the service made."""

import time

from runware_nb.runlog import MediaStore, State
from tests.conftest import TASK

SEEDED = {**TASK, "seed": 5}


def test_a_run_that_another_kernel_is_storing_is_left_to_it(start_sandbox, make_session, monkeypatch):
    """The service of the second kernel does not know the task: its answer is in the log, its file is on the way."""
    put = MediaStore.put

    def put_slowly(*args, **values):
        time.sleep(4)  # longer than the second kernel asks its own service
        return put(*args, **values)

    monkeypatch.setattr(MediaStore, "put", put_slowly)
    here, there = (make_session(start_sandbox()) for _ in range(2))
    first = here.submit(SEEDED)
    deadline = time.monotonic() + 30
    while first.state is State.PREPARED and time.monotonic() < deadline:
        time.sleep(0.02)  # the log does not have it yet
    while not here.log.find(first.task_uuid).results and time.monotonic() < deadline:
        time.sleep(0.02)
    second = there.submit(SEEDED)
    assert second.result(timeout_s=60)[0].bytes == first.result(timeout_s=60)[0].bytes
    assert not [notice for notice in second.notices if "missing" in notice]
    run = here.log.find(first.task_uuid)
    assert (run.state, run.results[0].medium_state) == (State.SUCCEEDED, "stored")
    assert here.media.find(run.results[0].file) == first.result()[0].path
