"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 60,000 colour pictures of 32x32, in the files for Python."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from clgrad.downloads import check_integrity, download_and_extract_archive
from clgrad.optional import pillow
from clgrad.pickles import Allowed, Reader
from clgrad.vision.datasets.dataset import VisionDataset


def _array(kind: type, shape: tuple, code: Any) -> np.ndarray:
    """The empty array to which a pickle then gives its shape, dtype and bytes."""
    return np.ndarray((0,), np.uint8)


def _dtype(name: str, *flags: Any) -> np.dtype:
    found = np.dtype(name)
    if found.kind not in "biu":
        raise ValueError(f"an array of {found}, where pixels or labels are expected")
    return found


# All that these pickles need; whatever else a file names is refused.
_ALLOWED: dict[tuple[str, str], Any] = {
    **dict.fromkeys((("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")), Allowed(_array)),
    ("numpy", "ndarray"): Allowed(_array, np.ndarray), ("numpy", "dtype"): Allowed(_dtype, np.dtype),
    # The classes of dtypes themselves, whose objects are given their byte order.
    **{("numpy.dtypes", type(np.dtype(code)).__name__): Allowed(_dtype, type(np.dtype(code))) for code in "bBhHiIlLqQ?"},
    ("_codecs", "encode"): Allowed(lambda text, encoding: text.encode("latin-1"))}


def _no_storage(id: Any) -> Any:
    raise pickle.UnpicklingError("it refers to what is not in the file")


def read_pickle(path: str) -> dict:
    """The dict of one file; RuntimeError where it is damaged. Nothing that the file names is run."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        found = Reader(data, _ALLOWED, _no_storage).load()
    except pickle.UnpicklingError as error:
        raise RuntimeError(f"{path} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise RuntimeError(f"{path} is damaged: it holds no dict")
    return found


class CIFAR10(VisionDataset):
    """Ten classes of pictures: 50,000 for training, 10,000 for tests.

    Samples are (picture of Pillow's, label). ``data`` is an array (n, 32, 32, 3) of bytes, ``targets`` a list.

    Args:
        root: the folder that holds ``cifar-10-batches-py``.
        train: which part. Default: True.
        download: fetch the archive where it is missing. Default: False.

    Raises:
        RuntimeError: files are missing, damaged, or cannot be fetched.
    """

    base_folder = "cifar-10-batches-py"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename = "cifar-10-python.tar.gz"
    tgz_md5 = "c58f30108f718f92721af3b95e74349a"
    train_list = [("data_batch_1", "c99cafc152244af753f735de768cd75f"), ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
                  ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"), ("data_batch_4", "634d18415352ddfa80567beed471001a"),
                  ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb")]
    test_list = [("test_batch", "40351d587109b95175f43aff81a1287e")]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": "5ff9c542aee3614f3951f8cda6e48888"}

    def __init__(self, root: Any, train: bool = True, transform: Callable | None = None,
                 target_transform: Callable | None = None, download: bool = False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        if download:
            self.download()
        parts = [self._read(name) for name, _ in (self.train_list if train else self.test_list)]
        self.targets = [int(label) for part in parts for label in part.get("labels", part.get("fine_labels", ()))]
        try:
            pixels = np.concatenate([np.asarray(part["data"], np.uint8).reshape(-1, 3, 32, 32) for part in parts])
        except (KeyError, ValueError) as error:
            raise RuntimeError(f"{os.path.join(self.root, self.base_folder)}: a file is damaged: {error}") from error
        self.data = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
        self.classes = list(self._read(self.meta["filename"])[self.meta["key"]])
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}

    def _read(self, name: str) -> dict:
        path = os.path.join(self.root, self.base_folder, name)
        if not os.path.isfile(path):
            raise RuntimeError(f"Dataset not found or corrupted: there is no {path}. You can use download=True to download "
                               "it")
        return read_pickle(path)

    def _check_integrity(self) -> bool:
        folder = os.path.join(self.root, self.base_folder)
        return all(check_integrity(os.path.join(folder, name), md5) for name, md5 in [*self.train_list, *self.test_list])

    def download(self) -> None:
        """Fetches and unpacks the archive, unless the files are there with the right sums."""
        if not self._check_integrity():
            download_and_extract_archive(self.url, self.root, filename=self.filename, md5=self.tgz_md5)

    def __getitem__(self, index: int) -> Any:
        return self.transformed(pillow().fromarray(self.data[index]), self.targets[index])

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"


class CIFAR100(CIFAR10):
    """CIFAR-10's format with a hundred classes."""

    base_folder = "cifar-100-python"
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    filename = "cifar-100-python.tar.gz"
    tgz_md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    train_list = [("train", "16019d7e3df5f24257cddd939b257f8d")]
    test_list = [("test", "f0ef6b0ae62326f3e7ffdfab6717acfc")]
    meta = {"filename": "meta", "key": "fine_label_names", "md5": "7973b15100ade9c7d40fb424638fde48"}
