"""The route for RunKey's callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..webhook import Route
from .package import RUNKEY_WEBHOOK_SECRET
from .signature import MAX_AGE_S, SignatureVerifier

if TYPE_CHECKING:
    from ...settings import Key
    from ..base import ProviderContext

__all__ = ["PATH", "build_route"]

PATH = "/runkey"


def build_route(context: ProviderContext, secrets: Sequence[Key] = (), *, max_age_s: float | None = MAX_AGE_S) -> Route:
    """Build the route for the callbacks of RunKey.

    Args:
        context: What the provider is built from. It has the webhook secret.
        secrets: Webhook secrets in place of that of the context.
        max_age_s: How far the timestamp of a callback may be from now, in seconds; None for no limit.

    Raises:
        ConfigError: There is no webhook secret.
    """
    verifier = SignatureVerifier(secrets or (context.key(RUNKEY_WEBHOOK_SECRET),), max_age_s=max_age_s)
    return Route("runkey", PATH, verifier.verify)
