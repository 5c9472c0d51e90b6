"""Names of published weights, as torchvision has them: ``ResNet18_Weights.DEFAULT``, ``"IMAGENET1K_V1"``."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import Any

from clgrad.hub import load_state_dict_from_url
from clgrad.nn import Module
from clgrad.tensor import Tensor
from clgrad.vision.transforms import functional as F

_BASE = "https://download.pytorch.org/models/"
# Model: files of its weights, the best one last. All were trained on ImageNet's thousand classes.
FILES = {
    "AlexNet": {"IMAGENET1K_V1": "alexnet-owt-7be5be79.pth"},
    "VGG11": {"IMAGENET1K_V1": "vgg11-8a719046.pth"}, "VGG11_BN": {"IMAGENET1K_V1": "vgg11_bn-6002323d.pth"},
    "VGG13": {"IMAGENET1K_V1": "vgg13-19584684.pth"}, "VGG13_BN": {"IMAGENET1K_V1": "vgg13_bn-abd245e5.pth"},
    "VGG16": {"IMAGENET1K_V1": "vgg16-397923af.pth"}, "VGG16_BN": {"IMAGENET1K_V1": "vgg16_bn-6c64b313.pth"},
    "VGG19": {"IMAGENET1K_V1": "vgg19-dcbb9e9d.pth"}, "VGG19_BN": {"IMAGENET1K_V1": "vgg19_bn-c79401a0.pth"},
    "ResNet18": {"IMAGENET1K_V1": "resnet18-f37072fd.pth"}, "ResNet34": {"IMAGENET1K_V1": "resnet34-b627a593.pth"},
    "ResNet50": {"IMAGENET1K_V1": "resnet50-0676ba61.pth", "IMAGENET1K_V2": "resnet50-11ad3fa6.pth"},
    "ResNet101": {"IMAGENET1K_V1": "resnet101-63fe2227.pth", "IMAGENET1K_V2": "resnet101-cd907fc2.pth"},
    "ResNet152": {"IMAGENET1K_V1": "resnet152-394f9c45.pth", "IMAGENET1K_V2": "resnet152-f82ba261.pth"},
    "ResNeXt50_32X4D": {"IMAGENET1K_V1": "resnext50_32x4d-7cdf4587.pth", "IMAGENET1K_V2": "resnext50_32x4d-1a0047aa.pth"},
    "ResNeXt101_32X8D": {"IMAGENET1K_V1": "resnext101_32x8d-8ba56ff5.pth",
                         "IMAGENET1K_V2": "resnext101_32x8d-110c445d.pth"},
    "ResNeXt101_64X4D": {"IMAGENET1K_V1": "resnext101_64x4d-173b62eb.pth"},
    "Wide_ResNet50_2": {"IMAGENET1K_V1": "wide_resnet50_2-95faca4d.pth", "IMAGENET1K_V2": "wide_resnet50_2-9ba9bcbe.pth"},
    "Wide_ResNet101_2": {"IMAGENET1K_V1": "wide_resnet101_2-32ee1156.pth",
                         "IMAGENET1K_V2": "wide_resnet101_2-d733dc28.pth"},
    "MobileNet_V2": {"IMAGENET1K_V1": "mobilenet_v2-b0353104.pth", "IMAGENET1K_V2": "mobilenet_v2-7ebf99e0.pth"},
    "DenseNet121": {"IMAGENET1K_V1": "densenet121-a639ec97.pth"},
    "DenseNet161": {"IMAGENET1K_V1": "densenet161-8d451a50.pth"},
    "DenseNet169": {"IMAGENET1K_V1": "densenet169-b2777c0a.pth"},
    "DenseNet201": {"IMAGENET1K_V1": "densenet201-c1103571.pth"},
    "SqueezeNet1_0": {"IMAGENET1K_V1": "squeezenet1_0-b66bff10.pth"},
    "SqueezeNet1_1": {"IMAGENET1K_V1": "squeezenet1_1-b8a52dc0.pth"},
    "GoogLeNet": {"IMAGENET1K_V1": "googlenet-1378be20.pth"},
    "Inception_V3": {"IMAGENET1K_V1": "inception_v3_google-0cc3c7bd.pth"},
    "ViT_B_16": {"IMAGENET1K_V1": "vit_b_16-c867db91.pth"}, "ViT_B_32": {"IMAGENET1K_V1": "vit_b_32-d86f8d99.pth"},
    "ViT_L_16": {"IMAGENET1K_V1": "vit_l_16-852ce7e3.pth"}, "ViT_L_32": {"IMAGENET1K_V1": "vit_l_32-c7638314.pth"},
}


class ImageClassification(Module):
    """The preparation that the published weights were tested with: resize, crop the middle, scale, normalise."""

    def __init__(self, crop_size: int = 224, resize_size: int = 256):
        super().__init__()
        self.crop_size, self.resize_size = crop_size, resize_size

    def forward(self, img: Any) -> Any:
        img = F.center_crop(F.resize(img, self.resize_size), self.crop_size)
        x = img if isinstance(img, Tensor) else F.pil_to_tensor(img)
        return F.normalize(F.convert_image_dtype(x), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class WeightsEnum(Enum):
    """Base of the enumerations; a member's value is its file."""

    @property
    def url(self) -> str:
        """Where the weights are."""
        return _BASE + self.value

    @property
    def transforms(self) -> Any:
        """Makes the preparation of pictures for these weights."""
        if type(self).__name__.startswith("Inception"):
            return partial(ImageClassification, crop_size=299, resize_size=342)
        return partial(ImageClassification, resize_size=232 if self.name == "IMAGENET1K_V2" else 256)

    @property
    def meta(self) -> dict[str, Any]:
        """What is known about the weights."""
        return {"num_classes": 1000}

    def get_state_dict(self, progress: bool = True, check_hash: bool = True, **kwargs: Any) -> Any:
        """The weights, fetched where they are not in the hub's folder; other arguments are the hub's."""
        return load_state_dict_from_url(self.url, progress=progress, check_hash=check_hash, **kwargs)


