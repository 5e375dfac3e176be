"""Reading a bundle of somebody else's: nothing in it is believed, and nothing in it runs."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import stat
import sys
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..core.media_types import sniff
from ..errors import BundleError
from ..media.provenance import without_origin
from ..runlog import ResultRecord
from .checks import is_media_name
from .records import Records, read_lines

__all__ = [
    "EXTRA", "LARGEST_TEXT", "LOCK", "MANIFEST", "METADATA", "PREVIEW", "README", "RECORDS", "REQUIREMENTS", "Bundle",
    "is_extra_name", "read_bundle",
]  # fmt: skip

METADATA = "ro-crate-metadata.json"
PREVIEW = "ro-crate-preview.html"
RECORDS = "records.jsonl"
MANIFEST = "manifest-sha256.txt"
README = "README.md"
REQUIREMENTS = "requirements.txt"
LOCK = "requirements-lock.txt"
EXTRA = "files/"
_ROOT_FILES = frozenset({METADATA, PREVIEW, RECORDS, MANIFEST, README, REQUIREMENTS, LOCK})
_PART = re.compile(r"[^/\\\x00-\x1f:*?\"<>|.~][^/\\\x00-\x1f:*?\"<>|]{0,199}")
_DEVICE = re.compile(r"(?i)(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?")
_RUN_BY_THEMSELVES = frozenset({
    "sitecustomize.py", "usercustomize.py", "conftest.py", "pyproject.toml", "runware_nb.py", "ipython_config.py",
    "ipython_kernel_config.py", "jupyter_server_config.py", "jupyter_notebook_config.py", "jupyter_lab_config.py",
})  # fmt: skip
"""What Python, Jupyter or this package read by themselves in a folder: opening a bundle runs nothing."""
_NOTEBOOK = re.compile(r"[^/\\\x00-\x1f:*?\"<>|]{1,200}\.ipynb")
_MOST_FILES = 100_000
_LARGEST_FILE = 2 * 1024**3
LARGEST_TEXT = 256 * 1024**2
_LARGEST = 64 * 1024**3
_MOST_RATIO = 200
"""Text shrinks to about a tenth. A file that shrinks to less than a two-hundredth was made to fill the disk."""
_RATIO_FROM = 1024**2
"""Total bytes up to which the ratio is not checked, because a few short texts may shrink further."""
_DEEPEST = 12
_LOCAL_HEADER = 30
_PIECE = 1024**2


class Bundle:
    """An open bundle. Use `read_bundle`.

    Args:
        sizes: Size of each file by name.
        opener: Opens one for reading.
    """

    def __init__(self, sizes: Mapping[str, int], opener: Any) -> None:
        self.sizes = sizes
        self._opener = opener

    @property
    def notebooks(self) -> list[str]:
        """Names of its notebooks."""
        return sorted(name for name in self.sizes if _NOTEBOOK.fullmatch(name))

    def read(self, name: str, *, most: int = _LARGEST_FILE) -> bytes:
        """Read a file.

        Raises:
            BundleError: It is not there, or larger than it says or than is taken.
        """
        pieces, total = [], 0
        for piece in self.pieces(name):
            total += len(piece)
            if total > most:
                raise BundleError(f"{name} is larger than {most:,} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Read a file piece by piece, and never more of it than it says it has.

        Raises:
            BundleError: It is not there, broken, or longer than that.
        """
        if name not in self.sizes:
            raise BundleError(f"{name} is missing")
        left = self.sizes[name]
        try:
            with self._opener(name) as file:
                while piece := file.read(_PIECE):
                    left -= len(piece)
                    if left < 0:
                        raise BundleError(f"{name} is longer than the size that its directory entry states")
                    yield piece
        except (OSError, zipfile.BadZipFile, EOFError, ValueError, RuntimeError, NotImplementedError) as error:
            raise BundleError(f"{name} cannot be read: {error}") from error

    @property
    def extra_files(self) -> list[str]:
        """Names of the files that were added, relative to the notebook."""
        return sorted(name.removeprefix(EXTRA) for name in self.sizes if name.startswith(EXTRA))

    def records(self, *, tolerant: bool = False) -> Records:
        """Read its runs.

        Args:
            tolerant: Whether a record that cannot be read is left out and named, as `read_lines` does.

        Raises:
            BundleError: They are not records of this package.
        """
        # not splitlines(): a prompt may hold U+2028 and its like, which JSON writes as they are
        try:
            return read_lines(self.text(RECORDS).split("\n"), tolerant=tolerant)
        except BundleError as error:
            raise BundleError(f"{RECORDS}, {error}" if str(error).startswith("line ") else str(error)) from error

    def text(self, name: str) -> str:
        """Read a file of text.

        Raises:
            BundleError: It is not UTF-8, or too large.
        """
        try:
            return self.read(name, most=LARGEST_TEXT).decode("utf-8")
        except UnicodeDecodeError as error:
            raise BundleError(f"{name} is not UTF-8") from error

    def medium(self, name: str) -> str | None:
        """Give a medium as a data URI; None where it is not in the bundle."""
        if not is_media_name(name) or f"media/{name}" not in self.sizes:
            return None
        body = self.read(f"media/{name}")
        return f"data:{sniff(body) or 'application/octet-stream'};base64,{base64.b64encode(body).decode()}"

    def check(self, *, tolerant: bool = False) -> int:
        """Check every file against the manifest, and what the records name against both.

        Args:
            tolerant: Whether a single record may be unreadable.

        Returns:
            How many files were checked.

        Raises:
            BundleError: One is missing, changed or not listed.
        """
        listed = _manifest(self.text(MANIFEST))
        for name in self.sizes:
            if name not in listed and name != MANIFEST:
                raise BundleError(f"{name} is not in {MANIFEST}: it was added later")
        for name, expected in listed.items():
            digest = hashlib.sha256()
            for piece in self.pieces(name):
                digest.update(piece)
            if digest.hexdigest() != expected:
                raise BundleError(f"{name} has been changed: its SHA-256 is not the one in {MANIFEST}")
        self._check_records(listed, tolerant=tolerant)
        self._check_crate()
        return len(listed)

    def _check_records(self, listed: Mapping[str, str], *, tolerant: bool) -> None:
        for run in self.records(tolerant=tolerant).runs:
            for result in run.results:
                if result.file is None or result.medium_state != "stored":
                    continue
                name = f"result #{result.position + 1} of run {run.task_uuid[:8]}"
                digest = listed.get(f"media/{result.file}")
                if digest is None:
                    raise BundleError(f"{name} is missing: {result.file}")
                if digest != (result.stored_sha256 or result.received_sha256):
                    raise BundleError(f"{name} is not what was logged")
                self._check_received(name, result, digest)

    def _check_received(self, name: str, result: ResultRecord, digest: str) -> None:
        """Check that a file contains the bytes that the service sent, as far as the file can prove it.

        The bytes received can be restored from a PNG. EXIF and XMP are merged into a JPEG or WebP, so its bytes can be
        restored only if it had none. `compare` and `replay` therefore compare the pixels as well.
        """
        if result.received_sha256 in {None, digest}:
            return
        body = self.read(f"media/{result.file}")
        if sniff(body) == "image/png" and hashlib.sha256(without_origin(body)).hexdigest() != result.received_sha256:
            raise BundleError(f"{name} does not contain the image that was received")

    def _check_crate(self) -> None:
        try:
            crate = json.loads(self.text(METADATA))
            named = {item["@id"] for item in crate["@graph"] if item.get("@type") == "File"}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BundleError(f"{METADATA} is no RO-Crate: {error}") from error
        for name in named:
            if name not in self.sizes:
                raise BundleError(f"{METADATA} names {_quoted(str(name))}, which is missing")


