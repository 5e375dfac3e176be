"""Choosing a model: search, what it is, what it costs, what is usual, and the last image that was made with it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ipywidgets as widgets

from ...core.results import Result
from ...engine.front_end import current_front_end
from ...engine.thumbnails import first_picture
from ...errors import ConfigError, MagicUsageError, RunwareNBError
from ...forking import Workers
from ...loop import background_loop, wait
from ...media import decode, make_thumbnail
from ...present.html import MUTED, element, text
from ...present.results import format_usd
from ...present.table import Picture, picture_html, render_facts
from ...providers.runware.catalog import ListedModel, Model, all_models, find_model, listed_models
from ...reprs import short_repr
from ...runlog.filters import RunFilter
from .look import Look

if TYPE_CHECKING:
    from ...session import Session

__all__ = ["Choice", "ModelPicker", "bundled_choices", "search_service"]

_PICTURE_PX = 112
_MOST_LISTED = 60

_searching = Workers(1, "runware models")


@short_repr()
@dataclass(frozen=True, slots=True)
class Choice:
    """A model as the picker lists it.

    Attributes:
        air: AIR identifier.
        name: For people.
        architecture: Empty where none is known.
        price: In words.
        settings: What is usual: steps, guidance, size.
        words: What a search looks through.
        hero: Address of the picture that its publisher shows; empty for none.
    """

    air: str
    name: str
    architecture: str = ""
    price: str = "not listed"
    settings: str = ""
    words: str = ""
    hero: str = ""

    @property
    def line(self) -> str:
        """What stands in the list."""
        return " · ".join(filter(None, [self.name, self.air, self.architecture, self.price]))


def bundled_choices(search: str = "", *, task_type: str = "imageInference") -> list[Choice]:
    """List the models of the snapshot that have all the words; no network is needed."""
    words = search.lower().split()
    found = [_of_model(model) for model in all_models() if model.task_type == task_type]
    return [each for each in found if all(word in each.words for word in words)]


def search_service(session: Session, search: str) -> list[Choice]:
    """Search the service's models.

    Raises:
        ConfigError: There is no key.
        RunwareNBError: The service cannot be reached, or refuses.
    """
    session.require_key()
    found = wait(background_loop().submit(session.client().search_models(search, limit=_MOST_LISTED)))
    return [_of_listed(model) for model in listed_models(found)]


class ModelPicker:
    """A search field, a list, what is known of the model, and a button.

    Args:
        session: Whose log and service.
        look: Makes the widgets.
        choose: Called with the AIR identifier; may raise a `RunwareNBError`, which is shown.
        task_type: Which kind of models is listed before the service is asked.
    """

    def __init__(
        self, session: Session, look: Look, choose: Callable[[str], object], *, task_type: str = "imageInference"
    ) -> None:
        self._session = session
        self._choose = choose
        self._task_type = task_type or "imageInference"
        self._choices: dict[str, Choice] = {}
        self._search = look.make(widgets.Text, description="Search models", placeholder="name, architecture, AIR",
                                 continuous_update=True, tooltip="lists what is bundled, as you type")  # fmt: skip
        ask = look.make(widgets.Button, width="tight", description="Search the service",
                        tooltip="look among all models of the service")  # fmt: skip
        self._list = widgets.Select(description="Models", rows=8, layout=widgets.Layout(width="min(46em, 100%)"),
                                    style={"description_width": "12em"})  # fmt: skip
        use = look.make(widgets.Button, width="tight", description="Use this model", tooltip="take the chosen model")
        self._details = look.make(widgets.HTML)
        self._said = look.make(widgets.HTML)
        self._search.observe(lambda _: self._show(self._bundled()), "value")
        self._list.observe(lambda change: self._describe(change["new"]), "value")
        ask.on_click(lambda _: _searching.submit(self._try, self._ask))
        use.on_click(lambda _: self._try(self._use))
        self.widget = look.column(look.row(self._search, ask), self._list, self._details, look.row(use), self._said)
        self._show(self._bundled())

    def _bundled(self) -> list[Choice]:
        return bundled_choices(self._search.value, task_type=self._task_type)

    def _ask(self) -> None:
        self._say("asking the service …")
        found = search_service(self._session, self._search.value)
        self._show(found)
        self._say(f"{len(found)} models of the service" if found else f"no model for {self._search.value!r}")

    def _show(self, choices: Sequence[Choice]) -> None:
        self._choices = {each.air: each for each in choices[:_MOST_LISTED]}
        self._list.options = [(each.line, each.air) for each in self._choices.values()]
        if not choices:
            self._details.value = element(
                "div", "nothing bundled fits; *Search the service* looks further", style=MUTED
            )

    def _describe(self, air: str | None) -> None:
        choice = self._choices.get(air or "")
        if choice is None:
            self._details.value = ""
            return
        facts = [("model", choice.air), ("architecture", choice.architecture or "not told"), ("price", choice.price),
                 ("usual settings", choice.settings or "not told")]  # fmt: skip
        self._details.value = self._picture(choice) + render_facts(facts, title=choice.name)["text/html"]
        if choice.hero:
            _searching.submit(self._try, lambda: self._show_hero(choice))

    def _picture(self, choice: Choice) -> str:
        """Show the last image made with it: that says more than any sample."""
        try:
            runs = self._session.log.select(RunFilter(model=choice.air, limit=1, state="succeeded"))
        except RunwareNBError:
            return ""
        picture = first_picture(self._session, runs[0]) if runs else None
        if not isinstance(picture, Picture):
            return element("div", "no image of yours was made with it yet", style=MUTED)
        said = "the last image you made with it"
        return picture_html(Picture(picture.body, picture.media_type, said, _PICTURE_PX)) + element(
            "div", said, style=MUTED
        )

    def _show_hero(self, choice: Choice) -> None:
        """Fetch the publisher's picture by the same careful way as any other medium."""
        client = self._session.client()
        result = wait(background_loop().submit(client.fetch(Result({"imageURL": choice.hero}, choice.air, 0))))
        small = make_thumbnail(decode(result.bytes), side_px=2 * _PICTURE_PX)
        source = f"data:{small.media_type};base64,{base64.b64encode(small.body).decode()}"
        image = f'<img alt="{text(f"what {choice.name} shows of itself")}" width="{_PICTURE_PX}" src="{source}">'
        if self._list.value == choice.air:
            self._details.value = image + self._details.value

    def _use(self) -> None:
        if self._list.value is None:
            raise MagicUsageError("choose a model in the list first")
        self._choose(self._list.value)
        self._say(f"{self._list.value} is used now")

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except ConfigError as error:
            self._say(f"✗ {current_front_end().message(error)} The list holds what is bundled.")
        except RunwareNBError as error:
            self._say(f"✗ {current_front_end().message(error)}")

    def _say(self, sentence: str) -> None:
        self._said.value = element("div", text(sentence), role="status")

    def _ipython_display_(self) -> None:
        from ..display import show_widget

        show_widget(self.widget, "[list of models: run the cell to choose one]")


