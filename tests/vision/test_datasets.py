"""Data sets: their files as they are published, written here by the test; downloads from a server of our own."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import http.server
import lzma
import pathlib
import pickle
import re
import struct
import tarfile
import threading
import types

import numpy as np
import pytest

import clgrad
from clgrad import downloads as download
from clgrad.vision import datasets, io, transforms, utils
from clgrad.vision.datasets import folder
from clgrad.vision.datasets import utils as helpers

Image = pytest.importorskip("PIL.Image")


def idx(values):
    kinds = {np.dtype(np.uint8): 8}
    return struct.pack(">HBB", 0, kinds[values.dtype], values.ndim) + struct.pack(f">{values.ndim}I", *values.shape) + (
        values.tobytes())


@pytest.fixture
def mnist_root(tmp_path, rng):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 6), ("t10k", 4)):
        images, labels = rng.integers(0, 256, (count, 28, 28), np.uint8), rng.integers(0, 10, count, np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
        (raw / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    return tmp_path


def test_mnist(torchvision, mnist_root):
    for train in (True, False):
        ours, theirs = (library.datasets.MNIST(mnist_root, train=train) for library in (clgrad.vision, torchvision))
        assert len(ours) == len(theirs) and ours.classes == theirs.classes and ours.class_to_idx == theirs.class_to_idx
        assert ours.data.tolist() == theirs.data.tolist() and ours.targets.tolist() == theirs.targets.tolist()
        assert (str(ours.data.dtype), str(ours.targets.dtype)) == ("torch.uint8", "torch.int64")
        (a, one), (b, other) = ours[1], theirs[1]
        assert a.mode == b.mode == "L" and a.tobytes() == b.tobytes() and one == other and type(one) is int
        assert repr(ours) == repr(theirs)
    batches = clgrad.utils.data.DataLoader(datasets.MNIST(mnist_root, transform=transforms.ToTensor()), batch_size=4)
    assert [tuple(x.shape) for x, _ in batches] == [(4, 1, 28, 28), (2, 1, 28, 28)]
    (mnist_root / "MNIST/raw/t10k-images-idx3-ubyte").unlink()
    assert datasets.MNIST(mnist_root, train=False).data.shape == (4, 28, 28)  # the packed one
    (mnist_root / "MNIST/raw/t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b damaged")
    with pytest.raises(RuntimeError, match="is damaged"):
        datasets.MNIST(mnist_root, train=False)
    with pytest.raises(RuntimeError, match="Dataset not found.*download=True"):
        datasets.FashionMNIST(mnist_root)
    with pytest.raises(ValueError, match="Unknown value 'all'"):
        datasets.EMNIST(mnist_root, "all")


def test_sums_and_names_are_those_of_the_published_files(torchvision):
    theirs = torchvision.datasets
    for name in ("MNIST", "FashionMNIST", "KMNIST"):
        assert getattr(datasets, name).resources == getattr(theirs, name).resources
        assert getattr(datasets, name).classes == getattr(theirs, name).classes
    assert datasets.EMNIST.md5 == theirs.EMNIST.md5 and datasets.EMNIST.url == theirs.EMNIST.url
    assert datasets.EMNIST.classes_split_dict == theirs.EMNIST.classes_split_dict
    for name in ("CIFAR10", "CIFAR100"):
        for field in ("base_folder", "url", "filename", "tgz_md5", "meta"):
            assert getattr(getattr(datasets, name), field) == getattr(getattr(theirs, name), field)
        for field in ("train_list", "test_list"):
            assert [list(pair) for pair in getattr(getattr(datasets, name), field)] == getattr(getattr(theirs, name), field)


def write_cifar(root, rng):
    base = root / "cifar-10-batches-py"
    base.mkdir()
    for name in [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]:
        content = {"batch_label": name, "labels": rng.integers(0, 10, 3).tolist(),
                   "data": rng.integers(0, 256, (3, 3072), np.uint8), "filenames": ["a", "b", "c"]}
        (base / name).write_bytes(pickle.dumps(content, protocol=2))
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {n}" for n in range(10)]}, protocol=2))
    return base


def test_cifar(tmp_path, rng):
    base = write_cifar(tmp_path, rng)
    ours = datasets.CIFAR10(tmp_path)
    assert len(ours) == 15 and ours.data.shape == (15, 32, 32, 3) and ours.classes[3] == "class 3"
    first = pickle.loads((base / "data_batch_1").read_bytes())
    picture, label = ours[1]
    assert np.array_equal(np.asarray(picture), first["data"][1].reshape(3, 32, 32).transpose(1, 2, 0))
    assert label == first["labels"][1] and len(datasets.CIFAR10(tmp_path, train=False)) == 3
    (base / "test_batch").write_bytes(pickle.dumps({"data": print}))
    with pytest.raises(RuntimeError, match="refused to load builtins.print"):
        datasets.CIFAR10(tmp_path, train=False)
    (base / "test_batch").unlink()
    with pytest.raises(RuntimeError, match="not found or corrupted.*download=True"):
        datasets.CIFAR10(tmp_path, train=False)


def test_folders(torchvision, tmp_path, rng):
    for name, count in (("dog", 2), ("cat", 3)):
        (tmp_path / name / "deep").mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (5, 6), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / ("deep" if number else "") / f"{number}.png")
        (tmp_path / name / "notes.txt").write_text("no picture")
    ours, theirs = datasets.ImageFolder(tmp_path), torchvision.datasets.ImageFolder(tmp_path)
    assert (ours.classes, ours.class_to_idx, ours.samples, ours.targets) == (
        theirs.classes, theirs.class_to_idx, theirs.samples, theirs.targets)
    assert ours[0][0].mode == "RGB" and ours[0][0].tobytes() == theirs[0][0].tobytes()
    texts = datasets.DatasetFolder(tmp_path, lambda path: open(path, encoding="utf-8").close() or 1, extensions=".txt")
    assert [texts[n] for n in range(2)] == [(1, 0), (1, 1)]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="Found no valid file for the classes empty"):
        datasets.ImageFolder(tmp_path)
    assert len(datasets.ImageFolder(tmp_path, allow_empty=True)) == 5
    with pytest.raises(ValueError, match="cannot be None or not None"):
        folder.make_dataset(tmp_path)


def test_generated_and_bundled():
    fake = datasets.FakeData(5, (3, 8, 9), 4, transform=transforms.ToTensor())
    assert fake[2][0].shape == (3, 8, 9) and fake[2][0].tolist() == fake[2][0].tolist() and fake[2][1] in range(4)
    with pytest.raises(IndexError):
        fake[5]
    pytest.importorskip("sklearn")
    train, test = datasets.Digits(), datasets.Digits(train=False)
    assert (len(train), len(test)) == (1438, 359) and train[0][0].size == (8, 8) and "Split: Test" in repr(test)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file; the first answer breaks off in the middle."""

    content = bytes(range(256)) * 4000
    asked: list = []

    def do_GET(self):
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.asked.append(begin)
        if self.path == "/missing":
            self.send_error(404)
            return
        rest = self.content[begin:]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[:300000] if len(self.asked) == 1 else rest)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    Handler.asked = []
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    thread.join()
    running.server_close()


