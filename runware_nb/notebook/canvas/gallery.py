"""The gallery's widget: what the browser asks for, and what it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from ...curation import Exhibition
from ...curation.exhibition import Exhibit
from ...engine.front_end import current_front_end
from ...errors import RunwareNBError
from ...forking import Workers
from ...printable import printable
from ...runlog.filters import RunFilter
from ..reusing import reuse
from ..static_gallery import models_in_use
from .scripts import script

if TYPE_CHECKING:
    from ...session import Session

__all__ = ["Gallery"]

_preparing = Workers(1, "runware gallery")


class Gallery(anywidget.AnyWidget):
    """Thousands of images of the log, of which only those in sight travel.

    Args:
        session: Whose log.
        start: Which runs to begin with.
    """

    _esm = script("gallery")
    models = traitlets.List(traitlets.Unicode()).tag(sync=True)
    start = traitlets.Dict().tag(sync=True)

    def __init__(self, session: Session, start: RunFilter) -> None:
        shown = {"search": start.search, "model": start.model, "tag": start.tags[0] if start.tags else None,
                 "stars": start.min_rating or 0}  # fmt: skip
        super().__init__(models=models_in_use(session), start=shown)
        self._session = session
        self._exhibition = Exhibition(session, start)
        self._generation = -1
        self.on_msg(self._received)

    def _received(self, _: Any, content: Any, __: Any) -> None:
        """Answer; what goes wrong is told in the gallery, since a message has nobody else to tell."""
        try:
            getattr(self, f"_on_{content.get('kind')}", self._on_nothing)(content)
        except RunwareNBError as error:
            self.send({"kind": "said", "words": f"✗ {current_front_end().message(error)}"})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.send({"kind": "said", "words": f"✗ that message is not understood: {error}"})

    def _on_nothing(self, content: dict[str, Any]) -> None:
        raise ValueError(content.get("kind"))

    def _on_open(self, content: dict[str, Any]) -> None:
        self._generation = generation = int(content["generation"])
        try:
            total = self._exhibition.open(content["filters"])
        except RunwareNBError as error:
            problem = f"✗ {current_front_end().message(error)}"
            self.send({"kind": "total", "generation": generation, "total": 0, "problem": problem})
            return
        self.send({"kind": "total", "generation": generation, "total": total})

    def _on_page(self, content: dict[str, Any]) -> None:
        """Send what is ready at once, and what has to be made when it is."""
        start, count, generation = int(content["start"]), int(content["count"]), int(content["generation"])
        if generation != self._generation:
            return
        found = self._exhibition.page(start, count, makes=False)
        self._send_page(found, generation)
        if any(each.body is None and each.result.file for _, each in found):
            _preparing.submit(self._complete, start, count, generation)

    def _complete(self, start: int, count: int, generation: int) -> None:
        if generation == self._generation:
            self._send_page(self._exhibition.page(start, count, makes=True), generation)

    def _send_page(self, found: list[tuple[int, Exhibit]], generation: int) -> None:
        items: list[dict[str, Any]] = []
        buffers: list[bytes] = []
        for index, each in found:
            items.append({**_item(each), "index": index, "buffer": None if each.body is None else len(buffers)})
            if each.body is not None:
                buffers.append(each.body)
        self.send({"kind": "page", "generation": generation, "items": items}, buffers=buffers)

    def _on_rate(self, content: dict[str, Any]) -> None:
        self._exhibition.rate(_place(content), int(content["stars"]))

    def _on_favourite(self, content: dict[str, Any]) -> None:
        self._exhibition.mark(_place(content), is_favourite=content["is_favourite"] is True)

    def _on_large(self, content: dict[str, Any]) -> None:
        items: list[dict[str, Any]] = []
        buffers: list[bytes] = []
        for uuid, position in content["places"][:4]:
            each = self._exhibition.find((str(uuid), int(position)))
            original = self._exhibition.original(each)
            facts = [(name, printable(words), parameter) for name, words, parameter in each.facts()]
            shown = {**_item(each), "facts": facts, "words": "the file is not here", "buffer": None}
            if original is not None:
                shown |= {"buffer": len(buffers), "media_type": original[1]}
                buffers.append(original[0])
            items.append(shown)
        self.send({"kind": "large", "items": items}, buffers=buffers)

    def _on_reuse(self, content: dict[str, Any]) -> None:
        said = reuse(self._exhibition.find(_place(content)), str(content["name"]))
        self.send({"kind": "said", "words": said})


def _place(content: dict[str, Any]) -> tuple[str, int]:
    return str(content["uuid"]), int(content["position"])


def _item(each: Exhibit) -> dict[str, Any]:
    from ...core.media_types import sniff

    return {
        "uuid": each.place[0], "position": each.place[1], "prompt": printable(each.run.prompt or each.run.task_type),
        "stars": each.result.rating or 0, "is_favourite": each.result.is_favourite, "is_flagged": each.is_flagged,
        "media_type": "" if each.body is None else sniff(each.body) or "image/jpeg",
    }  # fmt: skip
