"""A form for a model: built from its request schema, so that a model of this morning has one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from traitlets import TraitError

from ...commands.prompts_in import places_in
from ...engine.display import relative_path
from ...engine.front_end import current_front_end
from ...errors import MagicUsageError, RunwareNBError, TaskInvalid
from ...present.html import MUTED, element, text
from ...providers.runware.catalog import FieldProblem, Rulebook, find_model
from ...providers.runware.operations import operation_label
from ...providers.runware.tasks import can_stream
from ...session.operations import merge_fields
from .controls import TextControl
from .look import Look
from .media_words import cell_of
from .output_area import ResultPlace
from .parts import Parts, nested, sort_fields, value_at, without_paths
from .rows import Fold
from .section import Section, arrange, close_widget, fields_of_control, form_style
from .sender import Sender
from .tools import Tools

if TYPE_CHECKING:
    from ...core.results import Outcome
    from ...session import Job, Session

__all__ = ["ModelForm"]


class ModelForm:
    """Controls for one model. What they make appears below them, as an ordinary output.

    Args:
        session: Who sends.
        rules: What the model takes.
        names: The user's variables, for images named by them.
        request: Values to begin with, in wire spelling.

    Attributes:
        widget: The controls, for a layout of your own.
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
        self._others: dict[str, Any] = {}
        self._sections: dict[str, Section] = {}
        self._folds: dict[str, Fold] = {}
        self._cell_text: Any = None
        self.widget = self._look.column()
        self.widget.add_class("runware-nb-form")
        self._sender = Sender(session, self._look, self, self._names)
        copy = self._look.make(widgets.Button, width="tight", description="Copy as cell",
                               tooltip="show the cell that does this")  # fmt: skip
        copy.on_click(lambda _: self._show_cell())
        self._buttons = self._look.row(self._sender.generate, self._sender.cancel_button, copy, *self._saved_prompts())
        self._build(rules, request or {})

    # --- what it holds -------------------------------------------------------------------------------

    @property
    def model(self) -> str:
        """AIR identifier of the model."""
        return self._rules.air

    @property
    def task_type(self) -> str:
        """Kind of task it does; empty where not known."""
        return self._rules.task_type

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
        task = {**head, **merge_fields(self._others, nested(values))}
        if can_stream(task["taskType"]) and task.get("numberResults", 1) == 1:
            task.setdefault("deliveryMethod", "stream")  # as the command and the function do
        return task

    @property
    def cell(self) -> str:
        """The cell that asks for the same.

        Raises:
            TaskInvalid: A field holds what the model does not take.
        """
        return cell_of(self.task, self._session, self._names)

    @property
    def job(self) -> Job | None:
        """The last run; None before the first."""
        return self._sender.job

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
        known: set[tuple[str, ...]] = set()
        for section in self._sections.values():
            for control in section.controls:
                asked = fields_of_control(control)
                known |= {each.path for each in asked}
                values = [value_at(kept, each.path) for each in asked]
                several = None if None in values else tuple(values)
                try:
                    control.show(several if len(asked) > 1 else values[0])
                except (FieldProblem, TraitError) as error:
                    problems.append(f"{control.field.title}: {error}")
        known |= {each.path for fields in self._fields.values() for each in fields}
        known |= {("deliveryMethod",), ("includeCost",), ("includeUsage",), ("outputType",)}
        self._others = without_paths(kept, known)
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
                    self._sender.say(f"{control.field.title} is now {value}")
                    return
        raise MagicUsageError(f"{self._rules.air} has no field {name!r}")

    # --- what it does --------------------------------------------------------------------------------

    def run(self) -> None:
        """Send what the form holds, in the background; a click on *Generate* does this."""
        self._sender.run()

    def result(self, timeout_s: float | None = None) -> Outcome:
        """Wait for the last run, and give what it made; Stop ends the wait, not the run.

        Args:
            timeout_s: Longest wait, in seconds.

        Raises:
            MagicUsageError: Nothing was run yet.
            NotConfirmed: The question about its price has no answer yet.
            RunwareNBError: It could not be sent, or failed; see `Job.result`.
        """
        return self._sender.result(timeout_s)

    def cancel(self) -> None:
        """Give up waiting. What was not sent yet is not sent; what was is paid for, and its result still comes."""
        self._sender.cancel()

    def use_model(self, name: str) -> None:
        """Change the model, and keep what the other one takes, too.

        Raises:
            MagicUsageError: No such model is known here.
        """
        from .api import rules_of

        kept, self._others = self._held(), {}
        self._build(rules_of(self._session, name), kept)
        self._sender.say(f"This is the form of {self._rules.air} now.")

    # --- what its sender asks ------------------------------------------------------------------------

    @property
    def priced(self) -> Mapping[str, Any]:
        """As much of the task as is right at the moment, for an estimate."""
        return {"taskType": self._rules.task_type, "model": self._rules.air, **merge_fields(self._others, self._held())}

    def tell(self, parameter: str, sentence: str) -> bool:
        """Put a sentence beside the field of a parameter; False where it is not seen."""
        return any(section.tell(parameter, sentence) for section in list(self._sections.values()))

    def ended(self, outcome: Outcome) -> None:
        """Remember the seed, and let `_rw` mean what came."""
        if self._parts.seed is not None and outcome.results:
            self._parts.seed.used(outcome.results[0].seed)
        self._session.last = outcome
        if isinstance(self._names, dict):
            self._names["_rw"] = outcome

    # --- inside --------------------------------------------------------------------------------------

    def _held(self) -> dict[str, Any]:
        values: dict[tuple[str, ...], Any] = {}
        for section in list(self._sections.values()):
            values |= section.read(tells=False)[0]
        return nested(values)

    def _ipython_display_(self) -> None:
        from ..display import show_widget

        name = self._rules.air
        self._sender.context = self._session.context()
        show_widget(self.widget, f"[form for {name}: run the cell to get its controls]")
        place = ResultPlace(f"form for {name}: results appear here and stay; run the cell again for its controls")
        place.open()
        self._sender.place = place

    def _build(self, rules: Rulebook, request: Mapping[str, Any]) -> None:
        for widget in self.widget.children:
            if widget not in (self._buttons, self._sender.status, self._cell_text):
                close_widget(widget)
        self._rules = rules
        self._parts = Parts(rules, self._look, self._keep, self._session.rng)
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
        problems = self.load(request) if request else []
        if self._session.planner.lacks_schema(rules.air):
            problems.append(
                "The schema of this model was not received, so this form uses the bundled parameters and limits. "
                "The model may accept fewer."
            )
        self._place_all()
        self._sender.say("; ".join(problems))
        self._sender.changed()

    def _place_all(self) -> None:
        """Put everything in its order; folds and sentences come and go."""
        folds = [widget for fold in (*self._folds.values(), self._tools.fold) for widget in fold.widgets]
        more = [] if self._cell_text is None else [self._cell_text]
        main = self._sections["main"]
        rows = [self._head_line, *main.widgets, *folds, self._buttons, self._sender.status, *more]
        arrange(self.widget, rows, main.problems)

    def _section(self, title: str, placed: Callable[[], None] | None = None) -> Section:
        controls = self._parts.make_all(self._fields[title])
        return Section(controls, self._look, self._sender.changed, placed or self._place_all)

    def _opened(self, title: str) -> Any:
        column = self._look.column()

        def place() -> None:
            arrange(column, self._sections[title].widgets, self._sections[title].problems)

        self._sections[title] = self._section(title, place)
        place()
        return column

    def _head(self) -> str:
        model = find_model(self._rules.air)
        name = model.name if model is not None else str(self._rules.schema.get("title") or self._rules.air)
        link = element("a", "documentation", href=self._rules.documentation, target="_blank", rel="noopener")
        operation = operation_label(self._rules.task_type) or "unknown operation"
        said = f"{text(self._rules.air)} · {text(operation)} · {link}"
        return form_style() + element("div", element("strong", text(name)) + element("span", f" {said}", style=MUTED))

    def _show_cell(self) -> None:
        try:
            cell = self.cell
        except RunwareNBError as error:
            self._sender.say(f"✗ {current_front_end().message(error)}", is_error=True)
            return
        if self._cell_text is None:
            self._cell_text = self._look.make(
                widgets.Textarea, rows=6, description="As a cell",
                tooltip="select all of it, copy it, and paste it into a new cell",
            )  # fmt: skip
        self._cell_text.value = cell
        self._place_all()
        self._sender.say("The cell that does the same stands below: copy it into a new cell.")

    def _saved_prompts(self) -> list[Any]:
        """Build the menu of saved prompts; none if the project has no saved prompt."""
        names = self._session.prompts.names()
        if not names:
            return []
        menu = self._look.make(
            widgets.Dropdown, width="tight", options=[("Insert a saved prompt", ""), *((name, name) for name in names)],
            tooltip="add its text to the prompt",
        )  # fmt: skip

        def insert(change: Any) -> None:
            if change["new"]:
                self._insert(change["new"])
                menu.value = ""

        menu.observe(insert, "value")
        return [menu]

    def _insert(self, name: str) -> None:
        """Add a saved prompt to the prompt of the form, and state what is wrong in the form."""
        control = next(
            (
                control
                for control in self._sections["main"].controls
                if control.field.path in {("positivePrompt",), ("prompt",)} and isinstance(control, TextControl)
            ),
            None,
        )
        if control is None:
            self._sender.say("✗ This form has no field for a prompt.", is_error=True)
            return
        try:
            saved = self._session.prompts.get(name)
        except RunwareNBError as error:
            self._sender.say(f"✗ {current_front_end().message(error)}", is_error=True)
            return
        before = control.widget.value.rstrip()
        control.widget.value = f"{before} {saved}" if before else saved
        places = [f"{{{place}}}" for place in places_in(saved)]
        hint = f" Write text in place of {', '.join(places)}: a form sends the prompt as it is." if places else ""
        self._sender.say(f"{name} is in the prompt now.{hint}")

    def _keep(self, body: bytes) -> str:
        return relative_path(self._session.media.put(body).path)


def _plain(value: Any) -> Any:
    """Write paths as texts, and leave everything else."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, str | int | float | bool) or value is None else relative_path(value)
