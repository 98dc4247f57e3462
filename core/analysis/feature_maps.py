"""Feature maps: what each stage of a network makes of an image, as pictures of its channels."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from core.networks.network import ExitNetwork

PLACES = 8
EPSILON = 1e-12  # of a map that is the same everywhere


def feature_maps(network: ExitNetwork, image: Tensor, most: int) -> list[NDArray[np.float32]]:
    """Return the channels that each stage of a network puts out, those that vary most first.

    Args:
        network: in eval mode.
        image: normalised, (1, C, H, W).
        most: channels of a stage.

    Returns:
        Of every stage (channels, h, w), at most ``most`` of them, each from 0 at its smallest value
        to 1 at its largest. Those that differ most from place to place come first: by the standard
        deviation of their means over `PLACES` × `PLACES` parts. Where channels are single numbers,
        the largest come first, and all are on one scale.
    """
    found = []
    with torch.inference_mode():
        features = image
        for index in range(network.num_exits):
            features = network.stage(index, features)
            maps = (features if features.dim() == 2 else network.to_map(index, features))[0].float()
            found.append(_scaled(maps.reshape(len(maps), *(maps.shape[1:] or (1, 1))), most))
    return found


def _scaled(maps: Tensor, most: int) -> NDArray[np.float32]:
    single = maps[0].numel() == 1
    height, width = maps.shape[1:]
    coarse = adaptive_avg_pool2d(maps, (min(height, PLACES), min(width, PLACES))).flatten(1)
    strength = coarse[:, 0] if single else coarse.std(dim=1)
    maps = maps[strength.argsort(descending=True, stable=True)[:most]]
    places = (0, 1, 2) if single else (1, 2)
    low = maps.amin(dim=places, keepdim=True)
    range_ = maps.amax(dim=places, keepdim=True) - low
    scaled: NDArray[np.float32] = ((maps - low) / range_.clamp_min(EPSILON)).cpu().numpy()
    return scaled
