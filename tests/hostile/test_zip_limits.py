"""Zip files made to fill a disk or the memory: refused before they unpack, whatever their directory says."""

import json
import struct
import time
import zipfile

import pytest

from runware_nb.errors import BundleError
from runware_nb.reproduce.bundle import merge_bundle, open_into
from runware_nb.reproduce.bundle_files import read_bundle

from .foreign_files import HEAD, write_bundle

RECORDS = json.dumps(HEAD).encode()


def refused(path, tmp_path, sentence):
    began = time.monotonic()
    with pytest.raises(BundleError, match=sentence):
        open_into(path, tmp_path / "victim")
    assert not (tmp_path / "victim").exists()
    assert time.monotonic() - began < 20


def test_many_entries_below_the_limit_of_one_are_too_much_together(tmp_path):
    files = {f"files/{number}.txt": bytes(1024 * 1024 - 1) for number in range(60)}
    path = write_bundle(tmp_path / "x.zip", {"records.jsonl": RECORDS, **files})
    assert path.stat().st_size < 200_000
    refused(path, tmp_path, "unpack from .* times the size at most")


def test_a_few_small_texts_that_pack_well_are_no_bomb(tmp_path):
    files = {f"files/{number}.txt": b"a" * 50_000 for number in range(10)}
    open_into(write_bundle(tmp_path / "x.zip", {"records.jsonl": RECORDS, **files}), tmp_path / "opened")
    assert (tmp_path / "opened" / "3.txt").stat().st_size == 50_000


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    """Many names for one packed stream: each ratio is harmless, and so is the sum of the packed sizes."""
    path = write_bundle(
        tmp_path / "x.zip", {"records.jsonl": RECORDS, "files/a.txt": b"abc" * 9999, "files/b.txt": b"x" * 99}
    )
    raw = bytearray(path.read_bytes())
    entries = [at for at in range(len(raw)) if raw[at : at + 4] == b"PK\x01\x02"]
    first, second = (
        next(at for at in entries if raw[at + 46 :].startswith(name)) for name in (b"files/a.txt", b"files/b.txt")
    )
    raw[second + 42 : second + 46] = raw[first + 42 : first + 46]  # the second begins where the first does
    path.write_bytes(raw)
    refused(path, tmp_path, "overlaps")


@pytest.mark.parametrize("lie", [0, 10, 2**31])
def test_a_directory_that_lies_about_a_size_gains_nothing(tmp_path, lie):
    path = write_bundle(tmp_path / "x.zip", {"records.jsonl": RECORDS, "files/a.txt": b"y" * 3_000_000})
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"files/a.txt") - 46
    struct.pack_into("<I", raw, at + 24, lie)
    path.write_bytes(raw)
    refused(path, tmp_path, r"longer than the size|cannot be read|times its size|at most|up to|has been changed")


def test_an_entry_that_ends_behind_the_file_is_refused(tmp_path):
    path = write_bundle(tmp_path / "x.zip", {"records.jsonl": RECORDS, "files/a.txt": b"abc"})
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"files/a.txt") - 46
    struct.pack_into("<I", raw, at + 20, 10**9)
    path.write_bytes(raw)
    refused(path, tmp_path, r"overlaps|after the end")


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_that_packs_without_bounds_is_refused(tmp_path, how):
    path = write_bundle(tmp_path / "x.zip", {"records.jsonl": RECORDS, "files/a.txt": b"abc"}, compression=how)
    refused(path, tmp_path, "uses compression method")


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("runware_nb.reproduce.bundle_files._MOST_FILES", 50)
    path = write_bundle(tmp_path / "x.zip", {"records.jsonl": RECORDS, **{f"files/{n}.txt": b"" for n in range(60)}})
    refused(path, tmp_path, "entries")


@pytest.mark.parametrize(
    "names",
    [("files/a.txt", "files/A.TXT"), ("files/\u00e9.txt", "files/e\u0301.txt"), ("files/ß.txt", "files/SS.txt")],
)
def test_names_that_a_file_system_takes_for_one_are_refused(tmp_path, names):
    path = write_bundle(tmp_path / "x.zip", {"records.jsonl": RECORDS, **dict.fromkeys(names, b"x")})
    refused(path, tmp_path, "occurs twice")


def test_a_manifest_that_names_a_file_twice_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest-sha256.txt", f"{'0' * 64}  records.jsonl\n{'1' * 64}  records.jsonl\n")
        archive.writestr("records.jsonl", RECORDS)
    refused(path, tmp_path, "names 'records.jsonl' again")


def test_a_zip_inside_a_zip_stays_a_file(tmp_path):
    inner = write_bundle(tmp_path / "inner.zip", {"records.jsonl": RECORDS})
    path = write_bundle(tmp_path / "x.zip", {"records.jsonl": RECORDS, "files/inner.zip": inner.read_bytes()})
    open_into(path, tmp_path / "opened")
    assert (tmp_path / "opened" / "inner.zip").read_bytes() == inner.read_bytes()


def test_a_file_of_records_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    class Session:
        media = None

    path = tmp_path / "runs.jsonl"
    with path.open("wb") as file:
        file.truncate(300 * 1024 * 1024)  # sparse: it takes no space
    with pytest.raises(BundleError, match=r"expected .* at most"):
        merge_bundle(Session(), path)


def test_a_folder_counts_as_a_zip_file_does(tmp_path, monkeypatch):
    monkeypatch.setattr("runware_nb.reproduce.bundle_files._LARGEST", 1000)
    (tmp_path / "files").mkdir()
    for number in range(3):
        (tmp_path / "files" / f"{number}.txt").write_bytes(bytes(500))
    with pytest.raises(BundleError, match="more than 1,000 bytes"), read_bundle(tmp_path):
        pass
