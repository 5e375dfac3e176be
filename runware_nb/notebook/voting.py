"""Pairs of images to vote on: which is which is not told."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from ..core.media_types import sniff
from ..curation import Ballot
from ..curation.exhibition import Exhibition
from ..engine.front_end import current_front_end
from ..engine.thumbnails import small_copy
from ..errors import RunwareNBError
from ..present.html import element, text
from ..runlog.exhibits import Place
from ..runlog.filters import RunFilter
from .display import show_widget

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["VotingBooth"]

_SIDE_PX = 1024


class VotingBooth:
    """Two images, and buttons to choose with; each vote is in the log before the next pair is shown.

    Args:
        session: Whose files.
        ballot: What is voted on.
    """

    def __init__(self, session: Session, ballot: Ballot) -> None:
        self._session = session
        self._ballot = ballot
        self._exhibition = Exhibition(session, RunFilter())
        self._pair: tuple[Place, Place] | None = None
        self._pictures = widgets.HTML()
        self._said = widgets.HTML()
        names = (("Left is better", "left"), ("Right is better", "right"), ("Equal", "tie"))
        buttons = [self._button(title, choice) for title, choice in names]
        skip = widgets.Button(description="Skip", tooltip="show another pair")
        skip.on_click(lambda _: self._try(self._next))
        back = widgets.Button(description="Take back", tooltip="remove the last vote")
        back.on_click(lambda _: self._try(self._take_back))
        self.widget = widgets.VBox([self._pictures, widgets.HBox([*buttons, skip, back]), self._said])
        self.widget.add_class("runware-nb-vote")
        self._try(self._next)

    def vote(self, choice: str) -> None:
        """Vote on the pair that is shown, and show the next."""
        if self._pair is not None:
            self._ballot.vote(*self._pair, choice)
        self._next()

    def _ipython_display_(self) -> None:
        show_widget(self.widget, "[pairs of images to vote on: run the cell to see them]")

    def _button(self, title: str, choice: str) -> Any:
        button = widgets.Button(description=title, tooltip=title)
        button.on_click(lambda _: self._try(lambda: self.vote(choice)))
        return button

    def _try(self, work: Any) -> None:
        try:
            work()
        except RunwareNBError as error:
            self._say(f"✗ {current_front_end().message(error)}")

    def _take_back(self) -> None:
        taken = self._ballot.take_back()
        self._say("the last vote was removed" if taken else "there is no vote of yours to take back here")

    def _next(self) -> None:
        self._pair = self._ballot.next_pair()
        sides = zip(self._pair, ("left", "right"), strict=True)
        inner = "".join(self._side(place, side) for place, side in sides)
        self._pictures.value = element("div", inner, style="display:flex;flex-wrap:wrap;gap:12px")
        count = len(self._ballot.votes)
        goal = 3 * len(self._ballot.candidates)
        self._say(f"{count} of some {goal} votes; `%runware ranking {self._ballot.name}` says who leads")

    def _side(self, place: Place, side: str) -> str:
        """Show one image; its name, prompt and model would give it away."""
        exhibit = self._exhibition.find(place)
        path = self._session.recovery.find(exhibit.run, exhibit.result)
        body = None if path is None else small_copy(self._session, path, side_px=_SIDE_PX)
        if body is None:
            shown = text("the file is not here")
        else:
            source = f"data:{sniff(body) or 'image/jpeg'};base64,{base64.b64encode(body).decode()}"
            shown = f'<img alt="the image on the {side}" src="{source}" style="max-width:100%;max-height:480px">'
        return element("figure", shown + element("figcaption", side), style="margin:0;flex:1 1 260px;max-width:48%")

    def _say(self, sentence: str) -> None:
        self._said.value = element("div", text(sentence), role="status")
