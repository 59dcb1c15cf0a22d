import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from normwise.data import load, mnist
from normwise.errors import UsageError

TRAIN_X, TRAIN_Y, TEST_X, TEST_Y = NAMES = list(mnist.CHECKSUMS)
NOWHERE = "http://127.0.0.1:9/"  # the port that discards: nobody listens


def idx(name: str) -> bytes:
    """Return a file in the format of the original, with 40 or 10 samples."""
    count = 40 if name.startswith("train") else 10
    numbers = np.arange(count, dtype=np.uint8)
    if "labels" in name:
        return bytes(mnist.LABEL_HEADER) + (numbers % 10).tobytes()
    pixels = np.repeat(numbers, 784).reshape(count, 784)
    pixels[:, 1] = 255
    return bytes(mnist.IMAGE_HEADER) + pixels.tobytes()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture(autouse=True)
def small(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stand small files in for the originals, and shut out the network and the user's cache."""
    monkeypatch.setattr(mnist, "MIRRORS", (NOWHERE,))
    if "mnist" in request.fixturenames:
        return
    sums = {name: hashlib.md5(idx(name)).hexdigest() for name in NAMES}
    monkeypatch.setattr(mnist, "CHECKSUMS", sums)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("NORMWISE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder with the packed files."""
    folder = tmp_path / "served"
    put(folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", folder
        server.shutdown()
        thread.join()


def put(folder: Path, *, packed: bool = True, names: list[str] = NAMES) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(name), mtime=0))
        else:
            (folder / name).write_bytes(idx(name))


def check(raw) -> None:
    x, y = raw.train
    assert (raw.name, x.shape, x.dtype) == ("mnist", (40, 1, 28, 28), np.float32)
    assert x[7, 0, 0, 0] == np.float32(7 / 255)
    assert (x[:, 0, 0, 1] == 1).all()
    assert y.tolist() == [i % 10 for i in range(40)]
    assert raw.test[0].shape == (10, 1, 28, 28)
    assert raw.test[1].tolist() == list(range(10))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("sub", ["", "mnist", "MNIST/raw"])
def test_below_the_folder_of_the_environment(tmp_path, monkeypatch, packed, sub):
    put(tmp_path / "mine" / sub, packed=packed)
    monkeypatch.setenv("NORMWISE_DATA", str(tmp_path / "mine"))
    check(mnist.read())


@pytest.mark.parametrize("place", ["cache/normwise/mnist", "data/MNIST/raw"])
def test_in_the_cache_and_where_torchvision_puts_it(tmp_path, place):
    put(tmp_path / place)
    check(mnist.read())


def test_the_cache_in_the_home(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    put(tmp_path / "home/.cache/normwise/mnist")
    check(mnist.read())


def test_files_may_lie_in_different_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMWISE_DATA", str(tmp_path / "mine"))
    put(tmp_path / "mine", names=NAMES[:1], packed=False)
    put(tmp_path / "cache/normwise/mnist", names=NAMES[1:])
    check(mnist.read())


def test_the_test_split_is_the_datasets_own(tmp_path):
    put(tmp_path / "data/MNIST/raw")
    data = load("mnist", val=10, standardize=False)
    assert (len(data.train), len(data.val), len(data.test)) == (30, 10, 10)
    assert data.test.y.tolist() == list(range(10))


def test_download(server, tmp_path, monkeypatch, capsys):
    url, _ = server
    monkeypatch.setattr(mnist, "MIRRORS", (NOWHERE, url))
    check(mnist.read())
    cached = sorted(path.name for path in mnist.cache().iterdir())
    assert cached == sorted(f"{name}.gz" for name in NAMES)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    check(mnist.read())  # from the cache
    assert capsys.readouterr() == ("", "")  # no progress bar where there is no terminal


def test_only_what_is_missing_is_downloaded(server, tmp_path, monkeypatch):
    url, folder = server
    put(tmp_path / "data/MNIST/raw", names=NAMES[:3])
    for name in NAMES[:3]:
        (folder / f"{name}.gz").unlink()
    monkeypatch.setattr(mnist, "MIRRORS", (url,))
    check(mnist.read())
    assert [path.name for path in mnist.cache().iterdir()] == [f"{TEST_Y}.gz"]


@pytest.mark.parametrize("fault", ["other content", "cut short", "no gzip at all", "not found"])
def test_a_bad_download_is_not_kept(server, monkeypatch, fault):
    url, folder = server
    file = folder / f"{TRAIN_Y}.gz"
    content = file.read_bytes()
    if fault == "other content":
        file.write_bytes(gzip.compress(idx(TRAIN_Y)[:-1] + b"\x09\x09", mtime=0))
    elif fault == "cut short":
        file.write_bytes(content[: len(content) // 2])
    elif fault == "no gzip at all":
        file.write_bytes(b"<html>Log in to this network</html>")
    else:
        file.unlink()
    monkeypatch.setattr(mnist, "MIRRORS", (url,))
    with pytest.raises(UsageError) as caught:
        mnist.read()
    reason = {"cut short": "gzip: ", "not found": "404"}.get(fault, "MD5 of the unpacked content")
    assert f"{url}{TRAIN_Y}.gz: " in str(caught.value)
    assert reason in str(caught.value)
    assert [path.name for path in mnist.cache().iterdir()] == [f"{TRAIN_X}.gz"]


def test_an_answer_that_breaks_off(tmp_path, monkeypatch):
    class Liar(Quiet):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(gzip.compress(idx(TRAIN_X), mtime=0)[:100])

    with ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setattr(mnist, "MIRRORS", (f"http://127.0.0.1:{server.server_port}/",))
        with pytest.raises(UsageError, match="cannot be downloaded"):
            mnist.read()
        server.shutdown()
        thread.join()
    assert not mnist.cache().exists()


def test_offline_says_which_files_go_where(tmp_path):
    put(tmp_path / "data/MNIST/raw", names=[TRAIN_X])
    with pytest.raises(UsageError) as caught:
        load("mnist")
    message = str(caught.value)
    assert f"  {NOWHERE}{TRAIN_Y}.gz: " in message
    assert [line.strip() for line in message.splitlines() if line.endswith("ubyte.gz")] == [
        f"{name}.gz" for name in NAMES[1:]
    ]
    for folder in ("cache/normwise/mnist", "data/MNIST/raw"):
        assert f"\n  {tmp_path / folder}\n" in message
    assert message.endswith("or into a folder of your own, after setting NORMWISE_DATA to it")


def test_offline_names_the_folder_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMWISE_DATA", str(tmp_path / "mine"))
    with pytest.raises(UsageError, match=f"\n  {tmp_path}/mine\n  {tmp_path}/mine/mnist\n"):
        mnist.read()


def test_a_cache_that_cannot_be_written(server, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", (server[0],))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match=r"cannot write .*Choose a folder"):
        mnist.read()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "MD5 of the unpacked content is d41d8cd98f00b204e9800998ecf8427e instead of"),
        (gzip.compress(b"other", mtime=0), "MD5 of the unpacked content"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "gzip: "),
        (b"\x1f\x8b nonsense", "gzip: "),
        (gzip.compress(b"x" * 1000, mtime=0)[:-8] + b"12345678", "gzip: "),
        (gzip.compress(b"x" * 1000, mtime=0)[:12] + b"\xff" * 30, "gzip: "),
    ],
    ids=["empty", "another", "cut short", "no gzip", "wrong checksum", "wrong data"],
)
def test_a_damaged_file_is_named(tmp_path, content, reason):
    put(tmp_path / "data/MNIST/raw")
    path = tmp_path / "data/MNIST/raw" / f"{TEST_X}.gz"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        mnist.read()
    assert str(caught.value).startswith(f"{path} is damaged ({reason}")
    assert len(caught.value.problems) == 1


def test_the_originals(mnist):
    data = load("mnist", seed=1)
    assert (data.name, data.task, data.classes) == ("mnist", "classes", 10)
    assert data.train.x.shape == (55_000, 1, 28, 28)
    assert data.train.x.dtype == torch.float32
    assert (len(data.val), len(data.test)) == (5_000, 10_000)
    # The test split's class counts and first labels, as published.
    assert data.test.y.bincount().tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert data.test.y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.mean is not None
    assert data.std is not None
    assert data.mean.item() == pytest.approx(0.1307, abs=2e-4)
    assert data.std.item() == pytest.approx(0.3081, abs=2e-4)
    pixels = data.test.x[:100].double() * data.std + data.mean
    assert torch.allclose(pixels * 255, (pixels * 255).round(), atol=1e-4)
    assert len(data.fingerprint()) == 16
