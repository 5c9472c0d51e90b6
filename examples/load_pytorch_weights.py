"""Classifies a picture with weights that PyTorch trained.

    python examples/load_pytorch_weights.py WEIGHTS.pth PICTURE [--model resnet18] [--device cpu] [--top 5]

WEIGHTS.pth is a state_dict that torch.save wrote, such as torchvision's resnet18-f37072fd.pth; a .safetensors file works
too. Nothing in it is run. Prints the classes with the highest scores, by number.
"""

import argparse
from pathlib import Path

from common import fail

import clgrad as torch
from clgrad import safetensors
from clgrad.vision import io, models
from clgrad.vision.transforms.presets import ImageClassification


class Arguments(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message):
        fail(message)


def state_of(path):
    """The names and tensors of a file; those of a checkpoint that holds more lie under a key of their own."""
    if path.suffix == ".safetensors":
        return safetensors.load_file(path)
    found = torch.load(path, map_location="cpu")
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            return found[key]
    return found


def main():
    parser = Arguments(description="Classify a picture with weights that PyTorch trained.")
    parser.add_argument("weights", type=Path, help="a .pth or .safetensors file with a state_dict")
    parser.add_argument("picture", type=Path, help="a picture in any format that Pillow reads")
    parser.add_argument("--model", default="resnet18", help=f"one of {', '.join(models.list_models())}")
    parser.add_argument("--device", default="cpu", help="where it is computed")
    parser.add_argument("--top", type=int, default=5, help="how many classes are printed")
    options = parser.parse_args()
    try:
        state = state_of(options.weights)
        # The last layer's bias says how many classes there are.
        classes = list(state.values())[-1].shape[0]
        model = models.get_model(options.model, num_classes=classes)
        model.load_state_dict(state)
        image = ImageClassification(crop_size=224)(io.read_image(options.picture, io.ImageReadMode.RGB))
    except (OSError, RuntimeError, ValueError, AttributeError, IndexError) as error:
        fail(str(error)[:300])
    model.to(options.device).eval()
    with torch.no_grad():
        shares = model(image.unsqueeze(0).to(options.device)).softmax(1)[0].tolist()
    for share, number in sorted(zip(shares, range(classes), strict=True), reverse=True)[:options.top]:
        print(f"class {number}: {100 * share:.2f} %")


if __name__ == "__main__":
    main()
