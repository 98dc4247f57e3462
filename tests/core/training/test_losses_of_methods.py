"""Class exclusion, against its formula."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from core.training.losses import LOSSES
from tests.core.training.test_losses import batch


def test_exclusion_is_the_published_sum() -> None:
    sigmoids = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(3)).requires_grad_()
    inputs = batch()
    logits = torch.cat([F.logsigmoid(sigmoids), inputs.logits[:, 2:]], dim=1)
    target = F.one_hot(inputs.labels, 4).float()
    weight = torch.tensor(4.0 * 3)
    expected = F.cross_entropy(inputs.logits[:, 2], inputs.labels)
    for index, share in ((0, 1 / 3), (1, 1 / 2)):
        expected = expected + share * F.binary_cross_entropy_with_logits(
            sigmoids[:, index], target, pos_weight=weight
        )
    found = LOSSES["exclusion"](replace(inputs, logits=logits))
    torch.testing.assert_close(found, expected)
    (ours,) = torch.autograd.grad(found, sigmoids, retain_graph=True)
    (theirs,) = torch.autograd.grad(expected, sigmoids)
    torch.testing.assert_close(ours, theirs)


def test_exclusion_stays_finite_when_sure() -> None:
    inputs = batch()
    sure = torch.full((6, 2, 4), 90.0).requires_grad_()
    logits = torch.cat([F.logsigmoid(sure), inputs.logits[:, 2:]], dim=1)
    loss = LOSSES["exclusion"](replace(inputs, logits=logits))
    (gradient,) = torch.autograd.grad(loss, sure)
    assert loss.isfinite()
    assert gradient.isfinite().all()
