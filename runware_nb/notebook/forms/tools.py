"""Beside the fields of a form: another model, earlier runs and files, presets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from ...engine.front_end import current_front_end
from ...errors import MagicUsageError, RunwareNBError
from ...providers.runware.catalog import all_models
from ...reproduce.replay import find_original
from .look import Look
from .picker import ModelPicker
from .presets import PresetStore
from .rows import Fold

if TYPE_CHECKING:
    from ...session import Session
    from .model_form import ModelForm

__all__ = ["Tools"]


class Tools:
    """What fills a form in.

    Args:
        session: Whose log and folder.
        look: Makes the widgets.
        form: What is filled in.
        placed: Called when it was opened or closed.
    """

    def __init__(self, session: Session, look: Look, form: ModelForm, placed: Callable[[], None]) -> None:
        self._session = session
        self._look = look
        self._form = form
        self._store = PresetStore(session.settings.home)
        self.fold = Fold("Other model, earlier runs, presets", look, self._fill, placed)

    def _fill(self) -> Any:
        make = self._look.make
        self._model = make(widgets.Combobox, description="Model", options=_names(self._form.task_type),
                           value=self._form.model, tooltip="AIR identifier, name or alias")  # fmt: skip
        self._ref = make(widgets.Text, description="Run or file", placeholder="task UUID or image file",
                         tooltip="an earlier run, or a file that says where it came from")  # fmt: skip
        self._name = make(widgets.Combobox, description="Preset", options=self._known(), placeholder="its name",
                          ensure_option=False, tooltip="values kept under a name")  # fmt: skip
        self._said = make(widgets.HTML)
        self._column: Any = None
        self._picking = Fold("Choose a model", self._look, self._pick, self._place)
        self._rows = (
            self._look.row(self._model, self._button("Use this model", self._use_model)),
            self._look.row(self._ref, self._button("Load", self._load), self._button("Only its seed", self._load_seed)),
            self._look.row(
                self._name, self._button("Apply", self._apply), self._button("Save", self._save),
                self._button("Delete", self._delete),
            ),
            self._said,
        )  # fmt: skip
        self._column = self._look.column(*self._rows, *self._picking.widgets)
        return self._column

    def _button(self, title: str, work: Callable[[], str | None]) -> Any:
        button = self._look.make(widgets.Button, width="tight", description=title, tooltip=title)
        button.on_click(lambda _: self._try(work))
        return button

    def _try(self, work: Callable[[], str | None]) -> None:
        from ...present.html import element, text

        try:
            said = work() or ""
        except RunwareNBError as error:
            said = f"✗ {current_front_end().message(error)}"
        self._said.value = element("div", text(said), role="status")

    def _request(self) -> dict[str, Any]:
        ref = self._ref.value.strip()
        if not ref:
            raise MagicUsageError("say which run or file: a task UUID as `%runware log` lists them, or a path")
        return find_original(self._session, ref)[0].request

    def _pick(self) -> Any:
        return ModelPicker(self._session, self._look, self._form.use_model, task_type=self._form.task_type).widget

    def _place(self) -> None:
        self._column.children = (*self._rows, *self._picking.widgets)

    def _use_model(self) -> str:
        self._form.use_model(self._model.value)
        return ""

    def _load(self) -> str:
        request = self._request()
        model = str(request.get("model") or self._form.model)
        if model != self._form.model:
            self._form.use_model(model)
        problems = self._form.load(request)
        return "; ".join(["loaded", *problems])

    def _load_seed(self) -> str:
        seed = self._request().get("seed")
        if seed is None:
            raise MagicUsageError("that run has no seed")
        self._form.set("seed", seed)
        return f"seed {seed}"

    def _known(self) -> list[str]:
        try:
            return self._store.names()
        except RunwareNBError:
            return []  # said when one is asked for

    def _apply(self) -> str:
        kept = dict(self._store.find(self._name.value))
        model = str(kept.get("model") or self._form.model)
        if model != self._form.model:
            self._form.use_model(model)
        return "; ".join([f"applied {self._name.value}", *self._form.load(kept)])

    def _save(self) -> str:
        self._store.save(self._name.value, self._form.task)
        self._name.options = self._known()
        return f"saved {self._name.value}"

    def _delete(self) -> str:
        name = self._name.value
        self._store.delete(name)
        self._name.options = self._known()
        return f"deleted {name}"


def _names(task_type: str) -> list[str]:
    """Return the names of the models for a kind of task; of all models if the kind is not known."""
    models = [model for model in all_models() if task_type in {model.task_type, ""}]
    return [name for model in models for name in model.typed_names]
