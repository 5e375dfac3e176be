"""Saved prompts and wildcards: text files of a project, next to its notebooks.

They come with a project, also with one of another person. They are data: nothing in them is run, a name is never a
path out of its folder, and a link that leads out of it is not followed.
"""

from __future__ import annotations

import difflib
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from ..core.key_shapes import contains_key
from ..core.redaction import known_secrets
from ..engine.submission import contains_secret
from ..errors import ArgumentInvalid, ConfigError
from ..media.medium import write_whole
from ..media.store import ensure_private_folder
from ..remedies import Command, Remedy, command
from ..settings import remember_secrets

__all__ = ["PromptFiles", "TextFolder", "WildcardFiles", "is_name"]

_NAME = re.compile(r"[^\W_][\w-]*(?:/[^\W_][\w-]*){0,7}")
_LONGEST_NAME = 100
_MOST_PROMPT_BYTES = 64 * 1024
_MOST_WILDCARD_BYTES = 4 * 1024 * 1024
_MOST_LISTED = 2_000
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
"""Names of devices on Windows, which cannot be names of files there."""
_OPTION = re.compile(r"\s*(?P<weight>\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})::(?P<text>.*)")


def is_name(name: str) -> bool:
    """Return whether a text can be the name of a saved prompt or of a wildcard, such as `studio` or `people/hair`."""
    parts = name.split("/")
    return (
        _NAME.fullmatch(name) is not None
        and len(name) <= _LONGEST_NAME
        and not name.endswith("__")
        and not any(_RESERVED.fullmatch(part) for part in parts)
    )


class TextFolder:
    """A folder of text files in the project.

    Args:
        name: Its name in the project's folder.
        project: Returns the project's folder; None if the working directory was deleted.
        most_bytes: The size of the largest file that is read.
    """

    def __init__(self, name: str, project: Callable[[], Path | None], most_bytes: int) -> None:
        self.name = name
        self._project = project
        self._most_bytes = most_bytes

    @property
    def path(self) -> Path:
        """The folder.

        Raises:
            ConfigError: The working directory was deleted.
        """
        project = self._project()
        if project is None:
            raise ConfigError(
                "The working directory was deleted. Change to another one and run this again. Nothing was sent."
            )
        return project / self.name

    @property
    def is_there(self) -> bool:
        """Whether the project has this folder."""
        project = self._project()
        try:
            return project is not None and (project / self.name).is_dir()
        except OSError:
            return False

    def file_of(self, name: str) -> Path:
        """Return the path of a name, which was checked with `is_name`."""
        return self.path / f"{unicodedata.normalize('NFC', name)}.txt"

    def names(self) -> list[str]:
        """List the names of all files, sorted; files with other names are left out."""
        if not self.is_there:
            return []
        folder = self.path
        found: list[str] = []
        for path in self._files(folder, 0):
            name = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
            if is_name(name):
                found.append(name)
        return sorted(found)

    def _files(self, folder: Path, depth: int) -> Iterator[Path]:
        """Yield the text files below a folder, at most so many; links to folders are not followed."""
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            return
        for number, path in enumerate(entries):
            if number >= _MOST_LISTED:
                return
            if path.suffix == ".txt":
                yield path
            elif depth < 7 and path.is_dir() and not path.is_symlink():
                yield from self._files(path, depth + 1)

    def read(self, name: str) -> str | None:
        """Return the text of a file, without a byte order mark and with plain line ends; None if there is no file.

        Raises:
            ConfigError: The file is too large, is not text, or cannot be read. Nothing was sent.
        """
        if not is_name(name) or not self.is_there:
            return None
        path = self.file_of(name)
        shown = f"{self.name}/{name}.txt"
        try:
            # A link to a file elsewhere could send a private file of this user to the service.
            if not path.resolve().is_relative_to(self.path.resolve()):
                raise ConfigError(f"{shown} is a link that leads out of the folder {self.name}. Nothing was sent.")
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"{shown} is not a file. Nothing was sent.")
            if status.st_size > self._most_bytes:
                raise ConfigError(
                    f"{shown} has {status.st_size:,} bytes, and at most {self._most_bytes:,} are read. Nothing was "
                    "sent."
                )
            text = path.read_bytes().decode("utf-8-sig")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except UnicodeDecodeError:
            raise ConfigError(f"{shown} is not UTF-8 text. Nothing was sent.") from None
        except (OSError, RuntimeError) as error:  # a RuntimeError: links in a circle, before Python 3.13
            reason = getattr(error, "strerror", None) or "it is a link to itself"
            raise ConfigError(f"{shown} cannot be read: {reason}. Nothing was sent.") from error
        if "\x00" in text:
            raise ConfigError(f"{shown} is not text: it contains a NUL character. Nothing was sent.")
        return text.replace("\r\n", "\n").replace("\r", "\n")


