"""The base class of data sets of pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from clgrad.utils.data import Dataset


class VisionDataset(Dataset):
    """Pictures with targets, and how they are transformed.

    Args:
        root: the folder of the files.
        transforms: a function of picture and target, instead of the next two.
        transform, target_transform: functions of the picture and of the target.
    """

    def __init__(self, root: Any = None, transforms: Callable | None = None, transform: Callable | None = None,
                 target_transform: Callable | None = None):
        if transforms is not None and (transform is not None or target_transform is not None):
            raise ValueError("Only transforms or transform/target_transform can be passed as argument")
        self.root = os.path.expanduser(root) if isinstance(root, (str, os.PathLike)) else root
        self.transform, self.target_transform, self.transforms = transform, target_transform, transforms

    def transformed(self, picture: Any, target: Any) -> tuple[Any, Any]:
        """A sample as users get it."""
        if self.transforms is not None:
            return self.transforms(picture, target)
        if self.transform is not None:
            picture = self.transform(picture)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return picture, target

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """What a subclass adds to its text."""
        return ""

    def __repr__(self) -> str:
        lines = [f"Dataset {type(self).__name__}", f"    Number of datapoints: {len(self)}"]
        if self.root is not None:
            lines.append(f"    Root location: {self.root}")
        lines += [f"    {line}" for line in self.extra_repr().splitlines()]
        for name in ("transforms", "transform", "target_transform"):
            value = getattr(self, name)
            if value is not None:
                lines.append(f"    {name.replace('_', ' ').capitalize()}: {value!r}")
        return "\n".join(lines)