def test_downloads(server, tmp_path, capfd):
    md5 = hashlib.md5(Handler.content).hexdigest()
    with pytest.raises(RuntimeError, match=r"(?s)cannot download file.*put it at .*file"):
        download.download_url(f"{server}/file", tmp_path, md5=md5)
    path = download.download_url([f"{server}/missing", f"{server}/file"], tmp_path, "file", md5)
    assert download.md5_of(path) == md5 and Handler.asked[0] == 0 and Handler.asked[-1] == 300000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
    asked = len(Handler.asked)
    download.download_url(f"{server}/file", tmp_path, md5=md5)
    assert len(Handler.asked) == asked
    with pytest.raises(RuntimeError, match="its MD5 sum is not 0"):
        download.download_url(f"{server}/file", tmp_path / "other", md5="0")


def test_archives_stay_in_their_folder(tmp_path):
    inside, outside = tmp_path / "good.tar", tmp_path / "bad.tar"
    (tmp_path / "x").write_text("text")
    for path, name in ((inside, "a/x"), (outside, "../x")):
        with tarfile.open(path, "w") as archive:
            archive.add(tmp_path / "x", name)
    download.extract_archive(str(inside), str(tmp_path / "to"))
    assert (tmp_path / "to/a/x").read_text() == "text"
    with pytest.raises(RuntimeError, match="outside of its folder"):
        download.extract_archive(str(outside), str(tmp_path / "to"))
    with pytest.raises(RuntimeError, match="known kind"):
        download.extract_archive("x.rar", ".")


