"""A past run sent once more, and compared with what came then."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..core.items import Item
from ..core.media_fields import replace_media
from ..core.media_types import IMAGE_TYPES, sniff
from ..core.parsing import is_uuid
from ..core.redaction import REDACTED
from ..core.results import Result
from ..engine.consent import priced
from ..engine.estimates import estimate
from ..engine.input_lineage import with_files
from ..errors import ArgumentInvalid, ConfigError, MediaError, RunNotFound, TaskInvalid
from ..media.compare import Comparison, Verdict, compare
from ..media.provenance import is_same_medium, read_provenance
from ..net.address_policy import is_private_host
from ..providers.registry import package_of_service
from ..providers.runware.tasks import is_utility
from ..remedies import Remedy, command
from ..reprs import short_repr
from ..runlog import ResultRecord, RunRecord
from ..settings import SERVICES
from .bundle_files import read_bundle

if TYPE_CHECKING:
    from ..core.results import Outcome
    from ..session import Job, Session

__all__ = [
    "Original",
    "Replayed",
    "compare_with",
    "find_original",
    "only_one",
    "original_of",
    "send_again",
    "service_of",
]

_ADDRESSED = ("webhookURL", "uploadEndpoint")
_NOT_AGAIN = frozenset({"taskUUID", "deliveryMethod", *_ADDRESSED})


@short_repr()
@dataclass(slots=True)
class Original:
    """What is to be made again.

    Attributes:
        request: In wire spelling, ready to be sent but for its UUID.
        name: What it is called in sentences.
        is_own: Whether one's own log says so; anything else is asked about before it spends.
        run: As the log or a bundle has it.
        files: Bytes of its results by position, as far as they are here.
        hashes: SHA-256 of the bytes received, by position.
        words: Results that are text or JSON, by position, as texts to compare.
        service: Where it is sent, if that is known without a run; empty otherwise.
    """

    request: Item
    name: str
    is_own: bool
    run: RunRecord | None = None
    files: dict[int, bytes] = field(default_factory=dict)
    hashes: dict[int, str] = field(default_factory=dict)
    words: dict[int, str] = field(default_factory=dict)
    service: str = ""


@short_repr()
@dataclass(slots=True)
class Replayed:
    """What became of it.

    Attributes:
        original: What was to be made again.
        job: The new run.
        outcome: What it made.
        comparisons: By position.
    """

    original: Original
    job: Job
    outcome: Outcome
    comparisons: dict[int, Comparison]

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        order = list(Verdict)
        found = [each.verdict for each in self.comparisons.values()]
        return max(found, key=order.index) if found else Verdict.MISSING


def find_original(session: Session, ref: str) -> list[Original]:
    """Find what a reference means: a run of the log, an image file, or the runs of a bundle.

    Args:
        session: Whose log to look in.
        ref: A task UUID or its first characters, or the path of an image file or a bundle.

    Raises:
        RunNotFound: Nothing fits.
        MediaError: The file does not say where it came from.
        BundleError: The bundle is damaged.
    """
    path = Path(ref).expanduser()
    if path.is_dir() or (path.is_file() and zipfile.is_zipfile(path)):
        return _of_bundle(path)
    if path.is_file():
        return [_of_file(session, path)]
    try:
        return [original_of(session, session.log.find(ref))]
    except RunNotFound as error:
        text = f"{error.problem} There is no file of this name either."
        raise RunNotFound(text).with_remedy(error.remedy) from None


def original_of(session: Session, run: RunRecord) -> Original:
    """Take a run of the log."""
    own = not run.is_imported
    request = with_files(
        _clean(run.request, is_own=own), run.inputs, session.recovery.find_file,
        only_hashed=not _takes_files(session, run.provider),
    )  # fmt: skip
    made = Original(request, f"run {run.task_uuid[:8]}", own, run)
    for result in run.results:
        path = session.recovery.find(run, result, polls=True) if result.error is None else None
        if path is not None:
            made.files[result.position] = path.read_bytes()
        if result.received_sha256:
            made.hashes[result.position] = result.received_sha256
        words = words_of(result)
        if words is not None:
            made.words[result.position] = words
    return made


def words_of(result: ResultRecord) -> str | None:
    """Return a result that is text or JSON as a text to compare; None for a file and for an error."""
    if result.error is not None or result.file is not None:
        return None
    found = Result(result.raw, "", result.position)
    if found.text is not None:
        return found.text
    return None if found.structured is None else json.dumps(found.structured, sort_keys=True)


def _takes_files(session: Session, service: str) -> bool:
    """Return whether the service of a run takes files; a service that is not in use is not asked."""
    try:
        return session.provider(service).capabilities.takes_files
    except (ConfigError, ImportError):
        return True


def send_again(session: Session, original: Original, *, agreed: bool) -> Replayed:
    """Send a past request under a new UUID, wait, and compare.

    Raises:
        NotConfirmed: The user did not agree to the cost, or this session cannot ask. Nothing was sent.
        TaskError: The service refuses it now.
    """
    origin = "" if original.is_own else " It is not from your log."
    run = original.run
    service = original.service or service_of(run)
    session.consent.require(
        [priced(original.request, estimate(session, original.request, service), service)],
        context=session.context(counts=False),
        agreed=agreed,
        announces=f"Replay sends {original.name} again, as 1 run.{origin}",
    )
    job = session.submit(
        original.request,
        service=service,
        template=None if run is None else run.prompt_template,
        note=f"replay of {original.name}",
        fresh=True,
        agreed=True,
        replay_of=run.task_uuid if run is not None else None,
    )
    outcome = job.result()
    return Replayed(original, job, outcome, compare_with(session, original, job.record.results))


def service_of(run: RunRecord | None) -> str:
    """Return where a run is sent to be made again: its own service, or for Runware whichever of its two is in use."""
    return "" if run is None or run.provider in SERVICES else run.provider


def compare_with(session: Session, original: Original, results: list[ResultRecord]) -> dict[int, Comparison]:
    """Compare each original result with the one made again in its place."""
    again = {result.position: result for result in results if result.error is None}
    places = sorted(original.files.keys() | original.hashes.keys() | original.words.keys()) or sorted(again)
    return {place: _compare_one(session, original, place, again.get(place)) for place in places}


def _compare_one(session: Session, original: Original, place: int, again: ResultRecord | None) -> Comparison:
    if again is None:
        return Comparison(Verdict.MISSING)
    words = original.words.get(place)
    if words is not None:
        # Text and JSON have no file: they are the same, or they are not.
        return Comparison(Verdict.EXACT, 0, 0.0, 0.0) if words == words_of(again) else Comparison(Verdict.DRIFTED)
    before = original.hashes.get(place)
    is_claimed = before is not None and before == again.received_sha256
    path = session.media.find(again.file)
    first = original.files.get(place)
    if first is None or path is None:
        # No image is shown, so only the hashes can be compared. The user's own log recorded them from the bytes
        # received. A hash in an imported record proves nothing without the file.
        return Comparison(Verdict.EXACT, 0, 0.0, 0.0) if is_claimed and original.is_own else Comparison(Verdict.MISSING)
    second = path.read_bytes()
    if is_claimed and is_same_medium(first, second):
        return Comparison(Verdict.EXACT, 0, 0.0, 0.0)
    if sniff(first) not in IMAGE_TYPES or sniff(second) not in IMAGE_TYPES:
        return Comparison(Verdict.DRIFTED)
    try:
        return compare(first, second, first_sha256=before, second_sha256=again.received_sha256)
    except MediaError:
        return Comparison(Verdict.DRIFTED)


def _of_file(session: Session, path: Path) -> Original:
    """Take what an image file says, or the run of the log that made it."""
    try:
        body = path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror or error}") from error
    found = read_provenance(body)
    record = found.record or {}
    known = record.get("task_uuid")
    if isinstance(known, str) and is_uuid(known):
        try:
            run = session.log.find(known)
        except RunNotFound:
            pass
        else:
            original = original_of(session, run)
            if not run.is_imported and _made_by(original, body):
                return original
    if isinstance(record.get("request"), dict):
        request = dict(record["request"])
        if record.get("seed") is not None and request.get("numberResults", 1) == 1:
            request["seed"] = record["seed"]
    elif found.parameters is not None:
        request = found.parameters.to_wire()
    else:
        raise MediaError(f"{path} says nothing about where it came from, so it cannot be made again")
    place = record["index"] if isinstance(record.get("index"), int) else 0
    made = Original(_clean(request, is_own=False), f"the request in {path.name}", is_own=False, files={place: body})
    provider = record.get("provider")
    if isinstance(provider, str) and package_of_service(provider) is not None:
        made.service = provider
    if isinstance(record.get("received_sha256"), str):
        made.hashes[place] = record["received_sha256"]
    return made


def _made_by(original: Original, body: bytes) -> bool:
    """Return whether an image file shows a result of this run: the UUID in its metadata alone is only a claim."""
    run = original.run
    sha256 = hashlib.sha256(body).hexdigest()
    hashes = {value for kept in (run.results if run else ()) for value in (kept.received_sha256, kept.stored_sha256)}
    return sha256 in hashes or any(is_same_medium(known, body) for known in original.files.values())


def _of_bundle(path: Path) -> list[Original]:
    with read_bundle(path) as bundle:
        made = []
        for run in bundle.records().runs:
            found = Original(_clean(run.request, is_own=False), f"run {run.task_uuid[:8]} of {path.name}", False, run)
            for result in run.results:
                if result.file and result.error is None:
                    found.files[result.position] = bundle.read(f"media/{result.file}")
                if result.received_sha256:
                    found.hashes[result.position] = result.received_sha256
            found.request = with_files(found.request, run.inputs, bundle.medium)
            made.append(found)
    return made


def _clean(request: Mapping[str, Any], *, is_own: bool) -> Item:
    """Make a request that may be sent again: addresses for callbacks go, and what was redacted.

    Raises:
        TaskInvalid: Somebody else's request names files or addresses of this machine.
    """
    made = {
        name: value
        for name, value in request.items()
        if name not in _NOT_AGAIN and not (isinstance(value, str) and REDACTED in value)
    }
    if is_own:
        return made
    made.setdefault("taskType", "imageInference")
    if is_utility(str(made["taskType"])):
        raise TaskInvalid(f"this request of somebody else's makes nothing: it is a {str(made['taskType'])[:40]!r}")

    def check(value: Any) -> Any:
        if isinstance(value, str) and (is_uuid(value) or value.startswith(("sha256:", "data:"))):
            return value
        if isinstance(value, str) and value.startswith(("http://", "https://")) and _may_be_public(value):
            return value
        raise TaskInvalid(
            f"this request of somebody else's names {str(value)[:80]!r}, which is on this machine or nowhere"
        )

    return replace_media(made, check)


def _may_be_public(url: str) -> bool:
    """Return whether a URL may lead out of the local network; it is sent to a service, and not resolved here."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    # A host without a dot is a name of the local network, or an IPv6 address, which no media server is known by.
    return "." in host and not host.endswith((".local", ".internal")) and not is_private_host(host)


def only_one(found: list[Original], ref: str) -> Original:
    """Take the only run of a reference.

    Raises:
        ArgumentInvalid: There are several, or none.
    """
    if len(found) != 1:
        raise ArgumentInvalid(
            "ref", ref, f"a bundle of one run, and this one has {len(found)}. Nothing was sent"
        ).with_remedy(
            Remedy(
                "{0} opens it, and {1} there sends one of them.",
                (
                    command("bundle", "open", ref, "FOLDER", python=f'rw.open_bundle({ref!r}, "FOLDER")'),
                    command("replay", "UUID", python='rw.replay("UUID")'),
                ),
            )
        )
    return found[0]