class PromptFiles:
    """The saved prompts of a project: `prompts/NAME.txt`, whose whole text is the prompt.

    Args:
        project: Returns the project's folder; None if the working directory was deleted.
        home: Returns the folder of the log, which keeps what was replaced or deleted.
    """

    def __init__(self, project: Callable[[], Path | None], home: Callable[[], Path]) -> None:
        self._folder = TextFolder("prompts", project, _MOST_PROMPT_BYTES)
        self._home = home

    def names(self) -> list[str]:
        """List the names, sorted."""
        return self._folder.names()

    def find(self, name: str) -> str | None:
        """Return a saved prompt; None if there is none of this name.

        Raises:
            ConfigError: Its file cannot be used.
        """
        text = self._folder.read(name)
        return None if text is None else text.strip("\n")

    def get(self, name: str) -> str:
        """Return a saved prompt.

        Raises:
            ArgumentInvalid: There is none of this name.
            ConfigError: Its file cannot be used.
        """
        text = self.find(name)
        if text is None:
            raise self._unknown(name)
        return text

    def path_of(self, name: str) -> Path:
        """Return the file of a saved prompt."""
        return self._folder.file_of(name)

    def save(self, name: str, text: str, *, replace: bool = False) -> bool:
        """Save a prompt; return whether another one was replaced.

        Args:
            name: Letters, digits, dashes and underscores; slashes for folders.
            text: The prompt.
            replace: Whether a saved prompt of this name is replaced. The old one can be restored.

        Raises:
            TaskInvalid: The name or the text contains a key. Nothing was written.
            ArgumentInvalid: The name cannot be used, the text is empty or too long, or there is a prompt of this name.
            ConfigError: The file cannot be written.
        """
        _refuse_secrets(name, text)
        self._check(name)
        text = text.strip("\r\n").replace("\r\n", "\n")
        if not text.strip():
            raise ArgumentInvalid("text", text, "the text of a prompt, which is not empty")
        if len(text.encode(errors="surrogatepass")) > _MOST_PROMPT_BYTES or "\x00" in text:
            raise ArgumentInvalid("text", text, f"text without NUL characters, of at most {_MOST_PROMPT_BYTES:,} bytes")
        old = self.find(name) if self._exists(name) else None
        if old == text:
            return False
        if old is not None and not replace:
            raise ArgumentInvalid(
                "name", name, f"a new name: there is a saved prompt of this name, {old[:60]!r}. Nothing was changed"
            ).with_remedy(Remedy("{0} replaces it.", (_replacing(name),)))
        if old is not None:
            self._keep(name, old)
        self._write(self._folder.file_of(name), text)
        return old is not None

    def delete(self, name: str) -> None:
        """Delete a saved prompt; `restore` brings it back, unless it contains a key, which is not kept.

        Raises:
            ArgumentInvalid: There is none of this name.
            ConfigError: The file cannot be deleted.
        """
        self._keep(name, self.get(name))
        self._remove(name)

    def rename(self, name: str, new: str) -> None:
        """Rename a saved prompt.

        Raises:
            TaskInvalid: The new name or the prompt contains a key. Nothing was changed.
            ArgumentInvalid: There is none of this name, or the new name cannot be used or is taken.
            ConfigError: The file cannot be written.
        """
        text = self.get(name)
        _refuse_secrets(new, text)
        self._check(new)
        if self._exists(new):
            raise ArgumentInvalid("new name", new, "a name that no saved prompt has. Nothing was changed")
        self._write(self._folder.file_of(new), text)
        self._remove(name)

    def restore(self, name: str) -> str:
        """Bring back a prompt that was deleted or replaced last, and return it. What is there now can be restored.

        Raises:
            TaskInvalid: It contains a key. Nothing was changed.
            ArgumentInvalid: Nothing was deleted or replaced under this name.
            ConfigError: The file cannot be written.
        """
        self._check(name)
        kept = self._kept(name)
        try:
            text = kept.read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise ArgumentInvalid("name", name, "a saved prompt that was deleted or replaced here") from None
        _refuse_secrets(name, text)
        now = self.find(name)
        if now is None:
            kept.unlink(missing_ok=True)
        else:
            self._keep(name, now)
        self._write(self._folder.file_of(name), text)
        return text

    def _exists(self, name: str) -> bool:
        path = self._folder.file_of(name)
        return path.is_symlink() or path.exists()

    def _check(self, name: str) -> None:
        if not is_name(name):
            raise ArgumentInvalid(
                "name", name, "letters, digits, dashes and underscores, such as studio or portraits/studio"
            )

    def _unknown(self, name: str) -> ArgumentInvalid:
        names = self.names()
        near = difflib.get_close_matches(name, names, n=1)
        known = (
            f"the nearest is {near[0]}" if near else f"there are {', '.join(names[:10])}" if names else "there is none"
        )
        return ArgumentInvalid("name", name, f"a saved prompt; {known}")

    def _kept(self, name: str) -> Path:
        return self._home() / "deleted-prompts" / f"{unicodedata.normalize('NFC', name)}.txt"

    def _keep(self, name: str, text: str) -> None:
        """Keep a prompt that is about to be replaced or deleted, for `restore`. A key is not copied anywhere."""
        if _has_secret(text):
            return
        try:
            ensure_private_folder(self._home())
        except OSError as error:
            raise ConfigError(f"{self._home()} cannot be written: {error.strerror or error}.") from error
        self._write(self._kept(name), text)

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, f"{text}\n".encode())
        except UnicodeEncodeError:
            raise ArgumentInvalid("text", text, "whole characters, and not half of a surrogate pair") from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from error

    def _remove(self, name: str) -> None:
        path = self._folder.file_of(name)
        try:
            path.unlink()
        except OSError as error:
            raise ConfigError(f"{path} cannot be deleted: {error.strerror or error}.") from error


