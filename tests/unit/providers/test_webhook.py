"""The board that wakes waits, and the receiver that posts to it."""

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runware_nb.errors import ConfigError
from runware_nb.providers.webhook import (
    CallbackBoard,
    CallbackRefused,
    CallbackReport,
    Receiver,
    Route,
    VerifiedCallback,
    _Waiter,
)

LONG_S = 30


class Never:
    """A clock that stands still."""

    async def sleep(self, seconds, /):
        await asyncio.Event().wait()


class Scaled:
    """A clock of a service that is 1,000 times as fast."""

    async def sleep(self, seconds, /):
        await asyncio.sleep(seconds / 1000)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "home" / "callbacks"


@pytest.fixture
def board(folder):
    return CallbackBoard(lambda: folder)


def name_of(service, task_id):
    return hashlib.sha256(f"{service}\0{task_id}".encode()).hexdigest()


async def waiting(board, *arguments):
    """Start a wait, and return it when it is registered."""
    task = asyncio.ensure_future(board.wait(*arguments))
    while not board._waiters:
        await asyncio.sleep(0)
    return task


# --- the board ------------------------------------------------------------------------------------------


def test_a_callback_wakes_every_wait_for_its_task_and_no_other(run_async, board, folder):
    async def work():
        waits = [await waiting(board, "runkey", "t1", LONG_S, Never()) for _ in range(3)]
        others = [
            asyncio.ensure_future(board.wait(*key, LONG_S, Never())) for key in (("runkey", "t2"), ("useapi", "t1"))
        ]
        await asyncio.sleep(0)
        board.post("runkey", "t1")
        assert await asyncio.gather(*waits) == [True] * 3
        assert not any(other.done() for other in others)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    run_async(work())
    assert not board._waiters
    assert not folder.exists()  # a wait of this process needs no file


def test_a_wait_ends_with_the_time_of_its_clock(run_async, board):
    async def work():
        started = time.monotonic()
        assert await board.wait("runkey", "t", 100, Scaled()) is False
        assert time.monotonic() - started < LONG_S
        assert await board.wait("runkey", "t", 0) is False

    run_async(work())
    assert not board._waiters


def test_a_callback_that_comes_before_the_wait_is_taken_once(run_async, board, folder):
    board.post("runkey", "t")
    board.post("runkey", "t")
    assert [path.name for path in folder.iterdir()] == [name_of("runkey", "t")]
    assert run_async(board.wait("runkey", "t", LONG_S, Never())) is True
    assert list(folder.iterdir()) == []
    assert run_async(board.wait("runkey", "t", 0)) is False


def test_a_board_tells_whether_callbacks_of_a_service_have_arrived(run_async, board, folder):
    assert not board.has_received("runkey")
    assert run_async(board.wait("runkey", "t", 0)) is False
    assert not board.has_received("runkey")
    board.post("runkey", "t")
    assert (board.has_received("runkey"), board.has_received("useapi")) == (True, False)
    elsewhere = CallbackBoard(lambda: folder)  # of another process, which takes the file
    assert run_async(elsewhere.wait("runkey", "t", LONG_S, Never())) is True
    assert elsewhere.has_received("runkey")


def test_a_callback_may_be_posted_from_another_thread(run_async, board):
    async def work():
        task = await waiting(board, "runkey", "t", LONG_S, Never())
        thread = threading.Thread(target=board.post, args=("runkey", "t"))
        thread.start()
        assert await task is True
        thread.join()

    run_async(work())


def test_a_callback_of_another_process_wakes_by_its_file(run_async, board, folder):
    code = "import pathlib, sys; from runware_nb.providers.webhook import CallbackBoard\n"
    code += "CallbackBoard(lambda: pathlib.Path(sys.argv[1])).post('runkey', 'task/../é')"

    async def work():
        task = await waiting(board, "runkey", "task/../é", LONG_S, Never())
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(folder))
        assert await process.wait() == 0
        assert await task is True

    run_async(work())
    assert list(folder.iterdir()) == []


def test_of_two_processes_that_wait_one_takes_the_file(run_async, folder):
    first, second, poster = (CallbackBoard(lambda: folder) for _ in range(3))
    poster.post("runkey", "t")
    woken = [run_async(each.wait("runkey", "t", 0)) for each in (first, second)]
    assert woken == [True, False]


def test_a_board_without_a_folder_or_with_a_broken_one_still_wakes(run_async, tmp_path):
    (tmp_path / "file").write_text("")
    for board in (CallbackBoard(), CallbackBoard(lambda: tmp_path / "file" / "callbacks")):
        board.post("runkey", "t")
        assert run_async(board.wait("runkey", "t", LONG_S, Never())) is True
        assert run_async(board.wait("runkey", "t", 0)) is False


