"""Every exit learns to answer by itself: deep supervision and what goes with it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from core.training.losses.batch import LOSSES, LossInputs


@LOSSES.register("v0")
def v0(batch: LossInputs) -> Tensor:
    """Deep supervision: Σ_i w_i ((1 − ε) NLL(y_i) + ε mean_k −log y_i[k])."""
    likelihoods = batch.likelihoods()
    if batch.label_smoothing:
        every = batch.logits.log_softmax(dim=2).mean(dim=2)  # (B, E)
        likelihoods = torch.lerp(likelihoods, every, batch.label_smoothing)
    return -(likelihoods * batch.exit_weights).sum(dim=1).mean()


@LOSSES.register("correctness")
def correctness(batch: LossInputs) -> Tensor:
    """Deep supervision, and each confidence learns whether its exit's own answer is right.

    Σ_i w_i NLL(y_i) + Σ_i BCE(h_i, [argmax y_i = y]). Not a loss of the EENet paper: there
    h_i only has to be right on balance; here it is a probability that can be checked.
    """
    logits = batch.confidences()
    right = (batch.logits[:, :-1].argmax(dim=2) == batch.labels[:, None]).to(logits.dtype)
    return v0(batch) + F.binary_cross_entropy_with_logits(logits, right)


def distillation(logits: Tensor, temperature: float, teacher: Tensor | None = None) -> Tensor:
    """Let exits learn from who knows better: mean over the exits of τ² KL(teacher ‖ y_i).

    Both sides are softened by the temperature τ; no gradient reaches the teacher.

    Args:
        logits: of all exits, (B, E, K).
        temperature: τ.
        teacher: logits (B, K) that all exits learn from. If not given, the final exit teaches the
            early ones (Zhang et al., "Be Your Own Teacher", 2019).
    """
    if teacher is None:
        teacher, logits = logits[:, -1], logits[:, :-1]
    if logits.shape[1] == 0:
        return logits.new_zeros(())
    known = (teacher.detach()[:, None] / temperature).log_softmax(dim=2)
    students = (logits / temperature).log_softmax(dim=2)
    divergence = (known.exp() * (known - students)).sum(dim=2)
    return divergence.mean() * temperature**2
