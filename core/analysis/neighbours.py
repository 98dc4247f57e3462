"""Neighbours: the images that look most alike to an exit, by what its head reads."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from core.exits.table import FloatArray, IntArray
from core.networks.network import ExitNetwork


def exit_features(network: ExitNetwork, images: Tensor) -> list[FloatArray]:
    """Return what the head of each exit reads of each image, averaged over places, of length 1.

    Args:
        network: in eval mode.
        images: normalised, (B, C, H, W).

    Returns:
        Of every exit (B, channels).
    """
    found = []
    with torch.inference_mode():
        features = images.to(network.dtype)
        for index in range(network.num_exits):
            features = network.stage(index, features)
            read = features if features.dim() == 2 else network.to_map(index, features).flatten(2)
            means = read.float() if read.dim() == 2 else read.float().mean(dim=2)
            found.append(normalize(means).cpu().numpy())
    return found


def nearest(
    known: FloatArray, image: FloatArray, count: int, leave_out: NDArray[np.bool_]
) -> tuple[IntArray, FloatArray]:
    """Return the images that are most like one, the nearest first; every one is compared.

    Args:
        known: (N, channels), of `exit_features`.
        image: (channels,), of the same exit.
        count: how many to return, at most.
        leave_out: (N,) images that are not to be found, such as the image itself.

    Returns:
        Their positions, and the cosine of the angle between their features and the image's.
    """
    alike = known @ image
    order = np.argsort(-alike, kind="stable")
    order = order[~leave_out[order]][:count]
    return order, alike[order]
