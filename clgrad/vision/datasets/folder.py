"""Folders of files, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from clgrad.optional import pillow
from clgrad.vision.datasets.dataset import VisionDataset

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def has_file_allowed_extension(filename: str, extensions: Sequence[str] | str) -> bool:
    """Whether a name ends in one of these."""
    return filename.lower().endswith(extensions if isinstance(extensions, str) else tuple(extensions))


def pil_loader(path: str) -> Any:
    """A file as a picture in RGB."""
    with open(path, "rb") as file:
        return pillow().open(file).convert("RGB")


default_loader = pil_loader


def find_classes(directory: Any) -> tuple[list[str], dict[str, int]]:
    """The folders in a folder, sorted, and their numbers; FileNotFoundError where there are none."""
    classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    if not classes:
        raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
    return classes, {name: number for number, name in enumerate(classes)}


def make_dataset(directory: Any, class_to_idx: dict[str, int] | None = None, extensions: Any = None,
                 is_valid_file: Callable | None = None, allow_empty: bool = False) -> list[tuple[str, int]]:
    """(path, class) of all files below a folder, sorted.

    Raises:
        ValueError: both, or neither, of ``extensions`` and ``is_valid_file``; an empty ``class_to_idx``.
        FileNotFoundError: a class without files, unless ``allow_empty``.
    """
    if (extensions is None) == (is_valid_file is None):
        raise ValueError("Both extensions and is_valid_file cannot be None or not None at the same time")
    if class_to_idx is None:
        _, class_to_idx = find_classes(directory)
    elif not class_to_idx:
        raise ValueError("'class_to_index' must have at least one entry to collect any samples.")
    valid = is_valid_file or (lambda path: has_file_allowed_extension(path, extensions))
    found: list[tuple[str, int]] = []
    empty = []
    for name in sorted(class_to_idx):
        before = len(found)
        for folder, _, files in sorted(os.walk(os.path.join(os.path.expanduser(directory), name), followlinks=True)):
            found += [(os.path.join(folder, file), class_to_idx[name]) for file in sorted(files)
                      if valid(os.path.join(folder, file))]
        if len(found) == before:
            empty.append(name)
    if empty and not allow_empty:
        kinds = f" Supported extensions are: {extensions if isinstance(extensions, str) else ', '.join(extensions)}" if (
            extensions is not None) else ""
        raise FileNotFoundError(f"Found no valid file for the classes {', '.join(empty)}.{kinds}")
    return found


class DatasetFolder(VisionDataset):
    """Samples ``root/class/.../file``, read by ``loader``, with the class's number.

    Args:
        loader: a function of a path.
        extensions: which files are samples; or
        is_valid_file: a function that says it of a path.
        allow_empty: a class may have no files.
    """

    def __init__(self, root: Any, loader: Callable, extensions: Any = None, transform: Callable | None = None,
                 target_transform: Callable | None = None, is_valid_file: Callable | None = None,
                 allow_empty: bool = False):
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.classes, self.class_to_idx = self.find_classes(self.root)
        self.samples = make_dataset(self.root, self.class_to_idx, extensions, is_valid_file, allow_empty)
        self.loader, self.extensions = loader, extensions
        self.targets = [target for _, target in self.samples]

    def find_classes(self, directory: Any) -> tuple[list[str], dict[str, int]]:
        """The classes and their numbers; a subclass may choose others."""
        return find_classes(directory)

    def __getitem__(self, index: int) -> Any:
        path, target = self.samples[index]
        return self.transformed(self.loader(path), target)

    def __len__(self) -> int:
        return len(self.samples)


class ImageFolder(DatasetFolder):
    """Pictures ``root/class/.../file``: samples are (picture in RGB, number of the class)."""

    def __init__(self, root: Any, transform: Callable | None = None, target_transform: Callable | None = None,
                 loader: Callable = default_loader, is_valid_file: Callable | None = None, allow_empty: bool = False):
        super().__init__(root, loader, IMG_EXTENSIONS if is_valid_file is None else None, transform, target_transform,
                         is_valid_file, allow_empty)
        self.imgs = self.samples
