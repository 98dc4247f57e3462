"""Every exit learns which classes are still possible (class exclusion, arXiv 2309.13443)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from core.training.losses.batch import LOSSES, LossInputs


@LOSSES.register("exclusion")
def exclusion(batch: LossInputs) -> Tensor:
    """NLL(y_{E−1}) + Σ_{i<E−1} 1/(E−i) · BCE(σ(s_i), onehot(y), positives weighing 4 (K − 1)).

    The logits of the early exits are ln σ(s_i), as `core.networks.heads.Head` with ``sigmoid``
    gives them. The weights of the exits grow from 1/E to 1/2. Published for 10 classes is a weight
    of 36 for the one right class, 4 times what would balance it with the K − 1 wrong ones.
    """
    exits, classes = batch.logits.shape[1:]
    possible = batch.logits[:, :-1]  # (B, E-1, K) ln σ(s)
    # ln(1 − σ(s)); where σ(s) rounds to 1 the logarithm keeps a bound.
    impossible = torch.log(-torch.expm1(possible.clamp(max=-1e-30)))
    target = F.one_hot(batch.labels, classes)[:, None].to(possible.dtype)
    losses = -(4 * (classes - 1) * target * possible + (1 - target) * impossible).mean(dim=2)
    weights = 1 / torch.arange(exits, 1, -1, device=losses.device)
    return (losses * weights).sum(dim=1).mean() - batch.likelihoods()[:, -1].mean()