def test_files_older_than_a_day_are_removed_and_no_others(board, folder):
    folder.mkdir(parents=True)
    old, new, foreign = folder / ("a" * 64), folder / ("b" * 64), folder / "notes.txt"
    for path in (old, new, foreign):
        path.touch()
    for path in (old, foreign):
        os.utime(path, (0, 0))
    board.post("runkey", "t")
    assert {path.name for path in folder.iterdir()} == {new.name, foreign.name, name_of("runkey", "t")}


def test_the_number_of_files_is_bounded(board, folder):
    for number in range(1_050):
        board.post("useapi", str(number))
    assert len(list(folder.iterdir())) == 1_000
    for path in list(folder.iterdir())[:10]:
        path.unlink()
    board._next_count = 0.0  # counted again after a second
    for number in range(2_000, 2_050):
        board.post("useapi", str(number))
    assert len(list(folder.iterdir())) == 1_000


def test_files_are_written_off_the_event_loop(run_async, board, folder):
    async def work():
        board.post("useapi", "t")
        while not folder.exists() or not list(folder.iterdir()):
            await asyncio.sleep(0.001)

    run_async(work())
    assert [path.name for path in folder.iterdir()] == [name_of("useapi", "t")]


def test_a_file_for_a_callback_that_was_taken_meanwhile_is_removed(board, folder):
    board._write(name_of("useapi", "t"))
    assert list(folder.iterdir()) == []


def test_what_is_remembered_is_bounded():
    board = CallbackBoard()
    for number in range(10_050):
        board.post("runkey", str(number))
    assert len(board._posted) == 10_000


def test_a_wait_that_is_cancelled_leaves_nothing(run_async, board):
    async def work():
        before = asyncio.all_tasks()
        task = await waiting(board, "runkey", "t", LONG_S, Never())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not board._waiters
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    run_async(work())


def test_an_error_of_the_clock_is_raised(run_async, board):
    class Broken:
        async def sleep(self, seconds, /):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_async(board.wait("runkey", "t", 1, Broken()))


