"""A trained network whose answers the exits learn from (Hinton et al., arXiv 1503.02531)."""

import torch
from torch import Tensor, nn

from core.foundation.errors import UserError
from core.networks.spec import NetworkSpec
from core.training.start_from import TrainedNetwork

ALIKE = ("num_classes", "in_channels", "image_size")


class Teacher(nn.Module):
    """The final exit of a trained network, which sees what the network that learns sees."""

    def __init__(
        self, name: str, trained: TrainedNetwork, pupil: NetworkSpec, device: torch.device
    ) -> None:
        """Make a teacher of a trained network.

        Args:
            name: what to call it.
            trained: the network that knows better.
            pupil: the network that learns from it.
            device: where both are.

        Raises:
            UserError: it is one of other images or classes.
        """
        super().__init__()
        for field in ALIKE:
            ours, theirs = getattr(pupil, field), getattr(trained.spec, field)
            if ours != theirs:
                raise UserError(
                    f"expected the teacher {name} to have the same `{field}` as the network, "
                    f"{ours}, but it has {theirs}: choose a model of the same data set."
                )
        self.network = trained.network.to(device).to(memory_format=torch.channels_last)
        self.normalise = trained.normalisation.to(device)

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Answer images uint8 (B, C, H, W): logits (B, K) in float32."""
        logits: Tensor = self.network(self.normalise(pixels)).logits
        return logits[:, -1].float()
