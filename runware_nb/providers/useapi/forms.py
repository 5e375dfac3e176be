"""Forms of useapi.net: `rw.form("useapi:accounts")`, and `rw.form("useapi:MODEL")` to generate."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from ...commands.as_cell import quote_word
from ...commands.names import escape_names
from ...core.redaction import known_secrets
from ...engine.front_end import current_front_end
from ...errors import ArgumentInvalid, MagicUsageError, RunwareNBError
from ...forking import Workers, make_lock
from ...notebook.forms.api import users_names
from ...notebook.forms.look import Look
from ...notebook.forms.object_form import Conversion, ObjectForm
from ...notebook.forms.secret import SecretField
from ...present.html import element, text
from ...present.table import Table, render_table
from ..runware.catalog import Field, Kind
from .accounts import MOST_JOBS, RECOMMENDED_JOBS, Password, UseApiAccount, check_email
from .commands.accounts import account_rows, read_accounts
from .commands.asking import ask
from .commands.generation import find_asset
from .models import ENDPOINTS, IMAGE_MODELS, VIDEO_MODELS, Parameter, models_for, parameters_of
from .options import KINDS, LineOption, cell_words, default_model, find_path, line_options
from .protocol import shorten_account, shorten_accounts
from .provider import PREFIX

if TYPE_CHECKING:
    from ...session import Session

__all__ = ["AccountsForm", "build_form"]

_STYLE = (
    "<style>.runware-nb-form :focus-visible{outline:2px solid var(--jp-brand-color1,#1565c0);outline-offset:1px}"
    ".runware-nb-form input::placeholder{color:var(--jp-ui-font-color2,#616161);opacity:1}</style>"
)
_PROBLEM = "color:var(--jp-error-color1,#b00020);margin-left:12.5em"
_NEW = ""
_working = Workers(1, "runware useapi form")


def build_form(session: Session, what: str, *, request: Mapping[str, Any] | None = None, **values: Any) -> Any:
    """Build the form for accounts, or the form that generates with a model.

    Args:
        session: Whose accounts, and who sends.
        what: `accounts`, a model such as `gen4` or `image gen4`, or a create call such as `frames`.
        request: A task in our form to begin with.
        **values: To begin with, in the spelling of the service.

    Raises:
        MagicUsageError: No such model or call is known here.
    """
    word = what.strip() or "accounts"
    if word == "accounts":
        if values:
            raise MagicUsageError(f"The form for accounts has no field {next(iter(values))!r}.")
        return AccountsForm(session)
    path, model = _call_of(word)
    names = users_names()
    options = line_options(path, model)
    # The prompt is first: the note about it is below it.
    fields = [_prompt_field(parameter) for parameter in parameters_of(path, model) if parameter.name == "text_prompt"]
    fields += [_field(option) for option in options if option.parameters[0].name != "model"]
    fields.append(
        Field(("account",), Kind.TEXT, "Account", "e-mail of the Runway account that runs it; any by default")
    )
    about = f"{ENDPOINTS[path].summary} · {path} · Runway through useapi.net"
    conversion = _conversion(session, path, model, options, names)
    begin = {} if request is None else _as_input(request, options)
    has_prompt = bool(fields) and fields[0].path == ("text_prompt",)
    note = "{name} is not replaced in a form." if has_prompt else ""
    return ObjectForm(
        session, model or word, about, fields, conversion, names=names, values={**begin, **values}, note=note
    )


def _call_of(word: str) -> tuple[str, str | None]:
    """Return the create call and the model that a word means: `gen4`, `image gen4`, or a call such as `frames`.

    Raises:
        MagicUsageError: None is known here.
    """
    kind, _, model = word.partition(" ")
    path = find_path(kind)
    if path is not None and (not model or model in models_for(path)):
        return path, model or default_model(path)
    found = next((path for path in ("videos/create", "images/create") if word in models_for(path)), None)
    if found is not None:
        return found, word
    near = difflib.get_close_matches(word, [*VIDEO_MODELS, *IMAGE_MODELS, *KINDS, *ENDPOINTS, "accounts"], n=1)
    hint = f"Did you mean useapi:{near[0]}?" if near else "`%useapi models` lists the models."
    raise MagicUsageError(
        f"There is no form for {word!r}: expected `accounts`, a model or a create call of useapi.net. {hint}"
    )


def _prompt_field(parameter: Parameter) -> Field:
    longest = None if parameter.high is None else int(parameter.high)
    return Field(
        ("text_prompt",), Kind.LONG_TEXT, "Prompt", parameter.help, is_required=parameter.is_required, longest=longest
    )


def _field(option: LineOption) -> Field:
    """Return the field of an option of a line; several parameters of one kind are one field."""
    first = option.parameters[0]
    flag = max(option.flags, key=len).lstrip("-")
    title = flag.removeprefix("no-").replace("-", " ").capitalize()
    help_text = re.sub(r" 1$", "", first.help) if option.is_list else first.help
    kinds = {"text": Kind.TEXT, "integer": Kind.WHOLE, "number": Kind.NUMBER, "flag": Kind.FLAG, "asset": Kind.MEDIUM}
    kind = Kind.CHOICE if first.choices else Kind.MEDIA if option.is_list else kinds[first.kind]
    is_number = first.kind in {"integer", "number"} and not first.choices
    return Field(
        (first.name,), kind, title, help_text, is_required=first.is_required, default=first.default,
        low=first.low if is_number else None, high=first.high if is_number else None,
        longest=len(option.parameters) if option.is_list else None,
        choices=tuple((str(value), value) for value in first.choices),
    )  # fmt: skip


def _conversion(
    session: Session, path: str, model: str | None, options: Sequence[LineOption], names: Mapping[str, Any]
) -> Conversion:
    """Return how the fields become a task and a cell."""
    media = {option.parameters[0].name: option for option in options if option.parameters[0].kind == "asset"}

    def task(given: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {"taskType": PREFIX + path} | ({} if model is None else {"model": model})
        assets: dict[str, Any] = {}
        for name, value in given.items():
            option = media.get(name)
            if option is None:
                made[name] = value
            else:
                assets |= option.names(value if isinstance(value, list) else [value])
        return {**made, "assets": assets} if assets else made

    def resolve(written: dict[str, Any]) -> dict[str, Any]:
        assets = written.get("assets")
        if not isinstance(assets, Mapping):
            return written
        found = {name: find_asset(str(word), session, names) for name, word in assets.items()}
        return {**written, "assets": found}

    def cell(given: dict[str, Any]) -> str:
        written = task(given)
        line = " ".join(["%%useapi", *map(quote_word, cell_words(written, str))])
        return f"{line}\n{escape_names(str(written.get('text_prompt') or ''))}".rstrip("\n") + "\n"

    return Conversion(service="useapi", task=task, resolve=resolve, cell=cell, parse=_parse)


def _as_input(request: Mapping[str, Any], options: Sequence[LineOption]) -> dict[str, Any]:
    """Return a task as the values of the fields."""
    kept = {name: value for name, value in request.items() if name not in {"taskType", "taskUUID", "model", "assets"}}
    found = request.get("assets")
    assets: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    for option in options:
        given = [str(assets[parameter.name]) for parameter in option.parameters if parameter.name in assets]
        if given:
            kept[option.parameters[0].name] = given if option.is_list else given[0]
    return kept


def _parse(typed: str) -> Any:
    """Return the value of another parameter: JSON if it is valid JSON, else the text."""
    try:
        return json.loads(typed)
    except ValueError:
        return typed


class AccountsForm:
    """The Runway accounts that useapi.net stores: their state, and fields to add, update and remove one.

    The password leaves its field at once and is never part of the state of a widget. Everything that is sent is sent in
    the background, and what became of it stands below the buttons.

    Args:
        session: Whose accounts.

    Attributes:
        widget: The controls, for a layout of your own.
        accounts: As they were when they were last read.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._look = look = Look()
        self._lock = make_lock()
        self._is_busy = False
        self.accounts: list[UseApiAccount] = []
        self._list = look.make(widgets.HTML)
        self._choice = look.make(
            widgets.Dropdown, description="Account", options=[("a new one", _NEW)], value=_NEW,
            tooltip="a new account, or one to update or remove",
        )  # fmt: skip
        self._email = look.make(
            widgets.Text, description="E-mail (needed)", placeholder="with which you sign in at Runway",
            tooltip="the e-mail of the Runway account", continuous_update=False,
        )  # fmt: skip
        self._password: SecretField[Password] = SecretField(look, "Password (needed)", _as_password)
        self._most = look.make(
            widgets.BoundedIntText, description="Jobs at a time", min=1, max=MOST_JOBS, value=RECOMMENDED_JOBS,
            tooltip=f"most tasks of this account at a time, 1 to {MOST_JOBS}; {RECOMMENDED_JOBS} is recommended",
        )  # fmt: skip
        self._email_problem, self._password_problem = look.make(widgets.HTML), look.make(widgets.HTML)
        self._save = self._button("Add or update", self.save, "log in at Runway and store the account", "primary")
        self._remove = self._button("Remove …", self._ask_to_remove, "remove the chosen account from useapi.net")
        self._refresh = self._button("Refresh", self.refresh, "read the accounts again")
        self._yes = self._button("Yes, remove it", self.remove, "remove the account from useapi.net", "danger")
        self._no = self._button("Keep it", self._keep, "change nothing")
        self._head = look.make(widgets.HTML, value=_STYLE + element("strong", "Runway accounts at useapi.net"))
        self._buttons = look.row(self._save, self._remove, self._refresh)
        self._question = look.make(widgets.HTML)
        self._asking = look.row(self._question, self._yes, self._no)
        self.status = look.make(widgets.HTML)
        self.widget = look.column()
        self.widget.add_class("runware-nb-form")
        self.widget.add_class("runware-nb-useapi-accounts")
        self._choice.observe(lambda _: self._chosen(), "value")
        self._email.observe(lambda _: self._check_email(), "value")
        self._place(asks=False)

    # --- what a click does ---------------------------------------------------------------------------

    def save(self) -> None:
        """Add or update the account, in the background; a click on *Add or update* does this."""
        if self._is_busy:
            return  # the password stays in its place
        email, is_right = self._target(), True
        if not self._choice.value:
            is_right = self._check_email(is_needed=True)
        password = self._password.take() if is_right else None
        self._tell(self._password_problem, "" if password or not is_right else "Enter the password of the account.")
        if not is_right or password is None:
            self.say("✗ see the field that is marked. Nothing was sent.", is_error=True)
            return
        most = int(self._most.value)
        shown = shorten_account(email)
        self._begin(f"Runway checks the password of {shown} …", lambda: self._send(email, password, most))

    def remove(self) -> None:
        """Remove the chosen account, in the background; a click on *Yes, remove it* does this."""
        email = self._choice.value
        self._place(asks=False)
        if email:
            self._begin(f"removing {shorten_account(email)} …", lambda: self._delete(email))

    def refresh(self) -> None:
        """Read the accounts again, in the background."""
        self._begin("reading the accounts …", lambda: "")

    def _ask_to_remove(self) -> None:
        email = self._choice.value
        if not email:
            self.say("✗ choose the account to remove in the field Account. Nothing was changed.", is_error=True)
            return
        said = (
            f"Remove {shorten_account(email)} from useapi.net, with the password that is stored there? Its running "
            "tasks may go on. The account at Runway stays."
        )
        self._question.value = element("span", text(said), role="alert")
        self._place(asks=True)

    def _keep(self) -> None:
        self._place(asks=False)
        self.say("Nothing was changed.")

    # --- in the background --------------------------------------------------------------------------

    def _begin(self, sentence: str, work: Callable[[], str]) -> None:
        """Do something, then read the accounts again; one thing at a time, so that a double click counts once."""
        with self._lock:
            if self._is_busy:
                return
            self._is_busy = True
        self._set_disabled(True)
        self.say(sentence)
        _working.submit(self._work, work)

    def _work(self, work: Callable[[], str]) -> None:
        said, is_error = "", False
        try:
            said = work()
            self._show(*ask(self._session, read_accounts))
        except RunwareNBError as error:
            said, is_error = f"✗ {current_front_end().message(error)}", True
        except Exception as error:  # noqa: BLE001 - shown instead of lost in a thread
            said, is_error = f"✗ {type(error).__name__}: {known_secrets.redact(str(error))}", True
        finally:
            self.say(" ".join([said, *self._session.take_notices()]).strip(), is_error=is_error)
            self._set_disabled(False)
            with self._lock:
                self._is_busy = False

    def _send(self, email: str, password: Password, most: int) -> str:
        account = ask(self._session, lambda client: client.save_account(email, password, most))
        self._email.value = ""
        return f"useapi.net stores {shorten_account(account.email)}: Runway accepted the password."

    def _delete(self, email: str) -> str:
        was_there = ask(self._session, lambda client: client.delete_account(email))
        shown = shorten_account(email)
        return f"{shown} was removed from useapi.net." if was_there else f"useapi.net stores no account {shown}."

    # --- what is shown ------------------------------------------------------------------------------

    def say(self, sentence: str, *, is_error: bool = False) -> None:
        """Show a sentence below the buttons."""
        color = "color:var(--jp-error-color1,#b00020)" if is_error else ""
        self.status.value = element("div", text(sentence), role="status", class_="runware-nb-status", style=color)

    def _show(self, accounts: Sequence[UseApiAccount], running: Mapping[str, int]) -> None:
        self.accounts = list(accounts)
        rows = account_rows(accounts, running)
        shown = shorten_accounts(account.email for account in accounts)
        cells = [
            [shown[row["account"]], row["state"], f"{row['running']} of {row['max_jobs'] or '?'}",
             row["session_expires_utc"], row["advice"]]
            for row in rows
        ]  # fmt: skip
        columns = ["account", "state", "jobs", "session expires (UTC)", "what to do"]
        self._list.value = render_table(Table(columns, cells, empty="No account yet: add one below."))["text/html"]
        chosen = self._choice.value
        options = [("a new one", _NEW), *((short, email) for email, short in shown.items())]
        self._choice.options = options
        self._choice.value = chosen if chosen in {value for _, value in options} else _NEW

    def _chosen(self) -> None:
        """Show the number of jobs of the chosen account. Its e-mail is known, and is not asked for."""
        self._place(asks=False)
        found = next((account for account in self.accounts if account.email == self._choice.value), None)
        self._most.value = RECOMMENDED_JOBS if found is None or found.max_jobs is None else found.max_jobs
        self._tell(self._email_problem, "")

    def _target(self) -> str:
        return str(self._choice.value or self._email.value)

    def _check_email(self, *, is_needed: bool = False) -> bool:
        typed = self._email.value
        try:
            if typed or is_needed:
                check_email(typed, is_new=True)
        except ArgumentInvalid:
            said = "Expected the e-mail of a Runway account, such as me@example.com, without blanks, /, ?, #, %."
            self._tell(self._email_problem, said)
            return False
        self._tell(self._email_problem, "")
        return True

    def _tell(self, place: Any, sentence: str) -> None:
        place.value = element("div", text(f"✗ {sentence}"), role="alert", style=_PROBLEM) if sentence else ""

    def _place(self, *, asks: bool) -> None:
        email = [] if self._choice.value else [self._email, self._email_problem]
        self.widget.children = [
            self._head, self._list, self._choice, *email, self._password.widget, self._password_problem, self._most,
            self._buttons, *([self._asking] if asks else []), self.status,
        ]  # fmt: skip

    def _set_disabled(self, is_disabled: bool) -> None:
        for button in (self._save, self._remove, self._refresh, self._yes, self._no):
            button.disabled = is_disabled

    def _button(self, title: str, work: Callable[[], None], tooltip: str, style: str = "") -> Any:
        button = self._look.make(
            widgets.Button, width="tight", description=title, tooltip=tooltip, button_style=style
        )  # fmt: skip
        button.on_click(lambda _: work())
        return button

    def _ipython_display_(self) -> None:
        from ...notebook.display import show_widget

        show_widget(self.widget, "[form for Runway accounts: run the cell to get its controls]")
        self.refresh()


def _as_password(typed: str) -> Password:
    return Password(typed, "the form")
