"""Files are written completely, once, with the permissions of the umask, and copied to a bucket by many at once."""

import os
import pickle
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

import runware_nb
from runware_nb.errors import MediaError
from runware_nb.media.bucket import Bucket
from runware_nb.media.medium import FileMedium, MemoryMedium, write_new, write_whole
from runware_nb.media.provenance import embed
from runware_nb.media.store import MediaStore

posix = pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's; run on Linux or macOS")


def png(number):
    from io import BytesIO

    buffer = BytesIO()
    Image.new("RGB", (4, 4), (number % 256, number // 256, 7)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(params=[0o022, 0o027, 0o002])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# --- permissions ------------------------------------------------------------------------------------


@posix
def test_new_files_get_the_permissions_of_the_umask(tmp_path, umask):
    write_whole(tmp_path / "a", b"1")
    assert write_new(tmp_path / "b", b"1")
    stored = MediaStore(tmp_path / "media").put(png(1))
    saved = MemoryMedium(png(2)).save(tmp_path / "out" / "c.png")
    for path in (tmp_path / "a", tmp_path / "b", stored.path, saved):
        assert mode(path) == 0o666 & ~umask, path


@posix
def test_a_replaced_file_keeps_its_permissions(tmp_path):
    """A user who has made a file private does not find it public after the next export."""
    target = tmp_path / "a"
    target.write_bytes(b"old")
    target.chmod(0o600)
    write_whole(target, b"new")
    assert (target.read_bytes(), mode(target)) == (b"new", 0o600)


def test_no_module_creates_files_through_tempfile():
    """`tempfile` creates files and folders with mode 0600 and 0700, whatever the umask.

    That is right for the folder in which a preview is drawn: it is private, and deleted afterwards.
    """
    package = Path(runware_nb.__file__).parent
    users = [path.name for path in package.rglob("*.py") if "import tempfile" in path.read_text(encoding="utf-8")]
    assert users == ["preview.py"]


# --- whole files ------------------------------------------------------------------------------------


def test_a_failed_write_leaves_neither_a_part_nor_a_changed_file(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    with pytest.raises(OSError):
        write_whole(folder, b"a folder cannot be replaced by a file")
    assert list(tmp_path.iterdir()) == [folder]


def test_of_many_writers_of_a_new_file_one_writes_it(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(lambda number: write_new(tmp_path / "a", b"%d" % number), range(8)))
    assert sum(wrote) == 1
    assert (tmp_path / "a").read_bytes() == b"%d" % wrote.index(True)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_same_bytes_stored_at_once_have_one_stored_hash(tmp_path):
    """Each run would write its own provenance: the file keeps the first, and every record states its hash."""
    store, body = MediaStore(tmp_path), png(1)
    gate = threading.Barrier(4)

    def put(number):
        def dress(received):
            gate.wait(timeout=30)  # all have seen that the file is not there yet
            return embed(received, infotext=f"run {number}", record={"number": number})

        return store.put(body, dress=dress)

    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(put, range(4)))
    assert len({file.stored_sha256 for file in files}) == 1


def test_a_file_medium_is_restored_when_its_file_is_gone_and_pickles_without_that(tmp_path):
    path = tmp_path / "a.png"

    def restore():
        path.write_bytes(png(1))
        return path

    assert FileMedium(path, restore).bytes == png(1)
    path.unlink()
    with pytest.raises(MediaError, match=r"a\.png cannot be read"):
        _ = pickle.loads(pickle.dumps(FileMedium(path, restore))).bytes
    with pytest.raises(MediaError, match=r"a\.png cannot be read"):
        _ = FileMedium(path, lambda: None).bytes


# --- the bucket -------------------------------------------------------------------------------------


@pytest.fixture(params=["file", "memory"])
def bucket(request, tmp_path):
    root = tmp_path / "bucket"
    return Bucket(f"file://{root}" if request.param == "file" else f"memory://{tmp_path.name}-{id(request)}")


def sources(tmp_path, count):
    folder = tmp_path / "here"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.png").write_bytes(png(number))
    return {f"{number % 4:02x}/{number}.png": folder / f"{number}.png" for number in range(count)}


def test_many_threads_push_the_same_and_other_names(bucket, tmp_path):
    files = sources(tmp_path, 20)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda item: bucket.push(*item), list(files.items()) * 16))
    for name, path in files.items():
        assert bucket.pull(name, tmp_path / "there" / name)
        assert (tmp_path / "there" / name).read_bytes() == path.read_bytes()


def test_several_processes_push_the_same_names_and_leave_no_parts(tmp_path):
    files = sources(tmp_path, 12)
    program = (
        "import sys\nfrom pathlib import Path\nfrom runware_nb.media.bucket import Bucket\n"
        "bucket = Bucket(sys.argv[1])\nfor name in sys.argv[3:]:\n"
        "    bucket.push(name, Path(sys.argv[2]) / Path(name).name)\n"
    )
    command = [sys.executable, "-c", program, f"file://{tmp_path / 'bucket'}", str(tmp_path / "here"), *files]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
    there = {path.relative_to(tmp_path / "bucket").as_posix() for path in (tmp_path / "bucket").rglob("*.*")}
    assert there == set(files)


def test_a_failure_is_reported_for_its_own_file_only_and_tried_again(tmp_path):
    files = list(sources(tmp_path, 3).items())
    bucket = Bucket(f"file://{tmp_path / 'bucket'}")
    (tmp_path / "bucket").mkdir()
    blocked = tmp_path / "bucket" / files[0][0].partition("/")[0]
    blocked.write_text("a file where a folder has to be")
    for _ in range(2):
        with pytest.raises(MediaError, match=f"{files[0][0]} is stored on this machine"):
            bucket.push(*files[0])
    bucket.push(*files[1])  # not a word about the other
    blocked.unlink()
    bucket.push(*files[2])
    assert (tmp_path / "bucket" / files[0][0]).read_bytes() == files[0][1].read_bytes()


def test_a_file_that_was_deleted_before_its_second_try_is_dropped(tmp_path):
    files = list(sources(tmp_path, 2).items())
    bucket = Bucket(f"file://{tmp_path / 'bucket'}")
    (tmp_path / "bucket").write_text("blocked")
    with pytest.raises(MediaError):
        bucket.push(*files[0])
    (tmp_path / "bucket").unlink()
    files[0][1].unlink()
    bucket.push(*files[1])
    assert not bucket.pull(files[0][0], tmp_path / "x")
