"""A batch as losses see it, and the registry of losses."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from core.foundation.errors import UserError
from core.foundation.registry import Registry
from core.networks.network import Outputs


@dataclass(frozen=True)
class LossInputs:
    """One batch as a loss sees it.

    Attributes:
        logits: (B, E, K) float32.
        confidence_logits: (B, E−1) float32, or None without confidence branches.
        labels: (B,) int64.
        costs: (E,) relative cost of leaving at each exit.
        lambda_cost: λ, the price of computation in units of loss.
        exit_weights: (E,) weight of each exit's own classifier loss in v0.
        tags: (B,) the exit each sample is assigned to (v4), else None.
        label_smoothing: ε, what of the labels' weight all classes share in v0.
    """

    logits: Tensor
    confidence_logits: Tensor | None
    labels: Tensor
    costs: Tensor
    lambda_cost: float
    exit_weights: Tensor
    tags: Tensor | None = None
    label_smoothing: float = 0.0

    def likelihoods(self) -> Tensor:
        """(B, E) log y_i[y]: each exit's log probability of the true class."""
        log_probabilities = self.logits.log_softmax(dim=2)
        labels = self.labels[:, None, None].expand(-1, self.logits.shape[1], 1)
        return log_probabilities.gather(2, labels).squeeze(2)

    def confidences(self) -> Tensor:
        """(B, E−1) confidence logits; raises `UserError` for a network without them."""
        if self.confidence_logits is None:
            raise UserError(
                "this loss trains confidence branches, but the network has none: "
                "set `confidence = true` in the recipe's network or use the loss v0."
            )
        return self.confidence_logits


Loss = Callable[[LossInputs], Tensor]
"""Maps a batch to a scalar."""

LOSSES: Registry[Loss] = Registry("loss", plugins=True)


def in_full_precision(outputs: Outputs) -> tuple[Tensor, Tensor | None]:
    """Return the outputs as float32, whatever precision the network ran in."""
    confidence = outputs.confidence_logits
    return outputs.logits.float(), None if confidence is None else confidence.float()
