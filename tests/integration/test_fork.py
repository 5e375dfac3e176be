"""A forked child works on its own, and leaves everything of the parent's alone. Each program is a real process."""

import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

import runware_nb

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork; nothing to enable")

PRELUDE = """
import logging, multiprocessing, os, sys, threading, time, warnings
logging.getLogger("asyncio").setLevel(logging.ERROR)  # dev mode remarks on slow callbacks
warnings.simplefilter("error"); warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
import runware_nb as rw
from runware_nb.session import current_session

def draw(seed):
    return rw.image(f"ship {seed}", width=128, height=128, seed=seed, agreed=True)

def forked(function, how="exit"):
    "Fork, call in the child, end it, and return its exit code; a child that hangs is killed."
    child = os.fork()
    if child == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            if how == "exit" and code == 0:
                sys.exit(0)  # atexit handlers and destructors run, as at the end of any program
            os._exit(code)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9); os.waitpid(child, 0)
    return "hangs"
"""


@pytest.fixture
def run(tmp_path, sandbox):
    """Runs a program in an empty folder, with the sandbox as its service; stderr must stay empty."""

    def run_program(code, server=sandbox, **environment):
        program = PRELUDE + textwrap.dedent(code)
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", program], cwd=tmp_path, text=True,
            capture_output=True, timeout=120, env={**os.environ, **server.environment, **environment},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), done.stderr[-3000:]
        return done.stdout

    return run_program


def test_children_of_a_used_parent_make_images_and_exit(run, sandbox, log_url):
    """Five of five, also on PostgreSQL; the parent's connection survives each of them."""
    run(
        """
        assert len(draw(1).result()) == 1
        client = current_session().client()
        for n in range(2, 7):
            def child():
                assert len(draw(n).result(timeout_s=25)) == 1
                assert rw.log.recent(1)[0].sender.endswith(f"/{os.getpid()}"), rw.log.recent(1)
            code = forked(child)
            assert code == 0, (n, code)
            assert len(draw(10 + n).result(timeout_s=25)) == 1
        assert current_session().client() is client
        states = [run.state.value for run in rw.log.recent(50)]
        assert states == ["succeeded"] * 11, states
        """,
        **({"RUNWARE_NB_LOG_URL": log_url} if log_url else {}),
    )
    assert len(sandbox.charges()) == 11


def test_a_multiprocessing_pool_works_and_returns_outcomes(run, sandbox):
    run(
        """
        draw(1).result()
        def outcome(seed):
            return draw(seed).result(timeout_s=25)
        with multiprocessing.get_context("fork").Pool(3) as pool:
            outcomes = pool.map_async(outcome, range(2, 8)).get(60)
        assert [len(outcome) for outcome in outcomes] == [1] * 6
        assert all(outcome[0].image.size == (128, 128) for outcome in outcomes)
        """
    )
    assert len(sandbox.charges()) == 7


def test_runs_in_flight_stay_with_the_parent(run, start_sandbox):
    """The child neither sends, collects, records nor pays for them, and asking it for one does not hang."""
    slow = start_sandbox("--latency-s", "2")
    run(
        """
        jobs = [draw(n) for n in range(1, 7)]
        while not all(job.record.attempts for job in jobs):
            time.sleep(0.01)
        def child():
            for job in jobs:
                try:
                    job.result(timeout_s=5)
                except rw.RunwareNBError as error:
                    assert "parent process" in str(error), error
                else:
                    raise AssertionError("the child has no part in it")
            draw(20).result(timeout_s=25)
        assert forked(child) == 0
        assert all(len(job.result(timeout_s=25)) == 1 for job in jobs)
        assert rw.pending() == []
        """,
        slow,
    )
    assert len(slow.charges()) == 7


def test_the_same_request_in_the_child_joins_the_parents(run, start_sandbox):
    slow = start_sandbox("--latency-s", "2")
    run(
        """
        job = draw(1)
        while not job.record.attempts:
            time.sleep(0.01)
        assert forked(lambda: draw(1).result(timeout_s=25)) == 0
        assert len(job.result(timeout_s=25)) == 1
        """,
        slow,
    )
    assert len(slow.charges()) == 1


