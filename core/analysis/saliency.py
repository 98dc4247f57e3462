"""Saliency maps: the parts of an image that raise the score of a class at an exit.

Every method runs only the stages up to that exit. No method registers hooks, so threads may share
a network.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import IntegratedGradients, Occlusion, Saliency
from numpy.typing import NDArray
from torch import Tensor

from core.foundation.errors import UserError
from core.foundation.registry import Registry
from core.networks.heads import Head, RestReader
from core.networks.network import ExitNetwork
from core.networks.trunk import key

Map = Callable[[ExitNetwork, Tensor, int, int], NDArray[np.float32]]


@dataclass(frozen=True)
class SaliencyMethod:
    """A named saliency map: ``function`` has the arguments and the result of `grad_cam`."""

    name: str
    title: str
    description: str
    function: Map


SALIENCY: Registry[SaliencyMethod] = Registry("saliency method")

STEPS = 32  # of integrated gradients
NOISY_COPIES = 16  # of SmoothGrad
NOISE = 0.3  # their standard deviation, in normalised units
PATCHES = 8  # that occlusion cuts each side into


def method(name: str, title: str, description: str) -> Callable[[Map], Map]:
    """Register the decorated function as a saliency method."""
    return SALIENCY.register_made(name, SaliencyMethod, title, description)


@method(
    "grad_cam",
    "Grad-CAM",
    "The parts of the exit's features that raise the answer's score. Coarse, and robust.",
)
def grad_cam(
    network: ExitNetwork, image: Tensor, exit_index: int, target: int
) -> NDArray[np.float32]:
    """Return Grad-CAM of an exit: the parts of the image that raise the logit of a class there.

    ReLU(Σ_c α_c A_c), with A the features that the exit's head reads, or, where that goes on as the
    trunk does, the last that it makes; and α_c the gradient of the
    class's logit with respect to channel c (Selvaraju et al., 2017), summed over its places and not
    averaged, so that maps of exits with finer and coarser features are on one scale.

    Args:
        network: in eval mode; its weights get no gradients.
        image: normalised, (1, C, H, W).
        exit_index: from 0 to E−1.
        target: the class, from 0 to K−1.

    Returns:
        (H, W), at least 0, in units of the logit.

    Raises:
        UserError: no such exit or class.
    """
    _check_exit(network, exit_index)
    stop = network.stage_ranges[exit_index][1]
    head = network.heads[key(network.exit_names[exit_index])]
    if isinstance(head, Head) and isinstance(head.reader, RestReader):
        return _of_maps(*_inside_head(network, image, exit_index, target, head, head.reader), image)
    features, gradient = _with_gradient(network, image, exit_index, target, stop)
    if stop > 1 and not gradient.any():
        # The exit reads the class token alone, which has read the picture in the last block.
        features, gradient = _with_gradient(network, image, exit_index, target, stop - 1)
    return _of_maps(features, gradient, image)


def _of_maps(features: Tensor, gradient: Tensor, image: Tensor) -> NDArray[np.float32]:
    weights = gradient.sum(dim=(2, 3), keepdim=True)
    relevance = (weights * features).sum(dim=1, keepdim=True).relu()
    size = (image.shape[2], image.shape[3])
    return _array(F.interpolate(relevance, size=size, mode="bilinear", align_corners=False)[0, 0])


@method("saliency", "Gradient", "The pixels that would change the answer's score the most.")
def gradient(
    network: ExitNetwork, image: Tensor, exit_index: int, target: int
) -> NDArray[np.float32]:
    """Return max_c |∂ logit / ∂ x_c| (Simonyan et al., 2014). Arguments as `grad_cam`.

    x is normalised, with a standard deviation of 1.
    """
    forward = _forward(network, image, exit_index, target)
    gradients = Saliency(forward).attribute(image.clone().requires_grad_(), target=target)
    return _array(gradients[0].amax(dim=0))


@method(
    "smooth_grad",
    "SmoothGrad",
    f"The gradient, averaged over {NOISY_COPIES} noisy copies: the same, less grainy.",
)
def smooth_grad(
    network: ExitNetwork, image: Tensor, exit_index: int, target: int
) -> NDArray[np.float32]:
    """Return the mean gradient map of noisy copies (Smilkov et al., 2017), the same every time."""
    forward = _forward(network, image, exit_index, target)
    # A local generator, as captum's noise comes from the global one that all threads share.
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((NOISY_COPIES, *image.shape[1:]), generator=generator)
    copies = (image + NOISE * noise.to(image.device)).requires_grad_()
    gradients = Saliency(forward).attribute(copies, target=target)
    return _array(gradients.mean(dim=0).amax(dim=0))


@method(
    "integrated_gradients",
    "Integrated gradients",
    "How much each pixel adds to the answer's score on the way from an average image to this one.",
)
def integrated_gradients(
    network: ExitNetwork, image: Tensor, exit_index: int, target: int
) -> NDArray[np.float32]:
    """Return the positive part of Σ_c IG_c (Sundararajan et al., 2017), from the data's mean."""
    forward = _forward(network, image, exit_index, target)
    attributions = IntegratedGradients(forward).attribute(
        image.clone().requires_grad_(), target=target, n_steps=STEPS, internal_batch_size=STEPS
    )
    return _array(attributions[0].sum(dim=0).relu())


