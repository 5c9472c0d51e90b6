"""Models by name, and the names of published weights, as torchvision has them: ``ResNet18_Weights.DEFAULT``."""

from __future__ import annotations

import fnmatch
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import ModuleType
from typing import Any, get_args

from clgrad.hub import load_state_dict_from_url
from clgrad.vision.models.published import (
    COCO_CATEGORIES,
    DETECTION,
    IMAGENET,
    PERSON_CATEGORIES,
    PERSON_KEYPOINTS,
    SEGMENTATION,
    VOC_CATEGORIES,
)
from clgrad.vision.transforms.modes import InterpolationMode
from clgrad.vision.transforms.presets import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageClassification,
    ObjectDetection,
    SemanticSegmentation,
)

_BASE = "https://download.pytorch.org/models/"


@dataclass(eq=False)
class Weights:
    """Published weights.

    Args:
        url: where their file is.
        transforms: makes the preparation of pictures.
        meta: what is known about them; ``num_classes``, ``num_params`` and ``min_size`` in clgrad's own.
    """

    url: str
    transforms: Callable
    meta: dict[str, Any]

    def __eq__(self, other: object) -> bool:
        # What ``partial`` makes is equal to itself alone, copies and pickles of weights are those weights.
        return isinstance(other, Weights) and (self.url, self.meta) == (other.url, other.meta)

    __hash__ = None  # type: ignore[assignment]


class WeightsEnum(Enum):
    """Base of the enumerations of a model's :class:`Weights`."""

    @classmethod
    def verify(cls, obj: Any) -> Any:
        """The member: of a name, with or without the enumeration's before it, or of a member; None of None.

        Raises:
            KeyError: there is no member of that name.
            TypeError: something else, as the member of another model.
        """
        if obj is None or isinstance(obj, cls):
            return obj
        if not isinstance(obj, str):
            raise TypeError(f"Invalid Weight class provided; expected {cls.__name__} but received {type(obj).__name__}. For "
                            "a file of your own: model.load_state_dict(torch.load(path))")
        name = obj.removeprefix(f"{cls.__name__}.")
        if name not in cls.__members__:
            raise KeyError(f"{cls.__name__} has no weights {name!r}, but {list(cls.__members__)}")
        return cls[name]

    @property
    def url(self) -> str:
        """Where the weights are."""
        return self.value.url

    @property
    def transforms(self) -> Any:
        """Makes the preparation of pictures for these weights."""
        return self.value.transforms

    @property
    def meta(self) -> dict[str, Any]:
        """What is known about the weights."""
        return self.value.meta

    def get_state_dict(self, progress: bool = True, check_hash: bool = False, **kwargs: Any) -> Any:
        """The weights, fetched where they are not in the hub's folder; other arguments are the hub's."""
        return load_state_dict_from_url(self.url, progress=progress, check_hash=check_hash, **kwargs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


def _classification(file: str, parameters: int, side: int, resize: int, crop: int, interpolation: str = "bilinear",
                    mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD) -> Weights:
    prepare = partial(ImageClassification, crop_size=crop, resize_size=resize, interpolation=InterpolationMode(interpolation),
                      mean=mean, std=std)
    classes = None if "features" in file else 1000  # such weights are for the convolutions alone
    return Weights(_BASE + file, prepare, {"num_classes": classes, "num_params": parameters, "min_size": (side, side)})


def _segmentation(file: str, parameters: int, side: int) -> Weights:
    return Weights(_BASE + file, partial(SemanticSegmentation, resize_size=520), {
        "num_classes": len(VOC_CATEGORIES), "categories": VOC_CATEGORIES, "num_params": parameters, "min_size": (side, side)})


def _detection(file: str, parameters: int) -> Weights:
    keypoints = file.startswith("keypoint")
    categories = PERSON_CATEGORIES if keypoints else COCO_CATEGORIES
    return Weights(_BASE + file, ObjectDetection, {
        "num_classes": len(categories), "categories": categories, "num_params": parameters, "min_size": (1, 1),
        **({"keypoint_names": PERSON_KEYPOINTS} if keypoints else {})})


def _enumerations(files: dict[str, dict[str, tuple]], made: Callable) -> dict[str, Any]:
    """``ResNet18_Weights`` and its like; DEFAULT is the newest of the numbered ones, else the first."""
    found = {}
    for model, rows in files.items():
        members = {name: made(*row) for name, row in rows.items()}
        numbered = [name for name in members if re.search("[A-Z0-9]_V[0-9]$", name) and "SWAG" not in name]
        best = numbered[-1] if numbered else next(iter(members))
        found[f"{model}_Weights"] = WeightsEnum(f"{model}_Weights", {**members, "DEFAULT": members[best]},  # type: ignore
                                                module=__name__)
    return found


ENUMS = _enumerations(IMAGENET, _classification)
SEGMENTATION_ENUMS = _enumerations(SEGMENTATION, _segmentation)
DETECTION_ENUMS = _enumerations(DETECTION, _detection)
_KNOWN = ENUMS | SEGMENTATION_ENUMS | DETECTION_ENUMS
globals().update(_KNOWN)  # pickles look for them here


def enumerations(*models: str) -> dict[str, Any]:
    """The enumerations of models whose names begin so, for the module of a family to offer."""
    return {name: known for name, known in _KNOWN.items() if name.startswith(models)}


def loaded(model: Any, weights: WeightsEnum | None, progress: bool = True) -> Any:
    """The model with published weights, where there are some.

    Raises:
        RuntimeError: they cannot be fetched; the message says where to put the file, or how to load one of your own.
    """
    if weights is None:
        return model
    try:
        model.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
    except RuntimeError as error:
        if "cannot download" not in str(error):
            raise
        raise RuntimeError(f"{error}\nor make the model with weights=None and load a file of yours: "
                           "model.load_state_dict(torch.load(path))") from error
    return model


def required(kwargs: dict, name: str, value: Any) -> None:
    """Sets the argument that weights ask for.

    Raises:
        ValueError: the call gives another value.
    """
    if kwargs.setdefault(name, value) != value:
        raise ValueError(f"The parameter '{name}' expected value {value} but got {kwargs[name]} instead.")


def chosen(known: str, weights: Any, kwargs: dict) -> Any:
    """The weights of a call, from ``weights`` or the older ``pretrained``; sets the number of classes.

    Args:
        known: the name of the enumeration.

    Raises:
        ValueError: ``num_classes`` differs from that of the weights.
    """
    if kwargs.pop("pretrained", False) or weights is True:
        weights = "IMAGENET1K_V1"
    found = ENUMS[known].verify(None if weights is False else weights)
    if found is not None and found.meta["num_classes"] is not None:
        required(kwargs, "num_classes", found.meta["num_classes"])
    return found


BUILDERS: dict[str, Callable] = {}


def register_model(name: str | None = None) -> Callable:
    """A decorator that gives a function a name for :func:`get_model`, by default its own.

    Raises:
        ValueError: the name is taken.
    """
    def register(build: Callable) -> Callable:
        key = build.__name__ if name is None else name
        if key in BUILDERS:
            raise ValueError(f"An entry is already registered under the name '{key}'.")
        BUILDERS[key] = build
        return build
    return register


def of_weights(known: str) -> Callable:
    """A decorator that registers the function of a model under its name, and notes whose weights it takes."""
    def noted(build: Callable) -> Callable:
        build.__annotations__["weights"] = _KNOWN[known] | None
        return register_model()(build)
    return noted


def builder(make: Callable, function: str, known: str, demanded: Callable[[Any], dict] | None = None) -> Callable:
    """The public function of a model, which takes ``weights`` (None, or published ones), ``progress`` and its arguments.

    Args:
        make: makes the model, untrained.
        function: the name.
        known: the name of the enumeration of its weights.
        demanded: other arguments that weights ask for beside ``num_classes``.
    """
    def build(weights: Any = None, progress: bool = True, **kwargs: Any) -> Any:
        weights = chosen(known, weights, kwargs)
        if weights is not None and demanded is not None:
            for name, value in demanded(weights).items():
                required(kwargs, name, value)
        return loaded(make(**kwargs), weights, progress)
    build.__name__ = build.__qualname__ = function
    build.__module__ = make.__module__
    build.__doc__ = (f"{function}: ``weights`` None or published ones ({known}); other arguments are those of the family's "
                     "class.")
    return of_weights(known)(build)


def get_model_builder(name: str) -> Callable:
    """The function that makes the model of a name.

    Raises:
        ValueError: there is none.
    """
    if name.lower() not in BUILDERS:
        raise ValueError(f"Unknown model {name.lower()}")
    return BUILDERS[name.lower()]


def get_model(name: str, **config: Any) -> Any:
    """The model of a name; ``config`` are the arguments of its function. ValueError where there is none.

    >>> get_model("squeezenet1_1", num_classes=10).num_classes
    10
    """
    return get_model_builder(name)(**config)


def list_models(module: ModuleType | None = None, include: Iterable[str] | str | None = None,
                exclude: Iterable[str] | str | None = None) -> list[str]:
    """The names that :func:`get_model` takes, in order.

    Args:
        module: only the models of this module, ``models``, ``models.segmentation`` or ``models.detection``.
        include, exclude: patterns as those of files, of which a name has to match one, or none.

    >>> list_models(include="resnet*", exclude=["*18", "*34"])
    ['resnet101', 'resnet152', 'resnet50']
    """
    def matches(name: str, patterns: Iterable[str] | str) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in ([patterns] if isinstance(patterns, str) else patterns))
    return sorted(name for name, build in BUILDERS.items()
                  if (module is None or getattr(module, name, None) is build)
                  and (not include or matches(name, include)) and not (exclude and matches(name, exclude)))


