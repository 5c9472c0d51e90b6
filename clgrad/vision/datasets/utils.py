"""What data sets of programs are written with: files fetched and unpacked, folders listed, arguments checked."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from clgrad.downloads import check_integrity, download_and_extract_archive, download_url, extract_archive
from clgrad.downloads import md5_of as calculate_md5
from clgrad.optional import library

__all__ = ["calculate_md5", "check_integrity", "check_md5", "download_and_extract_archive", "download_file_from_google_drive",
           "download_url", "extract_archive", "iterable_to_str", "list_dir", "list_files", "verify_str_arg"]


def check_md5(fpath: str | os.PathLike[str], md5: str) -> bool:
    """Whether a file has that MD5 sum."""
    return calculate_md5(os.fspath(fpath)) == md5


def download_file_from_google_drive(file_id: str, root: str | os.PathLike[str], filename: str | None = None,
                                    md5: str | None = None) -> None:
    """Puts a file of Google Drive into a folder, unless it is there with the right sum; needs gdown.

    Args:
        filename: its name in the folder, ``file_id`` where it is not given.
        md5: the sum that it must have.

    Raises:
        RuntimeError: the file did not come, or its sum is wrong.
    """
    folder = os.path.expanduser(root)
    path = os.path.join(folder, filename or file_id)
    if check_integrity(path, md5):
        return
    os.makedirs(folder, exist_ok=True)
    library("gdown", "gdown", "fetching files of Google Drive").download(id=file_id, output=path, quiet=False)
    if not check_integrity(path, md5):
        raise RuntimeError("File not found or corrupted.")


def list_dir(root: str | os.PathLike[str], prefix: bool = False) -> list[str]:
    """The folders in a folder: their names, or with ``prefix`` their paths."""
    return _listed(root, prefix, os.path.isdir)


def list_files(root: str | os.PathLike[str], suffix: str | tuple[str, ...], prefix: bool = False) -> list[str]:
    """The files in a folder whose names end with a suffix, or one of several: their names, or with ``prefix`` their paths."""
    return _listed(root, prefix, lambda path: os.path.isfile(path) and path.endswith(suffix))


def _listed(root: str | os.PathLike[str], prefix: bool, wanted: Callable[[str], bool]) -> list[str]:
    folder = os.path.expanduser(root)
    names = [name for name in os.listdir(folder) if wanted(os.path.join(folder, name))]
    return [os.path.join(folder, name) for name in names] if prefix else names


def iterable_to_str(iterable: Iterable) -> str:
    """Values in quotes, with commas between them."""
    return ", ".join(f"'{value}'" for value in iterable)


def verify_str_arg(value: str, arg: str | None = None, valid_values: Iterable[str] | None = None,
                   custom_msg: str | None = None) -> str:
    """The value of an argument that is one of some strings.

    Args:
        arg: the argument's name, for messages.
        custom_msg: what the error says in place of naming the values.

    Raises:
        ValueError: it is no string, or not among ``valid_values``.
    """
    if not isinstance(value, str):
        place = "" if arg is None else f" for argument {arg}"
        raise ValueError(f"Expected type str{place}, but got type {type(value)}.")
    if valid_values is not None and value not in valid_values:
        raise ValueError(custom_msg if custom_msg is not None else f"Unknown value '{value}' for argument {arg}. "
                         f"Valid values are {{{iterable_to_str(valid_values)}}}.")
    return value