def test_a_closed_loop_of_a_wait_does_not_stop_a_callback(board):
    loop = asyncio.new_event_loop()
    board._waiters[name_of("runkey", "t")] = {_Waiter(loop)}
    loop.close()
    board.post("runkey", "t")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_waits_for_itself(tmp_path):
    code = """
import asyncio, os, pathlib, sys
from runware_nb.loop import background_loop, wait
from runware_nb.providers.webhook import CallbackBoard, Receiver, Route, VerifiedCallback
board = CallbackBoard(lambda: pathlib.Path(sys.argv[1]))
route = Route("runkey", "/runkey", lambda headers, body: VerifiedCallback("e", ("t",)))
receiver = Receiver([route], board=board).open()
future = background_loop().submit(board.wait("runkey", "t", 30))
while not board._waiters:
    pass
child = os.fork()
if child == 0:
    assert not board._waiters and not receiver.is_running
    receiver.close()
    board.post("other", "u")
    assert wait(background_loop().submit(board.wait("other", "u", 30)))
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
import urllib.request
assert urllib.request.urlopen(urllib.request.Request(receiver.url_of("runkey"), b"x")).status == 204
assert wait(future)
receiver.close()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_ids_have_names_of_their_own(first, second):
    board = CallbackBoard()
    board.post("runkey", first)
    assert asyncio.run(board.wait("runkey", second, 0)) is (first == second)


# --- the receiver ---------------------------------------------------------------------------------------


def verify(headers, body):
    if body == b"fails":
        raise ValueError("a secret")
    if body == b"refused":
        raise CallbackRefused(401, "The callback cannot be trusted: it says so.")
    event, _, tasks = body.decode().partition(" ")
    return VerifiedCallback(event, tuple(tasks.split()))


ROUTES = (Route("first", "/first", verify), Route("second", "/second/token", verify, is_signed=False))


def post(url, body):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=LONG_S) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            assert error.read() == b""
            return error.code


def test_verified_callbacks_are_posted_once(run_async):
    board, reports = CallbackBoard(), []
    with Receiver(ROUTES, board=board, on_report=reports.append) as receiver:
        first, second = receiver.url_of("first"), receiver.url_of("second")
        assert second == f"http://127.0.0.1:{receiver.port}/second/token"
        bodies = [b"done a b", b"done a b", b"done b c", b"failed a", b"paused", b"refused", b"fails"]
        assert [post(first, body) for body in bodies] == [204, 204, 204, 204, 204, 401, 500]
        assert post(second, b"done a") == 204  # another service may use the same id
        assert post(receiver.local_url + "/third", b"done a") == 404
    assert [(report.service, report.outcome, report.event, report.task_ids) for report in reports] == [
        ("first", "verified", "done", ("a", "b")),
        ("first", "duplicate", "done", ("a", "b")),
        ("first", "verified", "done", ("c",)),
        ("first", "verified", "failed", ("a",)),
        ("first", "ignored", "paused", ()),
        ("first", "refused", "", ()),
        ("first", "failed", "", ()),
        ("second", "verified", "done", ("a",)),
    ]
    assert receiver.reports == tuple(reports)
    assert receiver.counts == {"verified": 4, "duplicate": 1, "ignored": 1, "refused": 1, "failed": 1}
    assert "secret" not in repr(reports) + "".join(report.line for report in reports)
    assert run_async(board.wait("second", "a", LONG_S, Never()))


def test_ids_are_shortened_for_display():
    route = Route("first", "/first", verify, shorten=lambda text: text[:2])
    receiver = Receiver([route])
    report = receiver._passed(route, VerifiedCallback("done", ("abc", "def")))
    assert (report.task_ids, report.shown_ids) == (("abc", "def"), ("ab", "de"))
    assert report.line.endswith("first: verified: done of ab, de")


def test_it_runs_on_the_loop_of_its_caller_as_well(run_async):
    async def work():
        board = CallbackBoard()
        async with Receiver(ROUTES, board=board) as receiver:
            task = await waiting(board, "first", "a", LONG_S, Never())
            assert await asyncio.to_thread(post, receiver.url_of("first"), b"done a") == 204
            assert await task is True
        assert not receiver.is_running

    run_async(work())


def test_what_is_remembered_of_repetitions_and_reports_is_bounded():
    receiver = Receiver(ROUTES)
    for number in range(11_000):
        receiver._passed(ROUTES[0], VerifiedCallback("done", (str(number),)))
    assert len(receiver._passed_on) == 10_000
    assert receiver._reports.maxlen == 1000


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (
            CallbackReport("runkey", "verified", 204, "task.failed", ("t1", "t2")),
            "runkey: verified: task.failed of t1, t2",
        ),
        (CallbackReport("runkey", "ignored", 204, "task.paused"), "runkey: ignored: task.paused"),
        (CallbackReport("runkey", "refused", 401, reason="No header."), "runkey: refused: No header."),
        (CallbackReport("x", "verified", 204, "e\n\x1b[2J", ("t" * 500,)), f"x: verified: e \\x1b[2J of {'t' * 71}…"),
    ],
)
def test_a_report_is_one_plain_line(report, line):
    assert report.line.partition(" ")[2] == line


@pytest.mark.parametrize(
    ("public_url", "expected"),
    [
        ("https://hook.example", "https://hook.example/first"),
        ("https://hook.example:8443/below/", "https://hook.example:8443/below/first"),
    ],
)
def test_the_public_url_is_what_a_service_is_given(public_url, expected):
    receiver = Receiver(ROUTES, public_url=public_url)
    assert receiver.url_of("first") == expected
    assert receiver.is_public
    with pytest.raises(KeyError):
        receiver.url_of("third")


@pytest.mark.parametrize(
    "public_url",
    ["", "hook.example", "ftp://hook.example", "https://", "https://me:pass@hook.example", "https://hook.example?token=x",
     "https://hook.example/#x", "https://hook.example:99999", "https://hook.example/a b", "https://[x", "https://höök.example"],
)  # fmt: skip
def test_an_invalid_public_url_is_refused_and_not_repeated(public_url):
    with pytest.raises(ConfigError, match="Invalid public URL") as caught:
        Receiver(ROUTES, public_url=public_url)
    assert "hook.example" not in str(caught.value)


@pytest.mark.parametrize("routes", [(), (ROUTES[0], ROUTES[0])])
def test_routes_need_paths_of_their_own(routes):
    with pytest.raises(ConfigError, match="a path of its own"):
        Receiver(routes)


@pytest.mark.parametrize("path", ["", "x", "/x?y", "/x y", "/é", "/\n"])
def test_an_invalid_path_is_refused(path):
    with pytest.raises(ConfigError, match="Invalid path"):
        Receiver([Route("x", path, verify)])


@pytest.mark.parametrize(
    ("host", "url"), [("0.0.0.0", "http://127.0.0.1:1"), ("::1", "http://[::1]:1"), ("localhost", "http://localhost:1")]
)
def test_the_local_url_can_be_called(host, url):
    assert Receiver(ROUTES, host=host, port=1).local_url == url
