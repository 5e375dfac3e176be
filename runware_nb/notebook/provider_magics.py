"""The magics of providers: `%NAME COMMAND` runs a command of a provider's package, and `%%NAME` its cell magic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.magic import needs_local_scope, no_var_expand

from ..errors import MagicUsageError, RunwareNBError
from ..loading import FIRST_NEEDED, load
from ..providers.registry import load_module, package_named, packages
from .caller import caller_names
from .syntax import NOTEBOOK

if TYPE_CHECKING:
    from ..providers.package import ProviderPackage

__all__ = ["has_magic", "install_provider_magics", "remove_provider_magics"]


def has_magic(name: str) -> bool:
    """Return whether a word is the name of a provider that has magics."""
    package = package_named(name)
    return package is not None and bool(package.commands or package.cell_magic)


def install_provider_magics(shell: Any, defaults: Callable[[], dict[str, Any]]) -> None:
    """Add the magics of all providers to a shell. The modules behind them are loaded when they are first used.

    Args:
        shell: IPython's shell.
        defaults: Returns what `%config RunwareMagics` has set, by the names of a cell's options.
    """
    for package in packages():
        if has_magic(package.name):
            magic = _magic_of(package, shell, defaults)
            shell.register_magic_function(magic, magic_kind="line_cell", magic_name=package.name)


def remove_provider_magics(shell: Any) -> None:
    """Remove what `install_provider_magics` added."""
    for package in packages():
        for magics in shell.magics_manager.magics.values():
            if has_magic(package.name):
                magics.pop(package.name, None)


def _magic_of(package: ProviderPackage, shell: Any, defaults: Callable[[], dict[str, Any]]) -> Callable[..., None]:
    @no_var_expand
    @needs_local_scope
    def magic(line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> None:
        load(*FIRST_NEEDED)
        from .magic_runner import Runner

        try:
            if cell is None:
                Runner(shell, defaults(), local_ns).run_line(line, provider=package.name)
            elif package.cell_magic:
                runner = Runner(shell, defaults(), caller_names(dict(local_ns or {})))
                getattr(load_module(package.name, "magics"), package.cell_magic)(runner, line, cell)
            else:
                raise MagicUsageError(
                    f"%%{package.name} has no cells. Write the command and its options behind %{package.name}."
                )
        except RunwareNBError as error:
            error.syntax = NOTEBOOK
            raise

    magic.__doc__ = f"Commands for {package.summary}; `%{package.name} -h` lists them."
    return magic
