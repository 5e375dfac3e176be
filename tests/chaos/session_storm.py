"""The storm through a session: with a log and images, and with their folders moved, deleted and replaced meanwhile."""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import hashlib
import os
import random
import shutil
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runware_nb.commands import resume
from runware_nb.engine.media_recovery import expects_file
from runware_nb.errors import RunwareNBError
from runware_nb.runlog import ResultRecord, RunLog, RunRecord
from runware_nb.runlog.filters import RunFilter
from runware_nb.session import Job, Session
from runware_nb.settings import Key, Settings
from tests.conftest import SandboxProcess

from .storm import Storm, paid_twice, server_arguments, wrong_costs

LOG, IMAGES = ".runware", "runware_images"
EVENTS = ("move log", "delete log", "replace log", "move images", "delete images", "move both", "kill server")


@dataclass
class SessionStorm:
    """One run of the storm through a session.

    The log and the images must be complete at the end: at their paths, together with what was moved away and with what
    was in a folder at the moment when it was deleted.

    Attributes:
        seed: Decides the tasks, their UUIDs, the faults and the order of events.
        transport: `websocket` or `rest`.
        tasks: How many.
        rate: Share of tasks that meet a fault, 0 to 1.
        events: What happens meanwhile, some of `EVENTS`, in this order.
        folder: Where everything is kept.
    """

    seed: int
    transport: str
    tasks: int
    rate: float
    events: tuple[str, ...]
    folder: Path
    jobs: list[Job] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    refused: int = 0
    unfinished: int = 0
    homes: list[Path] = field(default_factory=list)
    submitted_after: dict[str, int] = field(default_factory=dict)
    ledger: dict[str, Any] = field(default_factory=dict)
    records: dict[Path, list[RunRecord]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    duration_s: float = 0.0

    @property
    def home(self) -> Path:
        """The folder of the notebook."""
        return self.folder / "notebook"

    def blow(self) -> None:
        """Run every task to its end, collect what is not finished, and read all logs."""
        started = time.monotonic()
        self.home.mkdir()
        arguments = server_arguments(self.folder, self.rate, self.seed)
        server = SandboxProcess(*arguments)
        try:
            session = self._session(server, self.home)
            waves = _waves([self._wire(number) for number in range(self.tasks)], len(self.events) + 1)
            self._submit(session, waves[0])
            self._prepare_replacement()
            for event, wave in zip(self.events, waves[1:], strict=True):
                self._until_done(len(self.jobs) // 2)
                if event == "kill server":
                    server.kill()
                    time.sleep(0.2)
                    server = SandboxProcess(*arguments)
                else:
                    self._meddle(event)
                self._submit(session, wave)
            self._wait()
            session.close()
            self._resume(server)
            self.ledger = server.ledger()
            self._read_logs()
            self._look_at_images(server)
        finally:
            self.duration_s = time.monotonic() - started
            with contextlib.suppress(OSError):
                server.close()

    # --- the storm ---------------------------------------------------------------------------------

    def _session(self, server: SandboxProcess, home: Path) -> Session:
        settings = Settings(api_key=Key(server.api_key, "the storm"), home=home / LOG, schemas_url="", timeout_s=120,
                            transport=self.transport, max_in_flight=32, max_retries=8, **server.urls)  # fmt: skip
        return Session(settings)

    def _wire(self, number: int) -> dict[str, Any]:
        task = Storm(self.seed, self.transport, self.tasks, self.rate, 0, self.folder).wire(number)
        if task["taskType"] == "videoInference":  # its file takes too long to make
            task = {"taskUUID": task["taskUUID"], "taskType": "promptEnhance", "prompt": f"ship {number}",
                    "promptVersions": 2, "model": "runware:llama-3-1-8b@prompt-enhancer", "includeCost": True}  # fmt: skip
        return task

    def _submit(self, session: Session, tasks: list[dict[str, Any]]) -> None:
        """Submit tasks; a refusal costs nothing, and the user runs the cell again."""
        for task in tasks:
            for _ in range(50):
                try:
                    job = session.submit(task, agreed=True)
                    self.jobs.append(job)
                    self.submitted_after[job.task_uuid] = len(self.homes)
                    break
                except RunwareNBError:
                    self.refused += 1
                    time.sleep(0.1)
            else:
                self.broken.append(f"{task['taskType']} cannot be submitted any more")

    def _until_done(self, count: int) -> None:
        ends_at = time.monotonic() + 60
        while sum(job.is_done for job in self.jobs) < count and time.monotonic() < ends_at:
            time.sleep(0.01)

    def _wait(self) -> None:
        _, unfinished = concurrent.futures.wait([job.future for job in self.jobs], timeout=180)
        self.unfinished = len(unfinished)
        self.errors = [error for job in self.jobs if job.future.done() and (error := job.future.exception())]

    def _prepare_replacement(self) -> None:
        """Keep a copy of the log as it is now: a sync tool or `git stash` brings back an old state like this."""
        _copy_log(self.home / LOG, self.folder / "old")

    def _meddle(self, event: str) -> None:
        what, which = event.split()
        away = self.folder / f"away-{len(self.homes)}"
        away.mkdir()
        self.homes.append(away)
        for name in {"log": (LOG,), "images": (IMAGES,), "both": (IMAGES, LOG)}[which]:
            path, gone = self.home / name, self.folder / "gone"
            if not path.exists():
                continue
            if what == "move":
                path.rename(away / name)
                continue
            # What was written up to now is what the deletion takes, and is kept to be compared with the ledger. What a
            # session still writes into the deleted files is lost, as it is for a user.
            if what == "replace":
                self._replace(path, gone)
            else:
                path.rename(gone)
            if name == LOG:
                _copy_log(gone, away / name)
            else:
                shutil.copytree(gone, away / name)
            shutil.rmtree(gone)

    def _replace(self, path: Path, gone: Path) -> None:
        """Put the old log in the place of the log, before a session can open a new one there."""
        staged = self.folder / "staged"
        shutil.copytree(self.folder / "old", staged)
        path.rename(gone)
        while staged.exists():
            try:
                staged.rename(path)
            except OSError:  # a session was faster
                late = self.folder / f"away-{len(self.homes)}"
                late.mkdir()
                path.rename(late / LOG)
                self.homes.append(late)

    # --- afterwards --------------------------------------------------------------------------------

    def _resume(self, server: SandboxProcess) -> None:
        """Collect what is not finished, from each log: the one at the path, and those that were moved away."""
        parser = argparse.ArgumentParser()
        resume.add_arguments(parser)
        for home in [self.home, *self.homes]:
            if (home / LOG / "runs.sqlite").exists():
                session = self._session(server, home)
                try:
                    resume.run(session, parser.parse_args([]))
                except Exception as error:
                    self.broken.append(f"resume in {home.name} ended in {type(error).__name__}: {error!s:.200}")
                finally:
                    session.close()

    def _read_logs(self) -> None:
        for home in [self.home, *self.homes]:
            if not (home / LOG / "runs.sqlite").exists():
                continue
            log = RunLog(home / LOG)
            try:
                self.records[home] = log.select(RunFilter(limit=100_000, with_discarded=True))
            except Exception as error:
                self.broken.append(f"the log in {home.name} cannot be read: {type(error).__name__}: {error!s:.200}")
            finally:
                log.close()

    def _look_at_images(self, server: SandboxProcess) -> None:
        """Find each image that the logs state: in one of the folders, or downloaded again as a page of images does."""
        files = {path.name: path for home in [self.home, *self.homes] for path in (home / IMAGES).glob("*/*")}
        charged = {charge["task_uuid"] for charge in self.ledger["charges"]}
        for home, runs in self.records.items():
            session = self._session(server, home)
            for run in runs:
                for result in run.results if run.attempt_uuid in charged else ():
                    if not expects_file(result) or _is_whole(files.get(os.path.basename(result.file or "")), result):
                        continue
                    try:
                        found = session.recovery.find(run, result, polls=True)
                    except Exception as error:
                        self.broken.append(f"looking for an image ended in {type(error).__name__}: {error!s:.200}")
                        continue
                    if found is None:
                        self.unseen.append(f"image {result.position} of {run.attempt_uuid} ({run.state}) in "
                                           f"{home.name} is missing: {result.medium_state}")  # fmt: skip
            session.close()

    def complaints(self) -> list[str]:
        """List everything that must not be, one sentence each."""
        found = [*self.broken, *self.unseen, *paid_twice(self.ledger["charges"])]
        if self.unfinished:
            found.append(f"{self.unfinished} jobs have no end")
        found += [f"a job ended in {type(error).__name__}: {error!s:.200}" for error in self.errors
                  if not isinstance(error, RunwareNBError)]  # fmt: skip
        recorded = collections.Counter[str]()
        for runs in self.records.values():
            for run in runs:
                results = sum(result.error is None for result in run.results)
                recorded[run.attempt_uuid] = max(recorded[run.attempt_uuid], results)
        for charge in self.ledger["charges"]:
            task_uuid, billed = charge["task_uuid"], charge["results"]
            if task_uuid not in recorded:
                found.append(f"{charge['task_type']} {task_uuid} was billed, and no log has it")
            elif recorded[task_uuid] < billed:
                found.append(f"{billed - recorded[task_uuid]} of {billed} results billed for {task_uuid} "
                             f"({charge['task_type']}) are in no log")  # fmt: skip
        found += self._written_elsewhere()
        for home, runs in self.records.items():
            costs = [(run.attempt_uuid, [result.cost_usd for result in run.results], run.cost_usd) for run in runs]
            found += [f"{home.name}: {sentence}" for sentence in wrong_costs(costs, self.ledger)]
        return found

    def _written_elsewhere(self) -> list[str]:
        """List runs that were submitted after a log was moved away, and that are only in that log."""
        charged = {charge["task_uuid"] for charge in self.ledger["charges"]}
        where: dict[str, set[Path]] = collections.defaultdict(set)
        for home, runs in self.records.items():
            for run in runs:
                if run.attempt_uuid in charged:
                    where[run.task_uuid].add(home)
        return [
            f"run {task_uuid} was sent after its log was moved away, and is only in {', '.join(home.name for home in homes)}"
            for task_uuid, homes in where.items()
            if not homes & {self.home, *self.homes[self.submitted_after[task_uuid] :]}
        ]

    def summary(self) -> str:
        """Return one line about how it went."""
        named = collections.Counter(type(error).__name__ for error in self.errors)
        return (
            f"session over {self.transport}: {self.tasks} tasks, {', '.join(self.events)}, seed {self.seed}: "
            f"errors {dict(named)}, {self.refused} refused, {len(self.ledger.get('charges', []))} charges, "
            f"{self.duration_s:.1f} s"
        )


def events_of(seed: int) -> tuple[str, ...]:
    """Return every event once, in an order that the seed decides."""
    return tuple(random.Random(f"{seed}/events").sample(EVENTS, len(EVENTS)))


def _copy_log(source: Path, target: Path) -> None:
    """Copy a log that is in use, as it is at this moment."""
    target.mkdir()
    with (
        contextlib.closing(sqlite3.connect(source / "runs.sqlite")) as log,
        contextlib.closing(sqlite3.connect(target / "runs.sqlite")) as copy,
    ):
        log.backup(copy)


def _waves(tasks: list[dict[str, Any]], count: int) -> list[list[dict[str, Any]]]:
    """Divide tasks: half of them at first, the rest after each event."""
    half = len(tasks) // 2
    return [tasks[:half], *(tasks[half + number :: count - 1] for number in range(count - 1))]


def _is_whole(path: Path | None, result: ResultRecord) -> bool:
    return path is not None and hashlib.sha256(path.read_bytes()).hexdigest() == result.stored_sha256
