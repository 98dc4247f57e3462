"""A trained network whose answers the exits learn from (Hinton et al., arXiv 1503.02531)."""

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.models import load
from core.nets.spec import NetworkSpec

ALIKE = ("num_classes", "in_channels", "image_size")


class Teacher(nn.Module):
    """The final exit of a trained network, which sees what the network that learns sees."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, pupil: NetworkSpec, device: str) -> None:
        """Load a model.

        Args:
            name: a shipped model, or the folder of one.
            pupil: the network that learns from it.
            device: where both are.

        Raises:
            UserError: no such model, or one of other images or classes.
        """
        super().__init__()
        model = load(name, device)
        for field in ALIKE:
            ours, theirs = getattr(pupil, field), getattr(model.card.spec, field)
            if ours != theirs:
                raise UserError(
                    f"expected the teacher {name} to have the same `{field}` as the network, "
                    f"{ours}, but it has {theirs}: choose a model of the same data set."
                )
        self.network = model.network.to(memory_format=torch.channels_last)
        for what in ("mean", "std"):
            values = torch.tensor(getattr(model.card, what), device=model.device)
            self.register_buffer(what, values[:, None, None])

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Answer images uint8 (B, C, H, W): logits (B, K) in float32."""
        images = (pixels.float() / 255 - self.mean) / self.std
        logits: Tensor = self.network(images.contiguous(memory_format=torch.channels_last)).logits
        return logits[:, -1].float()