def _refuse_secrets(name: str, text: str) -> None:
    """Raise if a prompt or its name contains a key: a project's folder is shared, and a prompt would be sent.

    Raises:
        TaskInvalid: It does; the message does not show it.
    """
    for path, value in (("name", name), ("text", text)):
        if _has_secret(value):
            raise contains_secret(path)


def _has_secret(text: str) -> bool:
    remember_secrets()
    return known_secrets.is_in(text) or contains_key(text)


def _replacing(name: str) -> Command:
    return command("prompt", "save", name, "...", replace=True, python=f"rw.prompts.save({name!r}, ..., replace=True)")


class WildcardFiles:
    """The wildcards of a project: `wildcards/NAME.txt`, with one option on each line.

    Args:
        project: Returns the project's folder; None if the working directory was deleted.
    """

    def __init__(self, project: Callable[[], Path | None]) -> None:
        self._folder = TextFolder("wildcards", project, _MOST_WILDCARD_BYTES)

    @property
    def is_there(self) -> bool:
        """Whether the project has a folder of wildcards."""
        return self._folder.is_there

    def names(self) -> list[str]:
        """List the names, sorted."""
        return self._folder.names()

    def options(self, name: str) -> list[tuple[float, str]] | None:
        """Return the options of a wildcard with their weights; None if there is no such file.

        Raises:
            ConfigError: The file cannot be used, or it has no option. Nothing was sent.
        """
        text = self._folder.read(name)
        if text is None:
            return None
        options: list[tuple[float, str]] = []
        for line in text.split("\n"):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            match = _OPTION.fullmatch(line)
            weight, option = (1.0, line) if match is None else (float(match["weight"]), match["text"])
            option = option.strip()
            options.append((weight, option[1:] if option.startswith("\\#") else option))
        if not any(weight > 0 for weight, _ in options):
            raise ConfigError(
                f"wildcards/{name}.txt has no option to draw: every line is empty, a comment, or has weight 0. "
                "Nothing was sent."
            )
        return options
