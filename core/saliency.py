"""Where an exit was looking."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from core.errors import UserError
from core.nets.network import ExitNetwork


def grad_cam(
    network: ExitNetwork, image: Tensor, exit_index: int, target: int
) -> NDArray[np.float32]:
    """Return Grad-CAM of one exit: which parts of the image speak for a class there.

    ReLU(Σ_c α_c A_c), with A the features that the exit's head reads and α_c the mean gradient
    of the class's logit with respect to channel c (Selvaraju et al., 2017). The features are at
    hand, so no hooks are needed and threads may share the network; only the stages up to the
    exit are run.

    Args:
        network: in eval mode; its weights get no gradients.
        image: normalised, (1, C, H, W).
        exit_index: from 0 to E−1.
        target: the class, from 0 to K−1.

    Returns:
        (H, W) in [0, 1], its largest value 1 unless nothing speaks for the class.

    Raises:
        UserError: no such exit or class.
    """
    if not 0 <= exit_index < network.num_exits:
        raise UserError(
            f"expected `exit_index` from 0 to {network.num_exits - 1}, but got {exit_index}."
        )
    features = image
    with torch.no_grad():
        for index in range(exit_index + 1):
            features = network.stage(index, features)
    with torch.enable_grad():
        features = features.detach().requires_grad_()
        logits = network.head(exit_index, features).logits
        if not 0 <= target < logits.shape[1]:
            raise UserError(f"expected `target` from 0 to {logits.shape[1] - 1}, but got {target}.")
        (gradient,) = torch.autograd.grad(logits[0, target], features)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    relevance = (weights * features.detach()).sum(dim=1, keepdim=True).relu()
    size = (image.shape[2], image.shape[3])
    map_ = F.interpolate(relevance, size=size, mode="bilinear", align_corners=False)[0, 0]
    largest = map_.max()
    scaled = map_ / largest if float(largest) > 0 else map_
    result: NDArray[np.float32] = scaled.cpu().numpy()
    return result