@pytest.mark.parametrize("ending, packing", [("bz2", bz2.compress), ("gz", gzip.compress), ("xz", lzma.compress)])
def test_compressed_files_and_archives(tmp_path, ending, packing):
    packed = tmp_path / f"x.{ending}"
    packed.write_bytes(packing(b"text"))
    assert download.extract_archive(packed, remove_finished=True) == str(tmp_path / "x") and not packed.exists()
    with tarfile.open(tmp_path / f"a.tar.{ending}", f"w:{ending}") as archive:
        archive.add(tmp_path / "x", "x")
    assert download.extract_archive(tmp_path / f"a.tar.{ending}", tmp_path / "to") == str(tmp_path / "to")
    assert (tmp_path / "x").read_text() == (tmp_path / "to/x").read_text() == "text"


def test_helpers_of_data_sets(torchvision, tmp_path):
    theirs = torchvision.datasets.utils
    (tmp_path / "a").mkdir()
    for name in ("b.png", "c.jpg", "d.txt"):
        (tmp_path / name).write_text("text")
    for prefix in (False, True):
        assert helpers.list_dir(tmp_path, prefix) == theirs.list_dir(tmp_path, prefix)
        assert helpers.list_files(tmp_path, (".png", ".jpg"), prefix) == theirs.list_files(tmp_path, (".png", ".jpg"), prefix)
    assert helpers.calculate_md5(str(tmp_path / "b.png")) == theirs.calculate_md5(tmp_path / "b.png")
    assert helpers.check_md5(tmp_path / "b.png", theirs.calculate_md5(tmp_path / "b.png"))
    assert helpers.verify_str_arg("train", "split", ("train", "test")) == "train"
    for arguments in ((1,), (1, "split"), ("all", "split", ("train", "test")), ("all", "split", ("train",), "no")):
        with pytest.raises(ValueError) as expected:
            theirs.verify_str_arg(*arguments)
        with pytest.raises(ValueError, match=f"^{re.escape(str(expected.value))}$"):
            helpers.verify_str_arg(*arguments)


def test_files_of_google_drive(tmp_path, monkeypatch):
    asked = []

    def fetch(id, output, quiet):
        asked.append(id)
        pathlib.Path(output).write_text("text")

    monkeypatch.setattr(helpers, "library", lambda *names: types.SimpleNamespace(download=fetch))
    for _ in range(2):
        helpers.download_file_from_google_drive("abc", tmp_path / "to", "file", hashlib.md5(b"text").hexdigest())
    assert asked == ["abc"] and (tmp_path / "to/file").read_text() == "text"
    with pytest.raises(RuntimeError, match="not found or corrupted"):
        helpers.download_file_from_google_drive("abc", tmp_path / "to", md5="0")


def test_grids_and_files(torchvision, torch, tmp_path, rng):
    batch = rng.random((5, 3, 4, 6)).astype(np.float32)
    x, y = clgrad.tensor(batch), torch.tensor(batch)
    cases = [dict(), dict(nrow=2), dict(padding=0, nrow=3), dict(normalize=True, scale_each=True, pad_value=0.5),
             dict(normalize=True, value_range=(0.2, 0.7))]
    for options in cases:
        ours, theirs = utils.make_grid(x, **options), torchvision.utils.make_grid(y, **options)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours.tolist(), theirs.tolist(), atol=1e-6)
    for part in ((slice(0, 1),), (0,), (0, 0), (slice(None), slice(0, 1))):
        assert utils.make_grid(x[part]).tolist() == torchvision.utils.make_grid(y[part]).tolist()
    assert utils.make_grid([x[0], x[1]]).tolist() == torchvision.utils.make_grid([y[0], y[1]]).tolist()
    utils.save_image(x, tmp_path / "ours.png", nrow=2)
    torchvision.utils.save_image(y, tmp_path / "theirs.png", nrow=2)
    ours = io.read_image(tmp_path / "ours.png")
    assert ours.tolist() == io.read_image(str(tmp_path / "theirs.png")).tolist() and ours.dtype is clgrad.uint8
    assert io.read_image(tmp_path / "ours.png", io.ImageReadMode.GRAY).shape[0] == 1
    assert io.decode_image(io.read_file(tmp_path / "ours.png")).tolist() == ours.tolist()
    io.write_png(ours, tmp_path / "again.png")
    assert io.read_image(tmp_path / "again.png").tolist() == ours.tolist()
    boxed = utils.draw_bounding_boxes(ours, clgrad.tensor([[1, 1, 5, 5]]), ["a"], colors="blue")
    assert boxed[:, 1, 2].tolist() == [0, 0, 255]
    with pytest.raises(RuntimeError, match="No such file"):
        io.read_image(tmp_path / "none.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(RuntimeError, match="cannot be read|can be read"):
        io.read_image(tmp_path / "bad.png")
