"""The secrets of RunKey.ai and the names of the service, for the declaration of the package and for its modules."""

from __future__ import annotations

from ...core.provider_secrets import ProviderSecret

__all__ = ["RUNKEY_KEY", "RUNKEY_URL", "RUNKEY_WEBHOOK_SECRET", "SERVICES"]

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