def get_model_weights(name: Callable | str) -> type[WeightsEnum]:
    """The enumeration of a model's weights, by its name or function.

    Raises:
        ValueError: no such model, or a function that does not say which weights it takes.

    >>> get_model_weights("resnet50").DEFAULT.meta["num_params"]
    25557032
    """
    parameters = inspect.signature(get_model_builder(name) if isinstance(name, str) else name).parameters
    if "weights" not in parameters:
        raise ValueError("The method is missing the 'weights' argument.")
    said = parameters["weights"].annotation
    for found in (said, *get_args(said)):
        if isinstance(found, type) and issubclass(found, WeightsEnum):
            return found
    raise ValueError("The WeightsEnum class for the specific method couldn't be retrieved. Make sure the typing info is "
                     "correct.")


def get_weight(name: str) -> WeightsEnum:
    """Weights by their full name.

    Raises:
        ValueError: the name is not one of two parts, or there is no such enumeration.
        KeyError: it has no such member.

    >>> get_weight("ResNet50_Weights.IMAGENET1K_V2").url
    'https://download.pytorch.org/models/resnet50-11ad3fa6.pth'
    """
    parts = name.split(".")
    if len(parts) != 2:
        raise ValueError(f"Invalid weight name provided: '{name}'.")
    if parts[0] not in _KNOWN:
        raise ValueError(f"The weight enum '{parts[0]}' for the specific method couldn't be retrieved.")
    return _KNOWN[parts[0]][parts[1]]
