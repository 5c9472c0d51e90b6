"""``torchvision.transforms.v2``: transforms of whole samples.

A sample is a picture, or any structure of dicts, lists and tuples. Pictures of Pillow's and the classes of
:mod:`clgrad.vision.tv_tensors` in it are transformed, with the same chances for all of them; of plain tensors the first is,
where there is no other picture. Turned boxes are refused.

>>> import clgrad
>>> from clgrad.vision import tv_tensors
>>> sample = {"image": tv_tensors.Image(clgrad.zeros(3, 8, 6)), "label": 3,
...           "boxes": tv_tensors.BoundingBoxes([[0, 4, 3, 8]], format="XYXY", canvas_size=(8, 6))}
>>> made = Resize((4, 12))(sample)
>>> made["image"].shape, made["boxes"].tolist(), made["label"]
(torch.Size([3, 4, 12]), [[0, 2, 6, 4]], 3)
"""

from clgrad.vision.transforms import autoaugment, basic, random, warps
from clgrad.vision.transforms.autoaugment import AutoAugmentPolicy
from clgrad.vision.transforms.modes import InterpolationMode
from clgrad.vision.transforms.v2 import functional
from clgrad.vision.transforms.v2.changes import (
    JPEG,
    RGB,
    ClampKeyPoints,
    GaussianNoise,
    RandomChannelPermutation,
    SanitizeKeyPoints,
    UniformTemporalSubsample,
)
from clgrad.vision.transforms.v2.containers import Compose, RandomApply, RandomChoice, RandomOrder
from clgrad.vision.transforms.v2.geometry import (
    RandomIoUCrop,
    RandomPhotometricDistort,
    RandomResize,
    RandomShortestSize,
    RandomZoomOut,
    ScaleJitter,
)
from clgrad.vision.transforms.v2.kinds import (
    ClampBoundingBoxes,
    ConvertBoundingBoxFormat,
    Identity,
    Lambda,
    PILToTensor,
    SanitizeBoundingBoxes,
    SetClampingMode,
    ToDtype,
    ToImage,
    ToPILImage,
    ToPureTensor,
    ToTensor,
)
from clgrad.vision.transforms.v2.mixing import CutMix, MixUp
from clgrad.vision.transforms.v2.transform import (
    PICTURES,
    Transform,
    check_type,
    get_bounding_boxes,
    has_all,
    has_any,
    of_one_picture,
    query_chw,
    query_size,
    second,
)

AugMix = second(autoaugment.AugMix, PICTURES, of_one_picture)
AutoAugment = second(autoaugment.AutoAugment, PICTURES, of_one_picture)
CenterCrop = second(basic.CenterCrop)
ColorJitter = second(random.ColorJitter, PICTURES)
ConvertImageDtype = second(basic.ConvertImageDtype, PICTURES)
ElasticTransform = second(warps.ElasticTransform)
FiveCrop = second(basic.FiveCrop)
GaussianBlur = second(random.GaussianBlur, PICTURES)
Grayscale = second(basic.Grayscale, PICTURES)
LinearTransformation = second(basic.LinearTransformation, PICTURES)
Normalize = second(basic.Normalize, PICTURES)
Pad = second(basic.Pad)
RandAugment = second(autoaugment.RandAugment, PICTURES, of_one_picture)
RandomAdjustSharpness = second(random.RandomAdjustSharpness, PICTURES)
RandomAffine = second(random.RandomAffine)
RandomAutocontrast = second(random.RandomAutocontrast, PICTURES)
RandomCrop = second(random.RandomCrop)
RandomEqualize = second(random.RandomEqualize, PICTURES)
RandomErasing = second(random.RandomErasing, PICTURES)
RandomGrayscale = second(random.RandomGrayscale, PICTURES)
RandomHorizontalFlip = second(random.RandomHorizontalFlip)
RandomInvert = second(random.RandomInvert, PICTURES)
RandomPerspective = second(warps.RandomPerspective)
RandomPosterize = second(random.RandomPosterize, PICTURES)
RandomResizedCrop = second(random.RandomResizedCrop)
RandomRotation = second(random.RandomRotation)
RandomSolarize = second(random.RandomSolarize, PICTURES)
RandomVerticalFlip = second(random.RandomVerticalFlip)
Resize = second(basic.Resize)
TenCrop = second(basic.TenCrop)
TrivialAugmentWide = second(autoaugment.TrivialAugmentWide, PICTURES, of_one_picture)

__all__ = ["AugMix", "AutoAugment", "AutoAugmentPolicy", "CenterCrop", "ClampBoundingBoxes", "ClampKeyPoints", "ColorJitter",
           "Compose", "ConvertBoundingBoxFormat", "ConvertImageDtype", "CutMix", "ElasticTransform", "FiveCrop",
           "GaussianBlur", "GaussianNoise", "Grayscale", "Identity", "InterpolationMode", "JPEG", "Lambda",
           "LinearTransformation", "MixUp", "Normalize", "PILToTensor", "Pad", "RGB", "RandAugment", "RandomAdjustSharpness",
           "RandomAffine", "RandomApply", "RandomAutocontrast", "RandomChannelPermutation", "RandomChoice", "RandomCrop",
           "RandomEqualize", "RandomErasing", "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert", "RandomIoUCrop",
           "RandomOrder", "RandomPerspective", "RandomPhotometricDistort", "RandomPosterize", "RandomResize",
           "RandomResizedCrop", "RandomRotation", "RandomShortestSize", "RandomSolarize", "RandomVerticalFlip",
           "RandomZoomOut", "Resize", "SanitizeBoundingBoxes", "SanitizeKeyPoints", "ScaleJitter", "SetClampingMode",
           "TenCrop", "ToDtype", "ToImage", "ToPILImage", "ToPureTensor", "ToTensor", "Transform", "TrivialAugmentWide",
           "UniformTemporalSubsample", "check_type", "functional", "get_bounding_boxes", "has_all", "has_any", "query_chw",
           "query_size"]
