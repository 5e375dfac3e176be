"""What the package of useapi.net declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.provider_secrets import ProviderSecret
from ...loading import load
from ...settings import Place, Setting
from ..package import ProviderPackage

if TYPE_CHECKING:
    from ..base import Provider, ProviderContext

__all__ = ["PACKAGE", "RUNWAY_PASSWORD", "USEAPI_TOKEN"]

_NOT_IN_PROJECTS = frozenset(Place) - {Place.PROJECT}
"""A project's file may come from a cloned repository, and must not decide where tokens are sent."""

USEAPI_TOKEN = ProviderSecret(
    provider="useapi",
    label="useapi.net token",
    variables=("USEAPI_TOKEN",),
    shown="token",
    shape=r"user:\d+-[A-Za-z0-9]{16,}",
    keyring_user="useapi:{profile}",
    get_it_at="https://useapi.net",
)
RUNWAY_PASSWORD = ProviderSecret(
    provider="useapi",
    label="Runway password",
    variables=("USEAPI_RUNWAY_PASSWORD",),
    shown="password",
    asked_by=("useapi account", "add", "EMAIL"),
)
"""It is declared so that it is redacted and found in what is shared. No keyring entry: it is used once, to add an
account."""


def _build(context: ProviderContext) -> Provider:
    # by name: an import here and the imports of these declarations in the provider would be a circle
    provider: Provider = load("providers.useapi.provider").UseApiProvider(context)
    return provider


PACKAGE = ProviderPackage(
    name="useapi",
    services=("useapi", "useapi-sandbox"),
    summary="useapi.net: your own Runway accounts through an unofficial proxy",
    settings=(
        Setting(
            name="useapi_url",
            kind=str,
            default="https://api.useapi.net",
            summary="the URL of useapi.net",
            places=_NOT_IN_PROJECTS,
            variable="RUNWARE_NB_USEAPI_URL",
            is_url=True,
            schemes=("http", "https"),
        ),
        Setting(
            name="useapi_reply_url",
            kind=str,
            default="",
            default_text="none",
            summary="the public URL of your receiver of callbacks from useapi.net, with the token in its path",
            places=_NOT_IN_PROJECTS,
            variable="RUNWARE_NB_USEAPI_REPLY_URL",
            is_url=True,
            hides_path=True,  # callbacks are not signed, so whoever knows the path can send some
        ),
    ),
    secrets=(USEAPI_TOKEN, RUNWAY_PASSWORD),
    commands={
        "accounts": "Accounts",
        "account": "Account",
        "video": "video",
        "image": "image",
        "frames": "frames",
        "create": "create",
        "task": "OneTask",
        "tasks": "Tasks",
        "credits": "Credits",
        "models": "Models",
        "assets": "Assets",
        "asset": "OneAsset",
        "form": "FormCommand",
    },
    cell_magic="run_cell",
    form="build_form",
    python_call="python_call",
    shorten="shorten",
    citation="the Runway API of useapi.net (https://useapi.net)",
    callbacks="build_route",
    exports={"UseApi": "client:UseApi", "useapi": "api:useapi"},
    build=_build,
)
