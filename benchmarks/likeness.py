"""Which pictures a network calls unlike all that it has learned from: its own, and others'.

    python -m benchmarks.likeness [--features] [--update docs/results.md] [--data ROOT]

With --features, the models' files `likeness.npz` are made anew, of training images; thresholds are
chosen on calibration images. Printed, and put into a file: the share of test images that are called
unlike, of the model's own data set and of others, whose pictures are resized as uploads are.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.report import add_update, publish
from core.data.pictures import PictureSet
from core.data.splits import load_split
from core.foundation.markdown import markdown_table
from core.hub.likeness import load_likeness, make_likeness, save_likeness
from core.hub.model import Model, load
from core.hub.registry import model_folder

SHIPPED = (
    "eenet20-cifar10",
    "eenet-airbench-large-cifar10",
    "ptee-lite0-photos",
    "eenet-lite0-photos",
)
OTHERS = ("cifar10", "photos", "tiny-imagenet", "mnist")
SOME = 400
"""Test images of each data set: a share is known to within 5 points."""


def pictures(dataset: str, model: Model, root: Path | None) -> NDArray[np.uint8]:
    """Return some test images, spread over a data set, as the model reads them."""
    test = load_split(dataset, "test", root)
    some = test.select(np.linspace(0, len(test) - 1, SOME).astype(int))
    transform = model.card.evaluation_transform
    if isinstance(some, PictureSet):
        return some.pixels(range(SOME), transform)
    if dataset == model.card.dataset:
        return some.images
    whole = [Image.fromarray(pixels.squeeze()) for pixels in some.images]
    return np.stack([transform.pixels(picture) for picture in whole])


def row(name: str, root: Path | None) -> list[str]:
    """Return a model's line."""
    model = load(name)
    likeness = load_likeness(model_folder(name), model.card)
    assert likeness is not None
    dataset = model.card.dataset
    cells = [f"`{name}`"]
    for other in (dataset, *(each for each in OTHERS if each != dataset)):
        images = pictures(other, model, root)
        unlike = (likeness.distances(model.features(images)) > likeness.threshold).mean()
        cells.append(f"{other}: {unlike:.0%}")
    return cells


def main() -> None:
    """Make the files if wanted; print what they tell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--features", action="store_true", help="make the models' files anew")
    add_update(parser)
    parser.add_argument("--data", type=Path, metavar="ROOT", help="folder of prepared data sets")
    options = parser.parse_args()
    if options.features:
        for name in SHIPPED:
            model = load(name)
            train, calibration = (
                load_split(model.card.dataset, split, options.data)
                for split in ("train", "calibration")
            )
            save_likeness(model_folder(name), model.card, make_likeness(model, train, calibration))
    heads = ("model", "own test images", "others", "", "")
    publish(
        markdown_table(heads, [row(name, options.data) for name in SHIPPED]),
        "likeness",
        options.update,
    )


if __name__ == "__main__":
    main()
