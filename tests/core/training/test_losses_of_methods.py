"""Class exclusion and JEI-DNN, against their formulas."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from core.training.losses import LOSSES
from core.training.losses.joint import leaving
from tests.core.training.test_losses import COSTS, LAMBDA, batch


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


def test_gates_learn_to_let_go_whom_this_exit_or_one_before_serves_best() -> None:
    inputs = batch()
    best = (LAMBDA * COSTS - inputs.likelihoods()).argmin(dim=1)
    logits = inputs.confidences()
    expected = torch.zeros(())
    for index in range(2):
        target = (best <= index).float()
        rate = target.mean().clamp(0.02, 0.98)
        weight = target / rate + (1 - target) / (1 - rate)
        losses = F.binary_cross_entropy_with_logits(logits[:, index], target, reduction="none")
        expected = expected + (weight * losses).mean() / 2
    torch.testing.assert_close(LOSSES["gates"](inputs), expected)


def test_heads_and_gates_take_turns_and_leave_each_other_alone() -> None:
    inputs = batch()
    confidences = inputs.confidences()
    for name, moves, stays in (
        ("gates", confidences, inputs.logits),
        ("gated", inputs.logits, confidences),
    ):
        loss = LOSSES[name](inputs)
        moved, stayed = torch.autograd.grad(loss, (moves, stays), allow_unused=True)
        assert moved.abs().sum() > 0
        assert stayed is None


def test_the_gates_share_out_at_most_one() -> None:
    shares = leaving(torch.tensor([[0.5, 0.25, 0.5], [0.9, 0.9, 0.3]]))
    torch.testing.assert_close(shares, torch.tensor([[0.5, 0.25, 0.25], [0.9, 0.1, 0.0]]))
