"""Where storages of files are put: the names that files have for devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.cuda import is_available
from clgrad.runtime import canonical, device
from clgrad.storage import UntypedStorage

_packages: list[tuple[int, Callable, Callable]] = []


def register_package(priority: int, tagger: Callable[[Any], str | None],
                     deserializer: Callable[[Any, str], Any]) -> None:
    """Asks a program's functions before clgrad's own, those of the lowest priority number first.

    Args:
        tagger: gives the name that files are to have for a storage's device, or None.
        deserializer: gives a storage, which is in host memory, where one of such a name belongs, or None.
    """
    _packages.append((priority, tagger, deserializer))
    _packages.sort(key=lambda package: package[0])


def location_tag(storage: Any) -> str:
    """The name that files have for the device of a storage."""
    for _, tagger, _ in _packages:
        location = tagger(storage)
        if location:
            return location
    return str(storage.device)


def default_restore_location(storage: Any, location: str) -> Any:
    """A storage of the host put where a file says that it was.

    Raises:
        RuntimeError: there is no such device.
    """
    for _, _, deserializer in _packages:
        result = deserializer(storage, location)
        if result is not None:
            return result
    try:
        place = canonical(device(location))
    except RuntimeError as error:
        kind = "UntypedStorage" if isinstance(storage, UntypedStorage) else type(storage).__name__
        raise RuntimeError(f"don't know how to restore data location of torch.storage.{kind} (tagged with {location})"
                           ) from error
    if place.type == "cuda" and not is_available():
        raise RuntimeError("Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. If you "
                           "are running on a CPU-only machine, please use torch.load with map_location=torch.device('cpu') "
                           "to map your storages to the CPU.")
    return storage.to(device=place)