@contextlib.contextmanager
def read_bundle(path: Path) -> Iterator[Bundle]:
    """Open a bundle, a zip file or a directory.

    Raises:
        BundleError: It is none, or its names or sizes would do harm.
    """
    if path.is_dir():
        sizes = _walk(path)
        yield Bundle(sizes, lambda name: (path / name).open("rb"))
        return
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise BundleError(f"there is no {path}") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path} is no bundle: {error}") from error
    with archive:
        sizes = _sizes_in(archive, path.stat().st_size)

        def opener(name: str) -> BinaryIO:
            return archive.open(name)  # type: ignore[return-value]

        yield Bundle(sizes, opener)


def _walk(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    seen: set[str] = set()
    total = 0
    waiting = [(folder, 0)]
    while waiting:
        place, depth = waiting.pop()
        for path in sorted(place.iterdir()):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink():
                raise BundleError(f"{_quoted(name)} is a symbolic link: expected regular files only")
            if path.name.startswith("."):
                continue  # what file managers leave behind
            if path.is_dir():
                if depth >= _DEEPEST:
                    raise BundleError(f"{_quoted(name)} is more than {_DEEPEST} folders deep")
                waiting.append((path, depth + 1))
                continue
            if not stat.S_ISREG(path.lstat().st_mode):
                raise BundleError(f"{_quoted(name)} is not a regular file")
            sizes[_new_name(name, seen)] = path.stat().st_size
            total = _checked_total(name, sizes[name], total, len(sizes))
    return sizes


def _sizes_in(archive: zipfile.ZipFile, packed_bytes: int) -> dict[str, int]:
    """Check the directory of a zip file, and return the size of each file.

    `Bundle.pieces` reads no more of a file than this, so a directory that understates a size gains nothing.

    Args:
        archive: The file.
        packed_bytes: Its size on disk. The packed sizes in the directory are not used, because entries may overlap.
    """
    sizes: dict[str, int] = {}
    seen: set[str] = set()
    total = 0
    end = 0
    entries = archive.infolist()
    if len(entries) > _MOST_FILES:
        raise BundleError(f"the zip file has {len(entries):,} entries: expected {_MOST_FILES:,} at most")
    for info in sorted(entries, key=lambda info: info.header_offset):
        name = info.filename
        if info.header_offset < end:
            raise BundleError(f"{_quoted(name)} overlaps the entry before it")
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
        if end > packed_bytes:
            raise BundleError(f"{_quoted(name)} ends after the end of the zip file")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise BundleError(f"{_quoted(name)} is a symbolic link: expected regular files only")
        if info.is_dir() and name.rstrip("/") and re.fullmatch(r"media(/[0-9a-f]{2})?/|files/(.+/)?", name):
            continue
        if info.flag_bits & 1:
            raise BundleError(f"{_quoted(name)} is encrypted")
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise BundleError(
                f"{_quoted(name)} uses compression method {info.compress_type}: expected 0 (stored) or 8 (deflated)"
            )
        if info.file_size > _RATIO_FROM and info.file_size > _MOST_RATIO * max(1, info.compress_size):
            raise BundleError(
                f"{_quoted(name)} unpacks from {info.compress_size:,} to {info.file_size:,} bytes: expected "
                f"{_MOST_RATIO} times its size at most"
            )
        sizes[_new_name(name, seen)] = info.file_size
        total = _checked_total(name, info.file_size, total, len(sizes))
    if total > _RATIO_FROM + _MOST_RATIO * packed_bytes:
        raise BundleError(
            f"the files unpack from {packed_bytes:,} to {total:,} bytes: expected {_MOST_RATIO} times the size at most"
        )
    return sizes


def _new_name(name: str, seen: set[str]) -> str:
    """Return a name that `_checked_name` accepts and that no file system treats as one of the names before it."""
    folded = unicodedata.normalize("NFC", name).casefold()
    if folded in seen:
        raise BundleError(f"{_quoted(name)} occurs twice")
    seen.add(folded)
    return _checked_name(name)


def _quoted(name: str) -> str:
    return ascii(name[:80])


def _checked_name(name: str) -> str:
    """Take only the names that bundles have: then no path leads anywhere else."""
    is_plain = name.isprintable()  # no control characters, direction marks or halves of surrogate pairs
    if name in _ROOT_FILES or (
        is_plain and _NOTEBOOK.fullmatch(name) and not _DEVICE.fullmatch(name) and not name.startswith((".", "~"))
    ):
        return name
    if name.startswith("media/") and is_media_name(name.removeprefix("media/")):
        return name
    if name.startswith(EXTRA) and is_plain and is_extra_name(name.removeprefix(EXTRA)):
        return name
    raise BundleError(f"a bundle cannot contain a file with the name {_quoted(name)}")


def is_extra_name(name: str) -> bool:
    """Return whether a file may be added under this name, and written next to the notebook on opening."""
    parts = name.split("/")
    if not 1 <= len(parts) <= 8 or parts[0].lower() == "runware_images" or name.lower().endswith(".ipynb"):
        return False
    if not all(_PART.fullmatch(part) and not _DEVICE.fullmatch(part) and part[-1] not in ". " for part in parts):
        return False
    first = parts[0].lower()
    module = first.removesuffix(".py")
    shadows = (len(parts) > 1 or first.endswith(".py")) and (
        module in sys.stdlib_module_names or module == "runware_nb"
    )
    return not shadows and parts[-1].lower() not in _RUN_BY_THEMSELVES


def _checked_total(name: str, size: int, total: int, count: int) -> int:
    if size > _LARGEST_FILE:
        raise BundleError(f"{_quoted(name)} has {size:,} bytes: expected {_LARGEST_FILE:,} at most")
    if total + size > _LARGEST or count > _MOST_FILES:
        raise BundleError(f"the bundle contains more than {_LARGEST:,} bytes or {_MOST_FILES:,} files")
    return total + size


def _manifest(text: str) -> dict[str, str]:
    listed: dict[str, str] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None:
            raise BundleError(f"line {number} of {MANIFEST} is not what sha256sum writes")
        if match[2] in listed:
            raise BundleError(f"line {number} of {MANIFEST} names {_quoted(match[2])} again")
        listed[match[2]] = match[1]
    return listed