def _of_model(model: Model) -> Choice:
    prices = [f"{format_usd(usd)} at {megapixels:g} MP" for megapixels, usd in model.price_points]
    usual = [f"{model.steps} steps" if model.steps else "", f"CFG {model.cfg_scale:g}" if model.cfg_scale else "",
             _size(model)]  # fmt: skip
    words = " ".join([model.air, model.name, model.slug, model.architecture, *model.aliases]).lower()
    return Choice(model.air, model.name, model.architecture, prices[-1] if prices else "price not listed",
                  ", ".join(filter(None, usual)), words)  # fmt: skip


def _size(model: Model) -> str:
    if model.sizes is None:
        return ""
    if model.sizes.pairs_px:
        width, height = model.sizes.pairs_px[0]
        return f"{width} × {height}"
    return f"{model.sizes.low_px} to {model.sizes.high_px} px"


def _of_listed(model: ListedModel) -> Choice:
    known = find_model(model.air)
    if known is not None:
        return _of_model(known)
    usual = [f"{model.steps} steps" if model.steps else "", f"CFG {model.cfg_scale}" if model.cfg_scale else "",
             model.scheduler]  # fmt: skip
    settings = ", ".join(filter(None, usual))
    return Choice(model.air, model.name, model.architecture, "price not listed", settings, hero=model.hero)