@method(
    "occlusion",
    "Occlusion",
    "How much the answer's score falls when a patch is covered. Slow, and needs no gradient.",
)
def occlusion(
    network: ExitNetwork, image: Tensor, exit_index: int, target: int
) -> NDArray[np.float32]:
    """Return the drop of the logit, at least 0, when each patch is covered with the data's mean."""
    forward = _forward(network, image, exit_index, target)
    side = max(min(image.shape[2:]) // PATCHES, 1)
    with torch.no_grad():
        attributions = Occlusion(forward).attribute(
            image,
            sliding_window_shapes=(image.shape[1], side, side),
            strides=(image.shape[1], max(side // 2, 1), max(side // 2, 1)),
            target=target,
            perturbations_per_eval=64,
        )
    return _array(attributions[0].sum(dim=0).relu())


def _with_gradient(
    network: ExitNetwork, image: Tensor, exit_index: int, target: int, block: int
) -> tuple[Tensor, Tensor]:
    """Return maps (1, C, H, W) after so many blocks, and the gradient there of an exit's logit."""
    trunk, stop = network.trunk, network.stage_ranges[exit_index][1]
    to_map = trunk.layouts[block - 1].to_map
    with torch.no_grad():
        features = trunk.run(image, 0, block)
    with torch.enable_grad():
        features = features.detach().requires_grad_()
        changeable = features.clone()  # a module of somebody's may work in place
        logits = network.head(exit_index, trunk.run(changeable, block, stop)).logits
        _check_target(logits, target)
        (gradient,) = torch.autograd.grad(logits[0, target], features)
    return to_map(features.detach()), to_map(gradient)


def _inside_head(
    network: ExitNetwork,
    image: Tensor,
    exit_index: int,
    target: int,
    head: Head,
    reader: RestReader,
) -> tuple[Tensor, Tensor]:
    """Return the last maps that a head makes, and the gradient there of its logit."""
    features = network.trunk.run(image, 0, network.stage_ranges[exit_index][1])
    with torch.no_grad():
        maps = reader.maps(network.to_map(exit_index, features))
    with torch.enable_grad():
        maps = maps.detach().requires_grad_()
        logits = head.answer(reader.averaged(maps)).logits
        _check_target(logits, target)
        (gradient,) = torch.autograd.grad(logits[0, target], maps)
    return maps.detach(), gradient


def _forward(
    network: ExitNetwork, image: Tensor, exit_index: int, target: int
) -> Callable[[Tensor], Tensor]:
    """Return the function from images (B, C, H, W) to the logits (B, K) of one exit."""
    _check_exit(network, exit_index)

    def forward(images: Tensor) -> Tensor:
        features = images
        for index in range(exit_index + 1):
            features = network.stage(index, features)
        return network.head(exit_index, features).logits

    with torch.no_grad():
        _check_target(forward(image), target)
    return forward


def _check_exit(network: ExitNetwork, exit_index: int) -> None:
    if not 0 <= exit_index < network.num_exits:
        raise UserError(
            f"expected `exit_index` from 0 to {network.num_exits - 1}, but got {exit_index}."
        )


def _check_target(logits: Tensor, target: int) -> None:
    if not 0 <= target < logits.shape[1]:
        raise UserError(f"expected `target` from 0 to {logits.shape[1] - 1}, but got {target}.")


def _array(relevance: Tensor) -> NDArray[np.float32]:
    result: NDArray[np.float32] = relevance.detach().float().cpu().numpy()
    return result
