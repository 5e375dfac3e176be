"""`rw.runkey`: tasks of RunKey.ai in the session, with its log, budgets and recorded answers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import ArgumentInvalid, MagicUsageError
from ...loop import background_loop, wait
from ...reprs import short_repr
from ...session.api import as_tags
from ...session.current import current_session
from .planning import TASK_TYPE
from .provider import RunKeyProvider

if TYPE_CHECKING:
    from ...engine.jobs import Job
    from ..base import Account
    from ..webhook import Receiver
    from .protocol import RunKeyAccount, RunKeyTask

__all__ = ["Limits", "RunKeyApi", "account_and_limits", "runkey"]


class RunKeyApi:
    """RunKey.ai from Python. `RunKey` is the small client without session and log."""

    def __repr__(self) -> str:
        return "<runware_nb.runkey: run, task, account, receiver>"

    def run(
        self,
        template_id: str,
        input: Mapping[str, Any] | None = None,  # noqa: A002 - the service's own name
        *,
        fresh: bool = False,
        agreed: bool = False,
        tags: str | Iterable[str] | None = (),
        note: str | None = None,
        webhook_url: str | None = None,
        **inputs: Any,
    ) -> Job:
        """Run a template.

        With an integer `seed` in the input, an identical request is answered from the log at no cost.

        Args:
            template_id: The template, such as `tpl_abc123`.
            input: What the template takes. A result with a URL can be passed where the template takes a URL.
            fresh: Whether the service is asked again although the log has the answer.
            agreed: Whether its cost is agreed to beforehand.
            tags: A tag for the log, or several.
            note: A note for the log.
            webhook_url: URL that the service calls when the task has completed or failed; None takes that of the
                receiver of this session, else the setting `runkey_webhook_url`.
            **inputs: Further inputs, by name.

        Returns:
            A job: `.result()` waits, `await` waits too, and as the last line of a cell it shows itself.

        Raises:
            TaskInvalid: The input cannot be sent.
            ConfigError: There is no key.
            SpendingRefused: A budget does not cover it, or the user did not agree. Nothing was sent.
            ArgumentInvalid: A name is both in *input* and a parameter.
            MagicUsageError: An unknown name resembles one of the named arguments.
        """
        for name, value in inputs.items():
            _refuse_near_miss(name, value)
        twice = sorted((input or {}).keys() & inputs.keys()) if isinstance(input, Mapping) else []
        if twice:
            raise ArgumentInvalid("parameter", twice[0], "each input once, either in `input` or as a parameter")
        given = {**input, **inputs} if isinstance(input, Mapping) else inputs if input is None else input
        task: dict[str, Any] = {"taskType": TASK_TYPE, "model": template_id, "input": given}
        session = current_session()
        if webhook_url is not None:
            task["webhookURL"] = webhook_url
        return session.submit(task, service="runkey", fresh=fresh, agreed=agreed, tags=as_tags(tags), note=note)

    def receiver(
        self, *, port: int = 0, host: str = "127.0.0.1", public_url: str | None = None, secret_env: str = ""
    ) -> Receiver:
        """Start to receive callbacks in this session, and have later tasks carry the URL.

        RunKey signs its callbacks with the webhook secret of `RUNKEY_WEBHOOK_SECRET`. A callback only wakes the poll
        that waits for its task. Polls go on beside it, so nothing depends on callbacks.

        Args:
            port: Port to listen on; 0 for a free one.
            host: Address to listen on.
            public_url: URL of a tunnel or reverse proxy, under which the service reaches the port. Without it, only a
                sandbox on this machine is told to call.
            secret_env: Environment variable with the webhook secret; by default RUNKEY_WEBHOOK_SECRET or the keyring.

        Returns:
            The receiver, which ends with the session, or with `%runware webhook --stop`.

        Raises:
            ConfigError: One is running already, the port cannot be used, or there is no webhook secret.
        """
        session = current_session()
        names = (secret_env,) if secret_env else ()
        return session.callbacks.start(
            port=port, host=host, public_url=public_url, secret_variables=names, services=["runkey"]
        )

    def task(self, task_id: str) -> RunKeyTask:
        """Read a task from the service, whether or not it was submitted here. It costs nothing.

        Raises:
            TaskNotFound: The service does not know it.
            TransportError: The service cannot be reached.
        """
        return wait(background_loop().submit(_provider().client.task(task_id)))

    def account(self) -> Account:
        """Ask for the balance and the plan.

        Raises:
            AuthenticationFailed: The key is refused.
            TransportError: The service cannot be reached.
        """
        return wait(background_loop().submit(_provider().account()))


@short_repr()
@dataclass(frozen=True, slots=True)
class Limits:
    """What an account may do, by its plan and by what the service states.

    Attributes:
        requests_per_minute: API requests of any kind, polls among them.
        tasks_at_once: Tasks that may be unfinished at the same time.
    """

    requests_per_minute: int
    tasks_at_once: int


def account_and_limits() -> tuple[RunKeyAccount, Limits]:
    """Ask for the account, and return it with the limits that follow.

    Raises:
        AuthenticationFailed: The key is refused.
        TransportError: The service cannot be reached.
    """
    client = _provider().client
    account = wait(background_loop().submit(client.account()))
    return account, Limits(client.pace.limit, client.pace.tasks_at_once)


_ARGUMENTS = ("agreed", "fresh", "tags", "note", "webhook_url")
_OTHER_NAMES = {"yes": "agreed", "tag": "tags", "inputs": "input"}
_CUTOFF = 0.82
_SHORTEST_PREFIX = 4


def _refuse_near_miss(name: str, value: Any) -> None:
    """Refuse an input that was probably meant as an argument: it would be sent, and the argument not be in force.

    Raises:
        MagicUsageError: The name resembles that of an argument.
    """
    plain = {argument.replace("_", ""): argument for argument in _ARGUMENTS}
    typed = name.lower().replace("_", "")
    near = difflib.get_close_matches(typed, plain, n=1, cutoff=_CUTOFF)
    starts = [full for full in plain if len(typed) >= _SHORTEST_PREFIX and full.startswith(typed)]
    meant = _OTHER_NAMES.get(typed) or next((plain[full] for full in [*near, *starts]), None)
    if meant is None and typed != "service":
        return
    reason = "rw.runkey uses RunKey alone." if meant is None else f"did you mean {meant}?"
    raise MagicUsageError(
        f"Unknown argument {name!r:.60}: {reason} To pass it as an input, use input={{{name!r:.60}: {value!r:.40}}}. "
        "Nothing was sent."
    )


def _provider() -> RunKeyProvider:
    """Return the provider of the session in use.

    Raises:
        ConfigError: There is no key.
    """
    session = current_session()
    session.require_key("runkey")
    provider = session.provider("runkey")
    assert isinstance(provider, RunKeyProvider)
    return provider


runkey = RunKeyApi()
