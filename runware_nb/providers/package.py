"""What the package of a provider declares.

The declarations of all providers are read with the settings, so this module and the modules `package` load little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..reprs import short_repr

if TYPE_CHECKING:
    from ..core.provider_secrets import ProviderSecret
    from ..settings import Setting
    from .base import Provider, ProviderContext

__all__ = ["ProviderPackage"]


@short_repr()
@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPackage:
    """What the package of a provider brings. Its module `package` declares it, and imports nothing heavy.

    Its modules `callbacks`, `commands`, `magics` and `forms` are loaded when they are first used. The last three may
    import what the packages `runware_nb.commands` and `runware_nb.notebook` may import; all other modules belong to the
    layer of providers.

    Attributes:
        name: Name of the provider, such as `runkey`: as in `login NAME`, `%NAME COMMAND` and `runware-nb NAME COMMAND`.
        services: The names under which the log records its runs: the service, and its sandbox.
        summary: What the service is, as a phrase, for the list of commands.
        settings: Its settings, whose names begin with `NAME_`. Parsing, precedence, `config` and its help, and
            `docs/settings.md` follow from them. `Settings.value` returns their values.
        secrets: Its secrets. Redaction, the search in bundles, the keyring and `login` follow from them.
        commands: The names of its commands, and the name of each in its module `commands`. See `commands.base.Command`.
        cell_magic: The function of its module `magics` that runs a `%%NAME` cell. It gets the
            `notebook.running.Runner`, the line and the cell; empty if there are no such cells.
        callbacks: The function of its module `callbacks` that builds the route of its callbacks, a
            `providers.webhook.Route`, from a `ProviderContext` and the secrets that are used in place of its own; empty
            if the service calls no URL.
        form: The function of its module `forms` that `rw.form("NAME:...")` calls with the session, the text after the
            colon and the other arguments; empty if it has no forms.
        exports: The names that it adds to `runware_nb`, and where each is: `{"RunKey": "client:RunKey"}` is `RunKey` of
            its module `client`. They are loaded when they are first used.
        build: Builds the provider for a session; None for Runware, whose connection belongs to the session itself.

    Raises:
        ValueError: The name of a setting does not begin with the name of the provider.
    """

    name: str
    services: tuple[str, ...]
    summary: str = ""
    settings: tuple[Setting, ...] = ()
    secrets: tuple[ProviderSecret, ...] = ()
    commands: Mapping[str, str] = field(default_factory=dict)
    cell_magic: str = ""
    form: str = ""
    callbacks: str = ""
    exports: Mapping[str, str] = field(default_factory=dict)
    build: Callable[[ProviderContext], Provider] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for setting in self.settings:
            if not setting.name.startswith(f"{self.name}_"):
                raise ValueError(f"Invalid setting {setting.name!r} of {self.name}: its name begins with {self.name}_.")