def test_a_fork_may_come_at_any_moment(run, sandbox):
    """Other threads are in the middle of everything: opening, connecting, writing, drawing seeds."""
    run(
        """
        import itertools
        seeds = itertools.count(1)
        stop = threading.Event()
        def busy():
            while not stop.is_set():
                draw(next(seeds)).result(timeout_s=25)
                rw.log.recent(5)
        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads:
            thread.start()
        codes = []
        for n in range(8):
            time.sleep(0.03 * n)
            codes.append(forked(lambda: draw(5000 + n).result(timeout_s=25)))
        stop.set()
        for thread in threads:
            thread.join()
        assert codes == [0] * 8, codes
        assert rw.pending() == []
        """
    )


def test_a_fork_may_come_while_another_thread_compiles_a_schema(run):
    """The child then compiles one too: neither the parent's compilation nor its import may hold a lock there."""
    run(
        """
        from runware_nb.providers.runware.catalog import Rulebook
        compiling = threading.Event()
        class Schema(dict):
            "Takes long to read, so that the fork comes in the middle."
            def get(self, *arguments):
                compiling.set()
                time.sleep(0.5)
                return super().get(*arguments)
        slow = Rulebook("slow", Schema(type="object"), "")
        thread = threading.Thread(target=lambda: slow.validator)
        thread.start()
        assert compiling.wait(20)
        def child():
            assert Rulebook("quick", {"type": "object"}, "").validator.is_valid({})
        assert forked(child) == 0
        thread.join()
        assert slow.validator is slow.validator
        """
    )


def test_no_lock_of_functools_outlives_a_fork():
    """Until Python 3.12, `functools.cached_property` has a lock that a forked child can never take."""
    package = pathlib.Path(runware_nb.__file__).parent
    assert [str(path) for path in package.rglob("*.py") if "import cached_property" in path.read_text()] == []


def test_the_log_survives_a_parent_that_ends_first(run, sandbox):
    """SQLite's locks are per process: neither side may remove the write-ahead log under the other."""
    out = run(
        """
        draw(1).result()
        child = os.fork()
        if child == 0:
            draw(2).result(timeout_s=25)
            open("ready", "w").close()
            while not os.path.exists("closed"):
                time.sleep(0.01)
            draw(3).result(timeout_s=25)
            os._exit(0)
        while not os.path.exists("ready"):
            time.sleep(0.01)
        current_session().close()
        open("closed", "w").close()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        print(sorted(run.request["seed"] for run in rw.log.recent(9)))
        """
    )
    assert out.strip() == "[1, 2, 3]"


def test_parent_and_children_pick_different_seeds(run, sandbox):
    run(
        """
        session = current_session()
        session.rng.random()
        reading, writing = os.pipe()
        for _ in range(3):
            assert forked(lambda: os.write(writing, b"%d\\n" % session.rng.randrange(2**31))) == 0
        seeds = [*os.read(reading, 1000).split(), b"%d" % session.rng.randrange(2**31)]
        assert len(set(seeds)) == 4, seeds
        """
    )


def test_a_child_leaves_the_parents_sandbox_running(run):
    run(
        """
        rw.command("sandbox")
        draw(1).result()
        def child():
            draw(2).result(timeout_s=25)
            rw.command("sandbox", stop=True)
        assert forked(child) == 0
        assert len(draw(3).result(timeout_s=25)) == 1
        rw.command("sandbox", stop=True)
        """
    )


def test_a_bare_client_starts_again_in_the_child(run, sandbox):
    run(
        """
        import asyncio
        TASK = {"taskType": "imageInference", "model": "runware:101@1", "positivePrompt": "ship", "width": 128, "height": 128}
        client = rw.Client()
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        run = lambda: asyncio.run_coroutine_threadsafe(client.run(dict(TASK)), loop).result(20)
        assert len(run()) == 1
        async def once():
            async with client:
                return await client.run(dict(TASK))
        def child():
            outcome = asyncio.run(once())
            assert len(outcome) == 1
        assert forked(child, "_exit") == 0
        assert len(run()) == 1
        asyncio.run_coroutine_threadsafe(client.aclose(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        while loop.is_running(): time.sleep(0.01)
        loop.close()
        """
    )
    assert len(sandbox.charges()) == 3
