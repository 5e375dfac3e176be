"""`rw.runkey`: tasks of RunKey.ai in the session, with its log, budgets and recorded answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import ArgumentInvalid
from ...loop import background_loop, wait
from ...session.api import as_tags
from ...session.current import current_session
from .planning import TASK_TYPE
from .provider import RunKeyProvider

if TYPE_CHECKING:
    from ...engine.jobs import Job
    from ..base import Account
    from ..webhook import Receiver
    from .protocol import RunKeyTask

__all__ = ["RunKeyApi", "runkey"]


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
        """
        twice = sorted((input or {}).keys() & inputs.keys()) if isinstance(input, Mapping) else []
        if twice:
            raise ArgumentInvalid("parameter", twice[0], "each input once, either in `input` or as a parameter")
        given = {**input, **inputs} if isinstance(input, Mapping) else inputs if input is None else input
        task: dict[str, Any] = {"taskType": TASK_TYPE, "model": template_id, "input": given}
        session = current_session()
        webhook_url = webhook_url or session.callbacks.url_of("runkey")
        if webhook_url is not None:
            task["webhookURL"] = webhook_url
        return session.submit(task, service="runkey", fresh=fresh, agreed=agreed, tags=as_tags(tags), note=note)

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

    def receiver(
        self, *, port: int = 0, host: str = "127.0.0.1", public_url: str | None = None, secret_env: str = ""
    ) -> Receiver:
        """Start a receiver of callbacks beside the notebook. It ends with the session.

        A callback whose signature is right wakes the wait for its task, which then reads the task. Everything else is
        refused, and polls go on in any case.

        Args:
            port: Port to listen on; 0 for a free one.
            host: Address to listen on.
            public_url: URL under which RunKey.ai reaches this machine, such as that of a tunnel.
            secret_env: Environment variable with the webhook secret; by default RUNKEY_WEBHOOK_SECRET or the keyring.

        Raises:
            ConfigError: There is no webhook secret, a receiver is running, or the port cannot be used.
        """
        names = (secret_env,) if secret_env else ()
        return current_session().callbacks.start(port=port, host=host, public_url=public_url, secret_variables=names)


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
