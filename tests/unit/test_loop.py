import asyncio
import os
import threading
import time

import pytest

from runware_nb.errors import TransportTimeout
from runware_nb.loop import BackgroundLoop, background_loop, wait, wait_async


async def give(value, after_s=0.0):
    await asyncio.sleep(after_s)
    return value


async def fail(error):
    raise error


def test_work_runs_in_another_thread_and_comes_back():
    async def where():
        return threading.current_thread().name

    assert wait(background_loop().submit(where())) == "runware loop"


def test_there_is_one_loop():
    assert background_loop() is background_loop()


def test_the_works_own_error_is_raised():
    with pytest.raises(KeyError):
        wait(background_loop().submit(fail(KeyError("x"))))


def test_a_timeout_of_the_work_does_not_spin():
    """Since 3.11 the wait's timeout and the work's are the same class."""
    with pytest.raises(TimeoutError, match="mine"):
        wait(background_loop().submit(fail(TimeoutError("mine"))), timeout_s=5)


def test_the_wait_has_a_deadline_and_the_work_goes_on():
    future = background_loop().submit(give(3, 0.3))
    with pytest.raises(TransportTimeout):
        wait(future, timeout_s=0.05)
    assert wait(future) == 3


def test_waiting_ticks():
    ticks = []
    wait(background_loop().submit(give(1, 0.3)), on_tick=lambda: ticks.append(1))
    assert len(ticks) >= 2


def test_the_loop_does_not_wait_for_itself():
    async def foolish():
        wait(background_loop().submit(give(1)))

    with pytest.raises(RuntimeError, match="await"):
        wait(background_loop().submit(foolish()))


def test_awaiting_works_in_another_loop():
    class Handle:
        def __await__(self):
            return wait_async(background_loop().submit(give(4, 0.05)))

    async def main():
        return await Handle()

    assert asyncio.run(main()) == 4


def test_cancelling_an_await_leaves_the_work_alone():
    future = background_loop().submit(give(5, 0.4))

    class Handle:
        def __await__(self):
            return wait_async(future)

    async def main():
        waiting = asyncio.ensure_future(asyncio.wait_for(Handle(), 0.1))
        with pytest.raises(TimeoutError):
            await waiting

    asyncio.run(main())
    assert wait(future) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork; nothing to enable")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_gets_a_loop_of_its_own():
    before = background_loop()
    child = os.fork()
    if child == 0:
        mine = background_loop()
        good = mine is not before and wait(mine.submit(give(1)), timeout_s=5) == 1
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_work_can_be_called_from_any_thread():
    done = threading.Event()
    loop = BackgroundLoop()
    loop.call(done.set)
    assert done.wait(5)
    assert time.monotonic() > 0
