"""Files from the internet: with a checksum, a progress bar, and going on where a download was cut off."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import lzma
import os
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from typing import Any

from clgrad.optional import library

CHUNK = 1 << 18


def md5_of(path: str) -> str:
    """The MD5 sum of a file."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def check_integrity(fpath: str, md5: str | None = None) -> bool:
    """Whether a file is there and, where ``md5`` is given, has that sum."""
    return os.path.isfile(fpath) and (md5 is None or md5_of(fpath) == md5)


def _transfer(url: str, partial: str) -> None:
    """Fetches into ``partial``, going on after what is there."""
    begun = os.path.getsize(partial) if os.path.exists(partial) else 0
    request = urllib.request.Request(url, headers={"User-Agent": "clgrad", **({"Range": f"bytes={begun}-"} if begun else {})})
    with urllib.request.urlopen(request, timeout=30) as response:
        resumed = begun and response.status == 206
        total = int(response.headers.get("Content-Length") or 0) + (begun if resumed else 0)
        with open(partial, "ab" if resumed else "wb") as file, _bar(url, total, begun if resumed else 0) as bar:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if total and os.path.getsize(partial) != total:
        raise OSError(f"the connection ended after {os.path.getsize(partial):,} of {total:,} bytes")


def _bar(url: str, total: int, done: int) -> Any:
    with contextlib.suppress(ImportError):
        return library("tqdm", "tqdm", "a progress bar").tqdm(
            total=total or None, initial=done, unit="B", unit_scale=True, desc=url.rpartition("/")[2])
    return _Silent()


class _Silent(contextlib.AbstractContextManager):
    """Stands for a progress bar where tqdm is not installed."""

    def update(self, count: int) -> None:
        """Shows nothing."""

    def __exit__(self, *exception: object) -> None:
        """Ends nothing."""


def download_url(url: str | Iterable[str], root: str, filename: str | None = None, md5: str | None = None) -> str:
    """Puts a file into a folder, unless it is there with the right sum; returns its path.

    Args:
        url: where it is; with several, the first that works.
        md5: the sum that it must have.

    Raises:
        RuntimeError: no address works, or the sum is wrong; the message says where to put the file by hand.
    """
    urls = [url] if isinstance(url, str) else list(url)
    root = os.path.expanduser(root)
    path = os.path.join(root, filename or urls[0].rpartition("/")[2])
    if check_integrity(path, md5):
        return path
    os.makedirs(root, exist_ok=True)
    partial, reasons = f"{path}.part", []
    for source in urls:
        try:
            _transfer(source, partial)
        except (OSError, urllib.error.URLError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code == 416:
                os.unlink(partial)  # it was complete, or of another file
            reasons.append(f"{source}: {error}")
            continue
        if md5 is not None and md5_of(partial) != md5:
            os.unlink(partial)
            reasons.append(f"{source}: its MD5 sum is not {md5}")
            continue
        os.replace(partial, path)
        return path
    listed = "\n  ".join(reasons)
    raise RuntimeError(f"cannot download {os.path.basename(path)}:\n  {listed}\nWithout a network, fetch the file elsewhere "
                       f"and put it at {path}")


_COMPRESSED: dict[str, Any] = {".bz2": bz2.open, ".gz": gzip.open, ".xz": lzma.open}
_TARS = (".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tbz", ".tbz2", ".tgz")


def extract_archive(from_path: str | os.PathLike[str], to_path: str | os.PathLike[str] | None = None,
                    remove_finished: bool = False) -> str:
    """Unpacks a .zip, a .tar, which may be compressed, or a single file that is compressed; nothing leaves the folder.

    Args:
        to_path: the folder; that of the archive where it is not given.
        remove_finished: whether the archive is deleted afterwards.

    Returns:
        the folder, or the path of the single file.

    Raises:
        RuntimeError: the archive names a file outside of the folder, or is of another kind.
    """
    path = os.fspath(from_path)
    folder = os.path.dirname(path) if to_path is None else os.fspath(to_path)
    stem, ending = os.path.splitext(os.path.basename(path))
    target = folder
    if path.endswith(_TARS):
        with tarfile.open(path) as archive:
            for member in archive.getmembers():
                _inside(folder, member.name)
                if not (member.isfile() or member.isdir()):
                    raise RuntimeError(f"{path}: {member.name} is neither a file nor a folder")
            archive.extractall(folder)
    elif ending == ".zip":
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                _inside(folder, name)
            packed.extractall(folder)
    elif ending in _COMPRESSED:
        target = os.path.join(folder, stem)
        with _COMPRESSED[ending](path, "rb") as source, open(f"{target}.part", "wb") as file:
            shutil.copyfileobj(source, file)
        os.replace(f"{target}.part", target)
    else:
        raise RuntimeError(f"{path} is not an archive of a known kind")
    if remove_finished:
        os.remove(path)
    return target


def _inside(folder: str, name: str) -> None:
    root = os.path.realpath(folder)
    if os.path.commonpath([root, os.path.realpath(os.path.join(root, name))]) != root:
        raise RuntimeError(f"the archive names a file outside of its folder: {name}")


def download_and_extract_archive(url: str | Iterable[str], download_root: str, extract_root: str | None = None,
                                 filename: str | None = None, md5: str | None = None, remove_finished: bool = False) -> None:
    """:func:`download_url`, then :func:`extract_archive`."""
    extract_archive(download_url(url, download_root, filename, md5), os.path.expanduser(extract_root or download_root),
                    remove_finished)
