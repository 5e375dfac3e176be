"""A form for a model: built from its request schema, so that a model of this morning has one."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from traitlets import TraitError

from ...catalog import FieldProblem, Rulebook, find_model
from ...errors import MagicUsageError, RunwareNBError, TaskInvalid
from ...loop import WaitInterrupted
from ...runlog import State
from ...session.money import estimate, question_about
from ...session.show import error_sentence, relative_path
from ...view.html import MUTED, element, text
from ...view.results import format_usd
from .look import Look
from .media_words import cell_of, with_images
from .parts import Parts, nested, sort_fields, value_at
from .place import ResultPlace
from .rows import Fold
from .section import Section, fields_of_control
from .tools import Tools

if TYPE_CHECKING:
    from ...session import CellContext, Job, Session
    from ...wire.results import Outcome

__all__ = ["ModelForm"]

_PRICE_AFTER_S = 0.25
_STYLE = (
    "<style>.runware-nb-form :focus-visible{outline:2px solid var(--jp-brand-color1,#1565c0);outline-offset:1px}"
    ".runware-nb-form input::placeholder,.runware-nb-form textarea::placeholder"
    "{color:var(--jp-ui-font-color2,#616161);opacity:1}</style>"
)

_working = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="runware form")


class ModelForm:
    """Controls for one model. What they make appears below them, as an ordinary output.

    Args:
        session: Who sends.
        rules: What the model takes.
        names: The user's variables, for images named by them.
        request: Values to begin with, in wire spelling.

    Attributes:
        widget: The controls, for a layout of your own.
        job: The last run; None before the first.
    """

    def __init__(
        self,
        session: Session,
        rules: Rulebook,
        *,
        names: Mapping[str, Any] | None = None,
        request: Mapping[str, Any] | None = None,
    ) -> None:
        self._session = session
        self._names = {} if names is None else names
        self._look = Look()
        self._lock = threading.Lock()
        self._pricing: threading.Timer | None = None
        self._agreed: dict[str, Any] | None = None
        self._others: dict[str, Any] = {}
        self._context: CellContext | None = None
        self._place: ResultPlace | None = None
        self.job: Job | None = None
        self.widget = self._look.column()
        self.widget.add_class("runware-nb-form")
        self._status = self._look.make(widgets.HTML)
        self._buttons = self._make_buttons()
        self._sections: dict[str, Section] = {}
        self._folds: dict[str, Fold] = {}
        self._build(rules, request or {})

    # --- what it holds -------------------------------------------------------------------------------

    @property
    def model(self) -> str:
        """AIR identifier of the model."""
        return self._rules.air

    @property
    def task(self) -> dict[str, Any]:
        """What would be sent, in wire spelling, with the words that mean images.

        Raises:
            TaskInvalid: A field holds what the model does not take; the sentence stands beside it, too.
        """
        values: dict[tuple[str, ...], Any] = {}
        problems: list[str] = []
        for section in list(self._sections.values()):
            found, wrong = section.read()
            values |= found
            problems += wrong
        if problems:
            count = len(problems)
            said = problems[0] if count == 1 else f"{count} fields need attention: {'; '.join(problems)}"
            raise TaskInvalid(said)
        head = {"taskType": self._rules.task_type or "imageInference", "model": self._rules.air}
        return {**head, **self._others, **nested(values)}

    @property
    def cell(self) -> str:
        """The cell that asks for the same.

        Raises:
            TaskInvalid: A field holds what the model does not take.
        """
        return cell_of(self.task, self._session, self._names)

    @property
    def outcome(self) -> Outcome | None:
        """What the last run made; None while it is not done, or failed."""
        job = self.job
        done = job is not None and job.is_done and job.future.exception() is None
        return job.future.result() if job is not None and done else None

    def load(self, request: Mapping[str, Any]) -> list[str]:
        """Show the values of a request; those that no field takes are sent along.

        Args:
            request: In wire spelling.

        Returns:
            What could not be shown, a sentence each.
        """
        kept = {name: each for name, each in _plain(request).items() if name not in {"taskType", "taskUUID", "model"}}
        problems = []
        for title, fields in self._fields.items():
            if title not in self._sections and any(value_at(kept, each.path) is not None for each in fields):
                self._folds[title].open()
        taken: set[str] = set()
        for section in self._sections.values():
            for control in section.controls:
                asked = fields_of_control(control)
                taken |= {each.path[0] for each in asked}
                values = [value_at(kept, each.path) for each in asked]
                try:
                    control.show(tuple(values) if len(values) > 1 and None not in values else values[0])
                except (FieldProblem, TraitError) as error:
                    problems.append(f"{control.field.title}: {error}")
        known = taken | {each.path[0] for fields in self._fields.values() for each in fields}
        self._others = {
            name: value for name, value in kept.items()
            if name not in known and name not in {"deliveryMethod", "includeCost", "outputType"}
        }  # fmt: skip
        if self._others:
            problems.append(f"sent along, although no field shows it: {', '.join(self._others)}")
        return problems

    def set(self, name: str, value: Any) -> None:
        """Set one parameter, as the gallery does to reuse it.

        Args:
            name: In wire spelling; `size` takes a pair.
            value: What to set.

        Raises:
            MagicUsageError: The model has no such parameter, or it does not take that value.
        """
        path = ("width",) if name == "size" else (name,)
        for title, fields in self._fields.items():
            if any(each.path == path for each in fields) and title not in self._sections:
                self._folds[title].open()
        for section in self._sections.values():
            for control in section.controls:
                if control.field.path == path:
                    try:
                        control.show(value)
                    except FieldProblem as error:
                        raise MagicUsageError(str(error)) from error
                    self._say(f"{control.field.title} is now {value}")
                    return
        raise MagicUsageError(f"{self._rules.air} has no field {name!r}")

    # --- what it does --------------------------------------------------------------------------------

    def run(self) -> None:
        """Send what the form holds, in the background; a click on *Generate* does this."""
        try:
            task = self.task
        except TaskInvalid as error:
            self._say(f"✗ {error}", is_error=True)
            return
        self._generate.disabled = True
        self._say("checking …")
        _working.submit(self._guarded, self._send, task)

    def cancel(self) -> None:
        """Give up waiting. What was not sent yet is not sent; what was is paid for, and its result still comes."""
        job = self.job
        if job is None or job.is_done:
            return
        self._cancel.disabled = True
        if job.state is State.PREPARED and job.record.attempts == 0:
            _working.submit(self._guarded, self._drop, job)
            return
        job.detach()
        self._generate.disabled = False
        self._say(f"Stopped waiting. Task {job.task_uuid} was sent and is paid for: its result appears below when it "
                  "comes, and goes to the log.")  # fmt: skip

    def use_model(self, name: str) -> None:
        """Change the model, and keep what the other one takes, too.

        Raises:
            MagicUsageError: No such model is known here.
        """
        from .api import rules_of

        kept, self._others = self._held(), {}
        self._build(rules_of(self._session, name), kept)
        self._say(f"This is the form of {self._rules.air} now.")

    def _held(self) -> dict[str, Any]:
        values: dict[tuple[str, ...], Any] = {}
        for section in list(self._sections.values()):
            values |= section.read()[0]
        return nested(values)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        self._context = self._session.context()
        display(self.widget)
        name = self._rules.air
        self._place = ResultPlace(f"form for {name}: results appear here and stay; run the cell again for its controls")
        self._place.open()

    # --- inside --------------------------------------------------------------------------------------

    def _build(self, rules: Rulebook, request: Mapping[str, Any]) -> None:
        self._rules = rules
        self._parts = Parts(rules, self._look, self._keep, self._session.chance)
        self._fields = sort_fields(rules)
        self._sections = {}
        self._sections["main"] = self._section("main")
        self._folds = {
            title: Fold(f"{title} ({len(fields)})", self._look, functools.partial(self._opened, title), self._place_all)
            for title, fields in self._fields.items()
            if title != "main" and fields
        }
        self._tools = Tools(self._session, self._look, self, self._place_all)
        self._head_line = self._look.make(widgets.HTML, value=self._head())
        if request:
            self.load(request)
        self._place_all()
        self._changed()

    def _place_all(self) -> None:
        """Put everything in its order; folds and sentences come and go."""
        folds = [widget for fold in (*self._folds.values(), self._tools.fold) for widget in fold.widgets]
        more = [] if self._cell_text is None else [self._cell_text]
        self.widget.children = (
            self._head_line, *self._sections["main"].widgets, *folds, self._buttons, self._status, *more,
        )  # fmt: skip

    def _section(self, title: str, placed: Callable[[], None] | None = None) -> Section:
        controls = self._parts.make_all(self._fields[title])
        return Section(controls, self._look, self._changed, placed or self._place_all)

    def _opened(self, title: str) -> Any:
        column = self._look.column()

        def place() -> None:
            column.children = self._sections[title].widgets

        self._sections[title] = self._section(title, place)
        place()
        return column

    def _head(self) -> str:
        model = find_model(self._rules.air)
        name = model.name if model is not None else str(self._rules.schema.get("title") or self._rules.air)
        link = element("a", "documentation", href=self._rules.documentation, target="_blank", rel="noopener")
        said = f"{text(self._rules.air)} · {text(self._rules.task_type or 'unknown kind')} · {link}"
        return _STYLE + element("div", element("strong", text(name)) + element("span", f" {said}", style=MUTED))

    def _make_buttons(self) -> Any:
        make = self._look.make
        self._generate = make(widgets.Button, width="tight", description="Generate", button_style="primary",
                              tooltip="send it; the result appears below")  # fmt: skip
        self._cancel = make(widgets.Button, width="tight", description="Cancel", disabled=True,
                            tooltip="stop waiting for it")  # fmt: skip
        copy = make(widgets.Button, width="tight", description="Copy as cell", tooltip="show the cell that does this")
        self._generate.on_click(lambda _: self.run())
        self._cancel.on_click(lambda _: self.cancel())
        copy.on_click(lambda _: self._show_cell())
        self._cell_text: Any = None
        return self._look.row(self._generate, self._cancel, copy)

    def _show_cell(self) -> None:
        try:
            cell = self.cell
        except RunwareNBError as error:
            self._say(f"✗ {error}", is_error=True)
            return
        if self._cell_text is None:
            self._cell_text = self._look.make(
                widgets.Textarea, rows=6, description="As a cell",
                tooltip="select all of it, copy it, and paste it into a new cell",
            )  # fmt: skip
        self._cell_text.value = cell
        self._place_all()
        self._say("The cell that does the same stands below: copy it into a new cell.")

    def _keep(self, body: bytes) -> str:
        return relative_path(self._session.media.put(body).path)

    def _guarded(self, work: Any, *arguments: Any) -> None:
        """Run something in the background; whatever goes wrong is said in the form, since nobody else would see it."""
        try:
            work(*arguments)
        except TaskInvalid as error:
            told = error.parameter and any(
                section.tell(error.parameter, str(error)) for section in list(self._sections.values())
            )
            self._say(f"✗ {error if not told else 'see the field that is marked'}", is_error=True)
            self._generate.disabled = False
        except (RunwareNBError, WaitInterrupted) as error:
            self._say(f"✗ {error_sentence(error) if isinstance(error, RunwareNBError) else error}", is_error=True)
            self._generate.disabled = False
        except Exception as error:  # noqa: BLE001 - shown instead of lost in a thread
            self._say(f"✗ {type(error).__name__}: {error}", is_error=True)
            self._generate.disabled = False

    def _send(self, words: dict[str, Any]) -> None:
        task = with_images(words, self._session, self._names)
        plan = self._session.plan(task)
        question = question_about(self._session, plan.price)
        with self._lock:
            agreed = self._agreed == words
            self._agreed = None if question is None or agreed else words
        if question is not None and not agreed:
            self._generate.disabled = False
            self._say(f"{question[0].upper()}{question[1:]}. A second click on Generate sends it.")
            return
        job = self._session.submit(task, agreed=True, context=self._context)
        self.job = job
        self._cancel.disabled = False
        self._say(f"on its way: {job.task_uuid}")
        if self._place is not None:
            self._place.add(job)
        job.future.add_done_callback(lambda _: self._done(job))

    def _drop(self, job: Job) -> None:
        self._session.discard(job.record)
        self._generate.disabled = False
        self._say("Cancelled before it was sent; nothing was spent.")

    def _done(self, job: Job) -> None:
        if job is not self.job:
            return
        self._generate.disabled = False
        self._cancel.disabled = True
        error = job.future.exception()
        if error is not None:
            said = error_sentence(error) if isinstance(error, RunwareNBError) else f"{type(error).__name__}: {error}"
            self._say(f"✗ {said}", is_error=True)
            return
        outcome = job.future.result()
        if self._parts.seed is not None and outcome.results:
            self._parts.seed.used(outcome.results[0].seed)
        self._names_last(outcome)
        count = len(outcome.results)
        failed = f", {len(outcome.errors)} failed" if outcome.errors else ""
        price = "$0.00, recorded" if outcome.is_recorded else format_usd(outcome.cost_usd)
        self._say(f"Done: {count} result{'' if count == 1 else 's'}{failed} · {price}")

    def _names_last(self, outcome: Outcome) -> None:
        self._session.last = outcome
        if isinstance(self._names, dict):
            self._names["_rw"] = outcome

    def _changed(self) -> None:
        """Have the price looked up soon; from any thread."""
        with self._lock:
            if self._pricing is not None:
                self._pricing.cancel()
            self._pricing = threading.Timer(_PRICE_AFTER_S, self._guarded, [self._show_price])
            self._pricing.daemon = True
            self._pricing.start()

    def _show_price(self) -> None:
        task = {"taskType": self._rules.task_type, "model": self._rules.air, **self._others, **self._held()}
        price = estimate(self._session, task)
        self._generate.tooltip = f"send it; price: {price}"
        self._generate.description = (
            f"Generate · {'price unknown' if price.usd is None else f'about {format_usd(price.usd)}'}"
        )

    def _say(self, sentence: str, *, is_error: bool = False) -> None:
        colour = "color:var(--jp-error-color1,#b00020)" if is_error else ""
        self._status.value = element("div", text(sentence), role="status", class_="runware-nb-status", style=colour)


def _plain(value: Any) -> Any:
    """Write paths as texts, and leave everything else."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool) or value is None else relative_path(value)
