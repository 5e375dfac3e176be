"""What a gallery shows: places of the log, page by page, with small pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.media_types import SNIFFED_BYTES, sniff
from ..core.money import format_amount
from ..core.results import Result
from ..engine.thumbnails import kept_copy, small_copy
from ..errors import ArgumentInvalid, RunNotFound
from ..forking import make_lock
from ..media.medium_kinds import MediumKind, kind_of
from ..present.results import format_stars
from ..reprs import short_repr
from ..runlog import ResultRecord, RunRecord
from ..runlog.exhibits import Place, list_images, runs_of
from ..runlog.filters import RunFilter
from ..runlog.maintenance import mark_favourite, rate_result

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["Exhibit", "Exhibition", "GalleryFilter"]

SIDE_PX = 224
_MOST_AT_ONCE = 200
_LARGEST_BYTES = 24 * 1024 * 1024


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryFilter:
    """What a gallery shows: the filters of the log, and those that count for each image.

    Attributes:
        runs: Which runs.
        favourites: Whether only marked images.
    """

    runs: RunFilter
    favourites: bool = False

    @classmethod
    def read(cls, typed: dict[str, Any], start: RunFilter) -> GalleryFilter:
        """Read what was typed into a gallery's fields.

        Args:
            typed: `search`, `model`, `tag`, `stars`, `sort`, `favourites`, as the browser sent them.
            start: The filter that the gallery was opened with; what no field shows stays.

        Raises:
            ArgumentInvalid: A value makes no sense.
        """

        def word(name: str) -> str | None:
            value = typed.get(name)
            return value.strip() or None if isinstance(value, str) else None

        model, tag, stars = word("model"), word("tag"), typed.get("stars")
        others = start.tags[1:]
        return cls(
            runs=dataclasses.replace(
                start, search=word("search"), model=model,
                tags=(*([tag] if tag else []), *others), sort=word("sort") or "newest",
                min_rating=stars if isinstance(stars, int) and stars > 0 else None,
            ),
            favourites=typed.get("favourites") is True,
        )  # fmt: skip


@short_repr()
@dataclass(frozen=True, slots=True)
class Exhibit:
    """One image.

    Attributes:
        run: That made it.
        result: Itself.
        body: A small copy; None while there is none.
    """

    run: RunRecord
    result: ResultRecord
    body: bytes | None = None

    @property
    def place(self) -> Place:
        """Where it is in the log."""
        return self.run.task_uuid, self.result.position

    @property
    def is_flagged(self) -> bool:
        """Whether the service's safety check marked it."""
        return Result(self.result.raw, self.run.task_uuid, self.result.position).is_flagged

    def facts(self) -> list[tuple[str, str, str]]:
        """List what is known of it: a name, the words, and the parameter that can be used again, if one can."""
        request, run, result = self.run.request, self.run, self.result
        size = f"{request['width']} × {request['height']}" if {"width", "height"} <= request.keys() else ""
        listed = [
            ("prompt", run.prompt or "", "positivePrompt"),
            ("negative prompt", request.get("negativePrompt"), "negativePrompt"),
            ("model", run.model, "model"), ("seed", result.seed, "seed"), ("size", size, "size"),
            ("steps", request.get("steps"), "steps"), ("CFG scale", request.get("CFGScale"), "CFGScale"),
            ("scheduler", request.get("scheduler"), "scheduler"),
            ("cost", None if result.cost is None else format_amount(result.cost, result.cost_unit), ""),
            ("stars", format_stars(result.rating), ""), ("labels", ", ".join(run.tags), ""),
            ("made", f"{run.created_at_utc[:16].replace('T', ' ')} UTC", ""), ("run", run.task_uuid, ""),
        ]  # fmt: skip
        return [(name, str(value), reuse) for name, value, reuse in listed if value not in {None, ""}]


