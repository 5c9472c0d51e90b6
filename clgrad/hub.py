"""Trained weights from the internet, kept in a folder of the user's."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlparse

from clgrad.downloads import download_url
from clgrad.serialization import load as _load

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")  # the sum in the name of a file
_state: dict[str, str | None] = {"folder": None}


def get_dir() -> str:
    """Where weights are kept: what :func:`set_dir` said, else ``$TORCH_HOME/hub``, else ``~/.cache/torch/hub``."""
    if _state["folder"] is not None:
        return _state["folder"]
    return os.path.join(_get_torch_home(), "hub")


def _get_torch_home() -> str:
    """``$TORCH_HOME``, else ``torch`` in ``$XDG_CACHE_HOME``, else ``~/.cache/torch``."""
    home = os.environ.get("TORCH_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache"), "torch")
    return os.path.expanduser(home)


def set_dir(d: str | os.PathLike) -> None:
    """Keeps weights in another folder from now on."""
    _state["folder"] = os.path.expanduser(os.fspath(d))


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Fetches a file, unless it is there.

    Raises:
        RuntimeError: it cannot be fetched, or its SHA-256 sum does not begin with ``hash_prefix``.
    """
    folder, name = os.path.split(os.path.abspath(dst))
    path = download_url(url, folder, name)
    if hash_prefix is None:
        return
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else (
            hashlib.sha256(file.read()).hexdigest())
    if not found.startswith(hash_prefix):
        os.unlink(path)
        raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{found}")')


def load_state_dict_from_url(url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True,
                             check_hash: bool = False, file_name: str | None = None, weights_only: bool = True) -> Any:
    """The weights at an address, from ``model_dir`` (default ``get_dir()/checkpoints``) where they are there already.

    Args:
        check_hash: compare the SHA-256 sum with the part of the name behind its last dash.

    Raises:
        RuntimeError: they cannot be fetched; the message says where to put the file by hand.
    """
    folder = model_dir or os.path.join(get_dir(), "checkpoints")
    name = file_name or os.path.basename(urlparse(url).path)
    found = HASH_REGEX.search(name) if check_hash else None
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        download_url_to_file(url, path, found.group(1) if found else None, progress)
    return _load(Path(path), map_location=map_location, weights_only=weights_only)


load_url = load_state_dict_from_url  # the name in torch.utils.model_zoo


def load(repo_or_dir: str, model: str, *args: Any, source: str = "github", trust_repo: Any = None, force_reload: bool = False,
         verbose: bool = True, skip_validation: bool = False, **kwargs: Any) -> Any:
    """What the function ``model`` in the ``hubconf.py`` of a folder returns for the arguments: with ``source="local"``.

    Raises:
        ValueError: another source than "github" and "local".
        RuntimeError: "github", as clgrad fetches weights, but never code; there is no such function; it needs modules that
            are not there.
    """
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "github":
        _refuse("load")
    folder = os.path.realpath(repo_or_dir)
    sys.path.insert(0, folder)
    try:
        return _entry(os.path.join(folder, "hubconf.py"), model)(*args, **kwargs)
    finally:
        sys.path.remove(folder)


def _entry(path: str, model: str) -> Callable:
    spec = importlib.util.spec_from_file_location("hubconf", path)
    if spec is None or spec.loader is None or not os.path.exists(path):
        raise FileNotFoundError(f"hub.load(): there is no {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    missing = [name for name in getattr(module, "dependencies", ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    found = getattr(module, model, None)
    if not callable(found):
        raise RuntimeError(f"Cannot find callable {model} in hubconf")
    return found


def _refuse(name: str) -> NoReturn:
    raise RuntimeError(f"hub.{name}(): clgrad does not fetch and run code of other repositories; get the model's code "
                       'yourself, for load(folder, model, source="local"), and its weights with load_state_dict_from_url')


def list(github: str, *args: Any, **kwargs: Any) -> NoReturn:
    """RuntimeError: see :func:`load`."""
    _refuse("list")


def help(github: str, model: str, *args: Any, **kwargs: Any) -> NoReturn:
    """RuntimeError: see :func:`load`."""
    _refuse("help")
