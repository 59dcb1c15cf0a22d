import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from normwise.errors import UsageError
from normwise.files import owned, write_bytes, write_text


@pytest.fixture
def mask():
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_content_folders_and_path(tmp_path: Path):
    path = tmp_path / "new" / "folders" / "report.html"
    assert write_text(str(path), "σ ≤ 1\n") == path
    assert path.read_bytes() == "σ ≤ 1\n".encode()
    assert write_bytes(path, b"\x00\xff") == path
    assert path.read_bytes() == b"\x00\xff"
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_is_respected_and_left_as_it_was(tmp_path: Path, mask, umask, mode):
    mask(umask)
    path = write_bytes(tmp_path / "a", b"x")
    assert path.stat().st_mode & 0o777 == mode
    assert mask(umask) == umask


def test_a_reader_of_the_old_file_keeps_it_whole(tmp_path: Path):
    path = write_bytes(tmp_path / "a", b"old" * 1000)
    with path.open("rb") as reader:
        write_bytes(path, b"new")
        assert reader.read() == b"old" * 1000
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [(errno.ENOSPC, "No space left on device"), (errno.EROFS, "Read-only file system")],
)
def test_a_failing_write_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call, fault, reason
):
    path = write_bytes(tmp_path / "a", b"old")

    def fail(*_, **__):
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(UsageError) as caught:
        write_bytes(path, b"new")
    assert str(caught.value).startswith(f"cannot write {path}: {reason}. Choose a folder")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_disk_that_is_really_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    path = write_bytes(tmp_path / "a", b"old")
    fdopen = os.fdopen

    def on_full_disk(handle, mode):
        os.close(handle)
        return fdopen(os.open(full, os.O_WRONLY), mode)

    monkeypatch.setattr(os, "fdopen", on_full_disk)
    with pytest.raises(UsageError, match="No space left on device"):
        write_bytes(path, b"new" * 100_000)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_an_interrupt_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_bytes(tmp_path / "a", b"old")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_path_below_a_file(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(UsageError, match=r"cannot write .*: (Not a directory|File exists)"):
        write_bytes(tmp_path / "file" / "a", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_folder_under_the_files_name(tmp_path: Path):
    (tmp_path / "a").mkdir()
    with pytest.raises(UsageError, match=r"cannot write .*: Is a directory"):
        write_bytes(tmp_path / "a", b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_read_only_folder(tmp_path: Path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    try:
        with pytest.raises(UsageError, match="Permission denied"):
            write_bytes(folder / "a", b"new")
    finally:
        folder.chmod(0o755)


OWNER = """
import sys
from normwise.files import owned
with owned(sys.argv[1]):
    print("owned", flush=True)
    input()
"""


def test_one_process_at_a_time_owns_a_folder(tmp_path: Path):
    folder = tmp_path / "a" / "study"
    other = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"owned\n"
        with pytest.raises(UsageError) as caught, owned(folder):
            raise AssertionError("two own it")
        assert caught.value.problems == (
            f"another process is writing to {folder}: wait for its end, or name another folder",
        )
        with owned(tmp_path):  # another folder is free
            pass
        other.kill()  # with no time to tidy up
    with owned(folder):
        assert not folder.exists()


def test_a_folder_is_free_after_an_error_and_no_lock_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    locks = tmp_path / "locks"
    locks.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(locks))
    for _ in range(2):
        with owned(tmp_path / "study"):
            assert len(list(locks.iterdir())) == 1
        with pytest.raises(ZeroDivisionError), owned(tmp_path / "study"):
            _ = 1 / 0
        assert list(locks.iterdir()) == []


def test_a_folder_is_owned_where_no_lock_can_be_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with owned(tmp_path / "study"):
        assert list(tmp_path.iterdir()) == []