ENUMS: dict[str, Any] = {
    f"{model}_Weights": WeightsEnum(f"{model}_Weights", {**files, "DEFAULT": list(files.values())[-1]})  # type: ignore
    for model, files in FILES.items()}


def loaded(model: Any, name: str, weights: Any) -> Any:
    """The model with published weights, where ``weights`` names some.

    Raises:
        ValueError: there are no weights of that name.
        RuntimeError: they cannot be fetched; the message says where to put the file, or how to load one of your own.
    """
    if weights is None:
        return model
    known = ENUMS[f"{name}_Weights"]
    if isinstance(weights, str):
        try:
            weights = known[weights.rpartition(".")[2]]
        except KeyError:
            raise ValueError(f"{name}: there are no weights {weights!r}, but {list(known.__members__)}") from None
    if not isinstance(weights, known):
        raise TypeError(f"Expected weights of {name}, got {weights!r}. For a file of your own: "
                        "model.load_state_dict(torch.load(path))")
    try:
        model.load_state_dict(weights.get_state_dict())
    except RuntimeError as error:
        if "cannot download" not in str(error):
            raise
        raise RuntimeError(f"{error}\nor make the model with weights=None and load a file of yours: "
                           "model.load_state_dict(torch.load(path))") from error
    return model


def chosen(name: str, weights: Any, kwargs: dict) -> Any:
    """The weights of a call, from ``weights`` or the older ``pretrained``; checks the number of classes.

    Raises:
        ValueError: ``num_classes`` differs from that of the weights.
    """
    if kwargs.pop("pretrained", False):
        weights = "IMAGENET1K_V1"
    elif isinstance(weights, bool):
        weights = "IMAGENET1K_V1" if weights else None
    if weights is not None and kwargs.get("num_classes", 1000) != 1000:
        raise ValueError(f"The parameter 'num_classes' expected value 1000 but got {kwargs['num_classes']} instead.")
    return weights
