"""What the package of the trial declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.provider_secrets import ProviderSecret
from ...settings import Place, Setting
from ..package import ProviderPackage

if TYPE_CHECKING:
    from ..base import Provider, ProviderContext

__all__ = ["PACKAGE", "SERVICES", "TRIAL_TOKEN"]

SERVICES = ("trial",)

TRIAL_TOKEN = ProviderSecret(
    provider="trial",
    label="Trial token",
    variables=("TRIAL_TOKEN",),
    shown="token",
    keyring_user="trial:{profile}",
)


def _build(context: ProviderContext) -> Provider:
    from .provider import TrialProvider

    return TrialProvider(context)


PACKAGE = ProviderPackage(
    name="trial",
    services=SERVICES,
    summary="the trial service",
    settings=(
        Setting(
            name="trial_url",
            kind=str,
            default="https://trial.example/v1",
            summary="the URL of the trial service",
            places=frozenset(Place) - {Place.PROJECT},
            variable="RUNWARE_NB_TRIAL_URL",
            is_url=True,
            schemes=("http", "https"),
        ),
    ),
    secrets=(TRIAL_TOKEN,),
    commands={"echo": "Echo", "status": "Status"},
    cell_magic="run_cell",
    form="build_form",
    exports={"TrialProvider": "provider:TrialProvider", "trial_services": "package:SERVICES"},
    build=_build,
)