class Exhibition:
    """A list of images of one moment: what is made meanwhile does not move it under the user's hands.

    Args:
        session: Whose log and files.
        start: Which runs to begin with.
    """

    def __init__(self, session: Session, start: RunFilter) -> None:
        self._session = session
        self._start = start
        self._places: list[Place] = []
        self._lock = make_lock()

    def open(self, typed: dict[str, Any]) -> int:
        """Choose the images; gives how many there are.

        Raises:
            ArgumentInvalid: A value makes no sense.
            RunLogError: The log cannot be read.
        """
        wanted = GalleryFilter.read(typed, self._start)
        places = list_images(self._session.log, wanted.runs, favourites=wanted.favourites)
        with self._lock:
            self._places = places
        return len(places)

    def page(self, start: int, count: int, *, makes: bool) -> list[tuple[int, Exhibit]]:
        """Give a stretch of them, each with its number; one that was forgotten meanwhile is missing.

        Args:
            start: The first, from 0.
            count: How many.
            makes: Whether small copies that are not there yet are made; else such an image comes without.

        Raises:
            RunLogError: The log cannot be read.
        """
        first = max(start, 0)
        with self._lock:
            places = self._places[first : first + min(max(count, 0), _MOST_AT_ONCE)]
        numbers = {place: first + n for n, place in enumerate(places)}
        return [
            (numbers[run.task_uuid, result.position], self._exhibit(run, result, makes=makes))
            for run, result in self._found(places)
        ]

    def find(self, place: Place) -> Exhibit:
        """Give one.

        Raises:
            RunNotFound: There is none.
        """
        for run, result in self._found([place]):
            return self._exhibit(run, result, makes=True)
        raise RunNotFound(f"The log has no image {place[0][:8]}#{place[1] + 1}.")

    def original(self, exhibit: Exhibit) -> tuple[bytes, str] | None:
        """Return the file and its media type, if a browser shows or plays it.

        Of a 3D model and of a file that is too large for a message, the preview is returned. None if there is none, or
        the file cannot be had.
        """
        path = self._session.recovery.find(exhibit.run, exhibit.result)
        if path is None:
            return None
        with path.open("rb") as file:
            media_type = sniff(file.read(SNIFFED_BYTES)) or ""
        kind = kind_of(media_type)
        if kind in {MediumKind.IMAGE, MediumKind.VIDEO, MediumKind.AUDIO} and path.stat().st_size <= _LARGEST_BYTES:
            return path.read_bytes(), media_type
        preview = self._session.recovery.previews(path)
        return None if preview is None or preview.body is None else (preview.body, preview.media_type)

    def rate(self, place: Place, stars: int) -> None:
        """Give stars, 0 to take them away.

        Raises:
            ArgumentInvalid: The rating is out of range.
            RunNotFound: There is no such image.
        """
        if not 0 <= stars <= 5:
            raise ArgumentInvalid("stars", stars, "1 to 5, or 0 to remove the rating")
        rate_result(self._session.log, place[0], place[1], stars or None)

    def mark(self, place: Place, *, is_favourite: bool) -> None:
        """Mark a favourite, or no longer.

        Raises:
            RunNotFound: There is no such image.
        """
        mark_favourite(self._session.log, place[0], place[1], is_favourite=is_favourite)

    def _found(self, places: Sequence[Place]) -> Iterator[tuple[RunRecord, ResultRecord]]:
        found = runs_of(self._session.log, places)
        for uuid, position in places:
            run = found.get(uuid)
            for result in [] if run is None else run.results:
                if run is not None and result.position == position:
                    yield run, result

    def _exhibit(self, run: RunRecord, result: ResultRecord, *, makes: bool) -> Exhibit:
        store, recovery = self._session.media, self._session.recovery
        path = recovery.find(run, result) if makes else store.find(result.file)
        if path is None:
            return Exhibit(run, result)
        copy = small_copy if makes else kept_copy
        return Exhibit(run, result, copy(self._session, path, side_px=SIDE_PX))
