"""Names of one's own for models; each remembers the version it meant when it was given."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.air import parse_air
from ..errors import ArgumentInvalid, ConfigError
from ..loop import background_loop, wait
from ..media.medium import write_whole
from ..media.store import ensure_private_folder
from ..providers.runware.catalog import find_model, listed_models, nearest_names
from ..remedies import Remedy, command
from ..reprs import short_repr

if TYPE_CHECKING:
    from ..providers.runware.client import Client

__all__ = ["Alias", "AliasBook"]

_FILE = "aliases.json"


@short_repr()
@dataclass(frozen=True, slots=True)
class Alias:
    """One name.

    Attributes:
        air: AIR identifier, version included: what the name means from now on, whatever is published later.
        asked: What was typed when the name was given.
        given_at_utc: When, in ISO 8601.
    """

    air: str
    asked: str
    given_at_utc: str


class AliasBook:
    """The aliases of a home folder.

    Args:
        home: Returns the folder of the log.
        client: Returns the client that asks the service about versions.
    """

    def __init__(self, home: Callable[[], Path], client: Callable[[], Client]) -> None:
        self._home = home
        self._client = client
        self._read: tuple[tuple[object, ...], dict[str, Alias]] | None = None

    def all(self) -> Mapping[str, Alias]:
        """Give every alias, by name.

        Raises:
            ConfigError: The file cannot be read.
        """
        path = self._home() / _FILE
        try:
            stat = path.stat()
        except OSError:
            return {}
        stamp = (path, stat.st_mtime_ns, stat.st_size)
        if self._read is None or self._read[0] != stamp:
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
                self._read = stamp, {str(name): Alias(**each) for name, each in kept.items()}
            except (OSError, ValueError, TypeError, AttributeError) as error:
                raise ConfigError(f"{path} cannot be read: {error}; move it away to begin anew") from error
        return self._read[1]

    def air_of(self, name: str) -> str:
        """Give what a name means: an alias, a name of the catalogue, or itself."""
        own = self.all().get(name.strip().lower())
        model = None if own is not None else find_model(name)
        return own.air if own is not None else model.air if model is not None else name

    def give(self, name: str, meant: str) -> Alias:
        """Give a model a name.

        Args:
            name: Letters, digits, dashes.
            meant: An AIR identifier, with or without a version, or a name that the catalogue or the service knows.

        Raises:
            ArgumentInvalid: The name cannot be used, or no model is meant.
            ConfigError: There is no key to ask with, or the file cannot be written.
        """
        word = name.strip().lower()
        if not word or not all(letter.isalnum() or letter in "-_." for letter in word):
            raise ArgumentInvalid("alias", name, "only letters, digits, dashes, underscores and dots")
        made = Alias(
            self._resolved(meant.strip()), meant.strip(), dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        )
        self._write({**self.all(), word: made})
        return made

    def drop(self, name: str) -> None:
        """Remove a name.

        Raises:
            ArgumentInvalid: There is no alias of this name.
            ConfigError: The file cannot be written.
        """
        kept = dict(self.all())
        if kept.pop(name.strip().lower(), None) is None:
            known = f"one of the aliases {', '.join(kept)}" if kept else "an alias, and there are none"
            raise ArgumentInvalid("alias", name, known)
        self._write(kept)

    def _resolved(self, meant: str) -> str:
        """Find the version that a name means today."""
        air = self.air_of(meant)
        if parse_air(air) is not None:
            return air
        client = self._client()
        found = wait(background_loop().submit(client.search_models(meant.rpartition(":")[2] or meant, limit=50)))
        listed = listed_models(found)
        airs = [model.air for model in listed]
        same = [each for each in airs if each.partition("@")[0] == meant]
        names = [model.air for model in listed if model.name.lower() == meant.lower()]
        if same or len(names) == 1:
            return max(same, key=_version) if same else names[0]
        near = [*airs[:3], *nearest_names(meant)]
        hint = f", such as {near[0]}" if near else ""
        error = ArgumentInvalid("model", meant, f"a model that is known here or at the service{hint}")
        raise error if near else error.with_remedy(Remedy("{0} searches models.", (command("models", meant),)))

    def _write(self, kept: Mapping[str, Alias]) -> None:
        home = self._home()
        try:
            ensure_private_folder(home)
            write_whole(
                home / _FILE, json.dumps({name: asdict(each) for name, each in kept.items()}, indent=1).encode()
            )
        except OSError as error:
            raise ConfigError(f"{home / _FILE} cannot be written: {error.strerror or error}") from error


def _version(air: str) -> tuple[int, Any]:
    """Order versions: by number where they are numbers, which the highest of is the newest."""
    version = air.rpartition("@")[2]
    return (1, int(version)) if version.isdecimal() else (0, version)
