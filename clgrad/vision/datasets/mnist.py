"""MNIST and the data sets in its format: IDX files, as LeCun, Cortes and Burges published them."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.downloads import check_integrity, download_and_extract_archive, download_url
from clgrad.ops import copying
from clgrad.optional import pillow
from clgrad.runtime import device
from clgrad.vision.datasets.dataset import VisionDataset
from clgrad.vision.datasets.utils import verify_str_arg

_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_DIGITS = ["0 - zero", "1 - one", "2 - two", "3 - three", "4 - four", "5 - five", "6 - six", "7 - seven", "8 - eight",
           "9 - nine"]


def read_idx(path: str) -> np.ndarray:
    """The array of an IDX file, packed with gzip or not.

    Raises:
        RuntimeError: the file is damaged or of another format.
    """
    try:
        with gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb") as file:
            data = file.read()
        zero, kind, rank = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{rank}I", data[4:4 + 4 * rank])
        if zero or kind not in _TYPES:
            raise ValueError("it does not begin as an IDX file does")
        values = np.frombuffer(data, _TYPES[kind], offset=4 + 4 * rank)
        return values.reshape(shape).astype(values.dtype.newbyteorder("="))
    except (ValueError, struct.error, zlib.error, EOFError, OSError) as error:
        raise RuntimeError(f"{path} is damaged: {error}") from error


def _tensor(values: np.ndarray) -> Any:
    values = np.ascontiguousarray(values)
    return copying.from_array(values, dtypes.from_numpy(values.dtype), device("cpu"))


class MNIST(VisionDataset):
    """Handwritten digits: 60,000 for training and 10,000 for tests, 28x28 in grey.

    Samples are (picture of Pillow's, label). ``data`` and ``targets`` hold all of them as tensors.

    Args:
        root: the folder in which ``MNIST/raw`` holds the four IDX files, packed with gzip or not.
        train: which part. Default: True.
        transform, target_transform: functions of picture and label.
        download: fetch what is missing. Default: False.

    Raises:
        RuntimeError: files are missing, damaged, or cannot be fetched.
    """

    mirrors = ["https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"]
    resources = [("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
                 ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
                 ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
                 ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c")]
    classes = _DIGITS

    def __init__(self, root: Any, train: bool = True, transform: Callable | None = None,
                 target_transform: Callable | None = None, download: bool = False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        if download:
            self.download()
        self.data, self.targets = self._load()

    @property
    def raw_folder(self) -> str:
        """Where the files are."""
        return os.path.join(self.root, type(self).__name__, "raw")

    @property
    def processed_folder(self) -> str:
        """A folder that old programs name; nothing is put there."""
        return os.path.join(self.root, type(self).__name__, "processed")

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The label of each class."""
        return {name: number for number, name in enumerate(self.classes)}

    @property
    def train_labels(self) -> Any:
        """The targets, under an old name; so are ``test_labels``, ``train_data`` and ``test_data``."""
        return self.targets

    @property
    def train_data(self) -> Any:
        """The pictures, under an old name."""
        return self.data

    test_labels, test_data = train_labels, train_data

    def _files(self) -> tuple[str, str]:
        part = "train" if self.train else "t10k"
        return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"

    def _found(self, name: str) -> str | None:
        path = os.path.join(self.raw_folder, name)
        return next((p for p in (path, f"{path}.gz") if os.path.isfile(p)), None)

    def _load(self) -> tuple[Any, Any]:
        arrays = []
        for name in self._files():
            path = self._found(name)
            if path is None:
                raise RuntimeError(f"Dataset not found: there is no {os.path.join(self.raw_folder, name)}, packed with gzip "
                                   "or not. You can use download=True to download it")
            arrays.append(read_idx(path))
        images, labels = arrays
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise RuntimeError(f"{self.raw_folder}: there are {len(labels)} labels for images of shape {images.shape}")
        return _tensor(images), _tensor(labels.astype(np.int64))

    def download(self) -> None:
        """Fetches the files that are missing."""
        for name, md5 in self.resources:
            if self._found(name[:-3]) is None or not (check_integrity(os.path.join(self.raw_folder, name), md5)
                                                      or os.path.isfile(os.path.join(self.raw_folder, name[:-3]))):
                download_url([f"{mirror}{name}" for mirror in self.mirrors], self.raw_folder, name, md5)

    def __getitem__(self, index: int) -> Any:
        image = copying.to_array(self.data[index])
        return self.transformed(pillow().fromarray(np.array(image)), int(self.targets[index]))

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class FashionMNIST(MNIST):
    """Zalando's articles (Xiao et al. 2017) in MNIST's format."""

    mirrors = ["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"]
    resources = [("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                 ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
                 ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
                 ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310")]
    classes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


class KMNIST(MNIST):
    """Cursive Japanese characters (Clanuwat et al. 2018) in MNIST's format."""

    mirrors = ["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"]
    resources = [("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
                 ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
                 ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
                 ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134")]
    classes = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


class EMNIST(MNIST):
    """Handwritten letters and digits (Cohen et al. 2017).

    Args:
        split: byclass, bymerge, balanced, letters, digits or mnist.
    """

    url = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
    md5 = "58c8d27c78d21e728a6bc7b3cc06412e"
    splits = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")
    _letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    _merged = sorted(set("0123456789" + _letters + _letters.lower()) - set("cijklmopsuvwxyz"))
    classes_split_dict = {
        "byclass": list("0123456789" + _letters + _letters.lower()), "bymerge": _merged, "balanced": _merged,
        "letters": ["N/A", *_letters.lower()], "digits": list("0123456789"), "mnist": list("0123456789")}

    def __init__(self, root: Any, split: str, train: bool = True, transform: Callable | None = None,
                 target_transform: Callable | None = None, download: bool = False):
        self.split = verify_str_arg(split, "split", self.splits)
        self.classes = self.classes_split_dict[split]
        super().__init__(root, train, transform, target_transform, download)

    def _files(self) -> tuple[str, str]:
        part = f"emnist-{self.split}-{'train' if self.train else 'test'}"
        return f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"

    def download(self) -> None:
        """Fetches the archive of all splits and unpacks it, unless the files are there."""
        if all(self._found(name) for name in self._files()):
            return
        download_and_extract_archive(self.url, self.raw_folder, md5=self.md5)
        inner = os.path.join(self.raw_folder, "gzip")
        for name in os.listdir(inner):
            os.replace(os.path.join(inner, name), os.path.join(self.raw_folder, name))
