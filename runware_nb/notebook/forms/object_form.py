"""A form for the input of a task of any provider: fields from a schema or from past inputs, and any other input."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from traitlets import TraitError

from ...engine.display import relative_path
from ...engine.front_end import current_front_end
from ...errors import RunwareNBError, TaskInvalid
from ...present.html import MUTED, element, muted, text
from ...providers.runware.catalog import Field, FieldProblem, Kind, check_value, read_value
from ...reprs import short_repr
from .controls import Control, NumberControl, label_of, plain_control
from .look import Look
from .media import MediumControl
from .output_area import ResultPlace
from .parts import nested, value_at
from .rows import Fold, GroupControl, RowsControl
from .section import Section, arrange, fields_of_control, form_style
from .sender import Sender

if TYPE_CHECKING:
    from ...core.results import Outcome
    from ...session import Job, Session

__all__ = ["Conversion", "ObjectForm"]

_OTHERS = Field(
    ("(other inputs)",), Kind.ROWS, "Input", "any other input, by its name",
    fields=(
        Field(("(other inputs)", "*", "name"), Kind.TEXT, "Name", is_required=True),
        Field(("(other inputs)", "*", "value"), Kind.TEXT, "Value", "JSON if it is valid JSON, else text"),
    ),
)  # fmt: skip
"""Rows of a name and a value. No input of a template has this path, because its name contains blanks and parentheses
and stands in no schema."""
_MOST_SUGGESTED = 20


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """How a provider's form becomes a task, and a cell.

    Attributes:
        service: The service, as `Session.submit` takes it.
        task: Returns the task of an input; its media are words.
        resolve: Returns a task with media in the place of words.
        cell: Returns the cell that makes the same request.
        parse: Parses the value of another input: JSON if it is valid JSON, else text.
        prefix: What the names of parameters begin with in errors, such as `input.`.
    """

    service: str
    task: Callable[[dict[str, Any]], dict[str, Any]]
    resolve: Callable[[dict[str, Any]], dict[str, Any]]
    cell: Callable[[dict[str, Any]], str]
    parse: Callable[[str], Any]
    prefix: str = ""


class ObjectForm:
    """Controls for the input of one task. The results appear below them, as an ordinary output.

    Args:
        session: Who sends.
        title: What the form is for.
        about: A phrase beside the title.
        fields: What is asked for.
        conversion: How the values become a task and a cell.
        names: The user's variables.
        values: Values to begin with.
        suggestions: Values that were used before, by field.
        note: A sentence below the first field; empty for none.

    Attributes:
        widget: The controls, for a layout of your own.
    """

    def __init__(
        self,
        session: Session,
        title: str,
        about: str,
        fields: Sequence[Field],
        conversion: Conversion,
        *,
        names: Mapping[str, Any],
        values: Mapping[str, Any] | None = None,
        suggestions: Mapping[str, Sequence[Any]] | None = None,
        note: str = "",
    ) -> None:
        self._session = session
        self._title = title
        self._names = names
        self._conversion = conversion
        self._suggestions = suggestions or {}
        self._look = Look()
        self._cell_text: Any = None
        self._more: Section | None = None
        self.widget = self._look.column()
        self.widget.add_class("runware-nb-form")
        self._sender = Sender(session, self._look, self, names, service=conversion.service, resolve=conversion.resolve)
        self._main = Section([self._make(each) for each in fields], self._look, self._sender.changed, self._place_all)
        self._fold = Fold("Other inputs", self._look, self._open_more, self._place_all)
        copy = self._look.make(
            widgets.Button, width="tight", description="Copy as cell", tooltip="show the cell that does this"
        )
        copy.on_click(lambda _: self._show_cell())
        self._buttons = self._look.row(self._sender.generate, self._sender.cancel_button, copy)
        head = element("div", element("strong", text(title)) + element("span", f" {text(about)}", style=MUTED))
        self._head = self._look.make(widgets.HTML, value=form_style() + head)
        self._notes = [self._look.make(widgets.HTML, value=muted(note))] if note else []
        problems = self.load(values or {})
        if not fields:
            self._fold.open()
        self._place_all()
        self._sender.say("; ".join(problems))
        self._sender.changed()

    # --- what it holds -------------------------------------------------------------------------------

    @property
    def input(self) -> dict[str, Any]:
        """The input as the controls have it.

        Raises:
            TaskInvalid: A value is invalid; the sentence is shown beside its field as well.
        """
        found, problems = self._read(tells=True)
        if problems:
            count = len(problems)
            raise TaskInvalid(problems[0] if count == 1 else f"{count} fields need attention: {'; '.join(problems)}")
        return found

    @property
    def task(self) -> dict[str, Any]:
        """What would be sent, with the words that mean media.

        Raises:
            TaskInvalid: A value is invalid.
        """
        return self._conversion.task(self.input)

    @property
    def cell(self) -> str:
        """The cell that makes the same request.

        Raises:
            TaskInvalid: A value is invalid.
        """
        return self._conversion.cell(self.input)

    @property
    def job(self) -> Job | None:
        """The last run; None before the first."""
        return self._sender.job

    @property
    def outcome(self) -> Outcome | None:
        """What the last run produced; None while it is not done, or failed."""
        job = self.job
        is_done = job is not None and job.is_done and job.future.exception() is None
        return job.future.result() if job is not None and is_done else None

    def load(self, values: Mapping[str, Any]) -> list[str]:
        """Show the values of an input. Those without a field become other inputs.

        Returns:
            What could not be shown, a sentence each.
        """
        problems: list[str] = []
        taken: set[str] = set()
        for control in self._main.controls:
            for field in fields_of_control(control):
                taken.add(field.path[0])
                try:
                    control.show(value_at(dict(values), field.path))
                except (FieldProblem, TraitError) as error:
                    problems.append(f"{field.title}: {error}")
        others = [
            {"name": str(name), "value": _written(value, self._conversion.parse)}
            for name, value in values.items()
            if name not in taken
        ]
        if others:
            self._fold.open()
        if self._more is not None:
            self._more.controls[0].show(others or None)
        return problems

    # --- what it does --------------------------------------------------------------------------------

    def run(self) -> None:
        """Send what the form contains, in the background. A click on *Generate* does this."""
        self._sender.run()

    def result(self, timeout_s: float | None = None) -> Outcome:
        """Wait for the last run, and return its outcome. Stop ends the wait, and not the run.

        Args:
            timeout_s: Longest wait, in seconds.

        Raises:
            MagicUsageError: Nothing was run yet.
            NotConfirmed: The question about its cost has no answer yet.
            RunwareNBError: It could not be sent, or failed; see `Job.result`.
        """
        return self._sender.result(timeout_s)

    def cancel(self) -> None:
        """Stop waiting. What was not sent yet is not sent; the result of what was sent still arrives."""
        self._sender.cancel()

    # --- what its sender asks ------------------------------------------------------------------------

    @property
    def priced(self) -> Mapping[str, Any]:
        """As much of the task as is valid at the moment, for an estimate."""
        return self._conversion.task(self._read(tells=False)[0])

    def tell(self, parameter: str, sentence: str) -> bool:
        """Show a sentence beside the field of a parameter; return whether there is one."""
        name = parameter.removeprefix(self._conversion.prefix)
        return any(section.tell(name, sentence) for section in self._sections)

    def ended(self, outcome: Outcome) -> None:
        """Bind the outcome to `_rw`."""
        self._session.last = outcome
        if isinstance(self._names, dict):
            self._names["_rw"] = outcome

    # --- inside --------------------------------------------------------------------------------------

    @property
    def _sections(self) -> list[Section]:
        return [self._main] if self._more is None else [self._main, self._more]

    def _read(self, *, tells: bool) -> tuple[dict[str, Any], list[str]]:
        values, problems = self._main.read(tells=tells)
        found = nested(values)
        if self._more is None:
            return found, problems
        rows, wrong = self._more.read(tells=tells)
        problems += wrong
        for row in rows.get(_OTHERS.path, []):
            name = row["name"].strip()
            if name in found:
                problems.append(f"{_OTHERS.title}: {name} is given twice")
                if tells:
                    self._more.tell(_OTHERS.path[0], f"{name} is given twice")
            found[name] = self._conversion.parse(row.get("value", ""))
        return found, problems

    def _make(self, field: Field) -> Control:
        if field.kind is Kind.GROUP:
            return GroupControl(field, self._look, self._make)
        if field.kind is Kind.ROWS:
            return RowsControl(field, self._look, self._make)
        if field.kind in {Kind.WHOLE, Kind.NUMBER} and isinstance(field.default, int | float):
            # What the form shows is what is sent: whether the service has the same default is not known.
            return NumberControl(field, self._look, field.default, is_sent_always=True)
        if field.kind in {Kind.MEDIUM, Kind.MEDIA}:
            drops = not field.title.lower().startswith(("video", "audio"))
            return MediumControl(field, self._look, self._keep, drops=drops)
        used = self._suggestions.get(field.name) if len(field.path) == 1 else None
        if used and field.kind in {Kind.TEXT, Kind.WHOLE, Kind.NUMBER}:
            return _SuggestedControl(field, self._look, used)
        return plain_control(field, self._look, unset="(not sent)")

    def _keep(self, body: bytes) -> str:
        return relative_path(self._session.media.put(body).path)

    def _open_more(self) -> Any:
        column = self._look.column()
        control = RowsControl(_OTHERS, self._look, functools.partial(plain_control, look=self._look))

        def place() -> None:
            if self._more is not None:
                arrange(column, self._more.widgets, self._more.problems)

        self._more = Section([control], self._look, self._sender.changed, place)
        place()
        return column

    def _place_all(self) -> None:
        more = [] if self._cell_text is None else [self._cell_text]
        first, rest = self._main.widgets[:1], self._main.widgets[1:]
        rows = [
            self._head, *first, *self._notes, *rest, *self._fold.widgets, self._buttons, self._sender.status, *more
        ]  # fmt: skip
        arrange(self.widget, rows, self._main.problems)

    def _show_cell(self) -> None:
        try:
            cell = self.cell
        except RunwareNBError as error:
            self._sender.say(f"✗ {current_front_end().message(error)}", is_error=True)
            return
        if self._cell_text is None:
            self._cell_text = self._look.make(
                widgets.Textarea, rows=8, description="As a cell",
                tooltip="select all of it, copy it, and paste it into a new cell",
            )  # fmt: skip
        self._cell_text.value = cell
        self._place_all()
        self._sender.say("The cell that does the same is below: copy it into a new cell.")

    def _ipython_display_(self) -> None:
        from ..display import show_widget

        self._sender.context = self._session.context()
        show_widget(self.widget, f"[form for {self._title}: run the cell to get its controls]")
        place = ResultPlace(
            f"form for {self._title}: results appear here and stay; run the cell again for its controls"
        )
        place.open()
        self._sender.place = place


class _SuggestedControl:
    """A text or a number, with the values that were used before as suggestions."""

    def __init__(self, field: Field, look: Look, used: Sequence[Any]) -> None:
        self.field = field
        options = list(dict.fromkeys(str(value) for value in used if value is not None and "\n" not in str(value)))
        self.widget = look.make(
            widgets.Combobox, description=label_of(field), options=options[:_MOST_SUGGESTED], ensure_option=False,
            continuous_update=False, tooltip=field.help or field.title, placeholder="values of earlier runs are listed",
        )  # fmt: skip

    def read(self) -> Any:
        """Return the value; see `Control`."""
        return read_value(self.field, self.widget.value)

    def show(self, value: Any) -> None:
        """Show a value; see `Control`."""
        if value is not None:
            check_value(self.field, value)
        self.widget.value = "" if value is None else str(value)

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call a function on changes; see `Control`."""
        self.widget.observe(lambda _: changed(), "value")


def _written(value: Any, parse: Callable[[str], Any]) -> str:
    """Return the text of a value that is parsed as this value."""
    if isinstance(value, str) and parse(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)
