"""Feature maps: what the stages of a network make of an image, a few channels of each as pictures."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.networks.network import ExitNetwork


def feature_maps(network: ExitNetwork, image: Tensor, most: int) -> list[NDArray[np.float32]]:
    """Return the channels that each stage of a network puts out, those that vary most first.

    Args:
        network: in eval mode.
        image: normalised, (1, C, H, W).
        most: channels of a stage.

    Returns:
        Of every stage (channels, h, w), at most ``most`` of them, each from 0 at its smallest value
        to 1 at its largest. A channel is one whose values have the largest standard deviation.
    """
    found = []
    with torch.inference_mode():
        features = image
        for index in range(network.num_exits):
            features = network.stage(index, features)
            maps = features if features.dim() == 2 else network.to_map(index, features)
            found.append(_scaled(maps[0].float().cpu().numpy(), most))
    return found


def _scaled(maps: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    maps = maps.reshape(len(maps), *(maps.shape[1:] or (1, 1)))
    order = (-maps.std(axis=(1, 2))).argsort(kind="stable")[:most]
    low = maps[order].min(axis=(1, 2), keepdims=True)
    height = maps[order].max(axis=(1, 2), keepdims=True) - low
    scaled: NDArray[np.float32] = (maps[order] - low) / np.where(height > 0, height, 1)
    return scaled
