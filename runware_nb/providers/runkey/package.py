"""What the package of RunKey.ai declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.provider_secrets import ProviderSecret
from ...loading import load
from ...settings import Place, Setting
from ..package import ProviderPackage

if TYPE_CHECKING:
    from ..base import Provider, ProviderContext

__all__ = ["PACKAGE", "RUNKEY_KEY", "RUNKEY_URL", "RUNKEY_WEBHOOK_SECRET", "SERVICES"]

SERVICES = ("runkey", "runkey-sandbox")
"""The names under which the log records runs: of the service, and of a sandbox on this machine."""

RUNKEY_URL = "https://api.runkey.ai/v1"

RUNKEY_KEY = ProviderSecret(
    provider="runkey",
    label="RunKey.ai API key",
    variables=("RUNKEY_API_KEY",),
    shape=r"rk_live_[A-Za-z0-9_-]{8,}",
    keyring_user="runkey:{profile}",
    get_it_at="https://runkey.ai",
)

RUNKEY_WEBHOOK_SECRET = ProviderSecret(
    provider="runkey",
    label="RunKey.ai webhook secret",
    variables=("RUNKEY_WEBHOOK_SECRET",),
    shown="secret",
    keyring_user="runkey-webhook:{profile}",
)

_NOT_IN_PROJECTS = frozenset(Place) - {Place.PROJECT}
"""A cloned repository must not decide where a key or a callback is sent."""


def _build(context: ProviderContext) -> Provider:
    # By name: the provider imports the declarations above, and they must not import it.
    provider: Provider = load("providers.runkey.provider").RunKeyProvider(context)
    return provider


PACKAGE = ProviderPackage(
    name="runkey",
    services=SERVICES,
    summary="tasks from RunKey.ai templates",
    settings=(
        Setting(
            name="runkey_url",
            kind=str,
            default=RUNKEY_URL,
            summary="the URL of the RunKey.ai API",
            places=_NOT_IN_PROJECTS,
            variable="RUNWARE_NB_RUNKEY_URL",
            is_url=True,
            schemes=("https", "http"),
        ),
        Setting(
            name="runkey_webhook_url",
            kind=str,
            default="",
            summary="the public URL that RunKey.ai calls when a task ends",
            places=_NOT_IN_PROJECTS,
            variable="RUNWARE_NB_RUNKEY_WEBHOOK_URL",
            is_url=True,
            default_text="none",
        ),
        Setting(
            name="runkey_plan",
            kind=str,
            default="auto",
            summary="the plan of the account, which decides its limits",
            variable="RUNWARE_NB_RUNKEY_PLAN",
            choices={"auto": "ask the service", "free": "", "pro": "", "team": ""},
        ),
    ),
    secrets=(RUNKEY_KEY, RUNKEY_WEBHOOK_SECRET),
    commands={"run": "Run", "task": "Task", "account": "Account", "form": "Form", "webhook": "Webhook"},
    cell_magic="run_cell",
    form="build_form",
    python_call="python_call",
    callbacks="build_route",
    citation="the RunKey.ai API (https://runkey.ai)",
    exports={"RunKey": "client:RunKey", "runkey": "api:runkey"},
    build=_build,
)
