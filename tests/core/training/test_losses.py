import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.foundation.errors import UserError
from core.training.losses import LOSSES, LossInputs, assign_tags, distillation, mixtures

COSTS = torch.tensor([0.2, 0.5, 1.1])
LAMBDA = 0.7


def batch(scale: float = 1.0, seed: int = 0, samples: int = 6) -> LossInputs:
    generator = torch.Generator().manual_seed(seed)
    return LossInputs(
        logits=(torch.randn(samples, 3, 4, generator=generator) * scale).requires_grad_(),
        confidence_logits=(torch.randn(samples, 2, generator=generator) * scale).requires_grad_(),
        labels=torch.randint(4, (samples,), generator=generator),
        costs=COSTS,
        lambda_cost=LAMBDA,
        exit_weights=torch.tensor([0.5, 1.0, 2.0]),
        tags=torch.randint(3, (samples,), generator=generator),
    )


def by_hand(inputs: LossInputs) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
    """y_i[y], Ŷ_i[y], h_i and Ĉ_i, straight from the paper's recursion on probabilities."""
    y = inputs.logits.softmax(2)[torch.arange(len(inputs.labels)), :, inputs.labels].unbind(1)
    h = inputs.confidences().sigmoid().unbind(1)
    mixed, cost = [y[2]], [COSTS[2].expand(len(y[2]))]
    for i in (1, 0):
        mixed.insert(0, h[i] * y[i] + (1 - h[i]) * mixed[0])
        cost.insert(0, h[i] * COSTS[i] + (1 - h[i]) * cost[0])
    return list(y), mixed, list(h), cost


def expected(name: str, inputs: LossInputs) -> Tensor:
    y, mixed, h, cost = by_hand(inputs)
    match name:
        case "v0":
            weights = inputs.exit_weights
            return sum(
                (-w * p.log().mean() for w, p in zip(weights, y, strict=True)), torch.zeros(())
            )
        case "v1":
            return -mixed[0].log().mean() + LAMBDA * cost[0].mean()
        case "v2":
            return sum(
                (-m.log().mean() + LAMBDA * c.mean() for m, c in zip(mixed, cost, strict=True)),
                torch.zeros(()),
            )
        case "v3":
            shares = torch.stack([h[0].mean(), h[1].mean(), torch.ones(())])
            shares = shares / shares.sum()
            each = torch.stack([-p.log().mean() for p in y]) + LAMBDA * COSTS
            return (shares * each).sum()
    raise AssertionError(name)


@pytest.mark.parametrize("name", ["v0", "v1", "v2", "v3"])
def test_loss_in_log_space_equals_the_formula(name: str) -> None:
    inputs = batch()
    torch.testing.assert_close(LOSSES[name](inputs), expected(name, inputs))


def test_smoothed_labels_give_every_class_its_share() -> None:
    inputs = replace(batch(), label_smoothing=0.3)
    each = [
        F.cross_entropy(logits, inputs.labels, label_smoothing=0.3)
        for logits in inputs.logits.unbind(1)
    ]
    expected = (torch.stack(each) * inputs.exit_weights).sum()
    torch.testing.assert_close(LOSSES["v0"](inputs), expected)


def test_v4_pays_for_the_tagged_exit_and_balances_its_classes() -> None:
    inputs = batch(samples=8)
    y, _, h, _ = by_hand(inputs)
    tags = inputs.tags
    assert tags is not None
    total = torch.zeros(())
    for n, tag in enumerate(tags.tolist()):
        total = total + (-y[tag][n].log() + LAMBDA * COSTS[tag]) / len(tags)
    for i in range(2):
        yes, no = tags == i, tags != i
        # the mean over positives and the mean over negatives weigh the same
        total = total - h[i][yes].log().mean() / 2 - (1 - h[i][no]).log().mean() / 2
    torch.testing.assert_close(LOSSES["v4"](inputs), total)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_finite_gradients_at_extreme_logits(name: str) -> None:
    inputs = batch(scale=1000.0)
    loss = LOSSES[name](inputs)
    loss.backward()
    assert math.isfinite(loss.item())
    for tensor in (inputs.logits, inputs.confidence_logits):
        assert tensor is not None
        assert tensor.grad is None or tensor.grad.isfinite().all()


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("v0", "exclusion")])
def test_losses_of_confidence_refuse_a_network_without(name: str) -> None:
    full = batch()
    bare = LossInputs(full.logits, None, full.labels, COSTS, LAMBDA, full.exit_weights, full.tags)
    with pytest.raises(UserError, match="confidence = true"):
        LOSSES[name](bare)


def test_certain_confidence_makes_the_mixture_that_exit() -> None:
    likelihoods = torch.tensor([[-1.0, -2.0, -3.0]])
    blended, cost = mixtures(likelihoods, torch.tensor([[-1e4, 1e4]]), COSTS)
    torch.testing.assert_close(blended, torch.tensor([[-2.0, -2.0, -3.0]]))
    torch.testing.assert_close(cost, torch.tensor([[0.5, 0.5, 1.1]]))


def test_a_higher_price_tags_earlier_exits() -> None:
    likelihoods = torch.tensor([[-1.0, -0.9, -0.1]])
    prices = (0.0, 1.2, 100.0)
    assert [int(assign_tags(likelihoods, COSTS, price)) for price in prices] == [2, 0, 0]


def test_self_distillation_teaches_the_early_exits_only() -> None:
    inputs = batch()
    loss = distillation(inputs.logits, temperature=2.0)
    loss.backward()
    gradient = inputs.logits.grad
    assert gradient is not None
    assert gradient[:, :2].abs().sum() > 0
    assert gradient[:, 2].abs().sum() == 0
    same = inputs.logits.detach()[:, -1:].expand(-1, 3, -1)
    assert float(distillation(same, 2.0)) == pytest.approx(0, abs=1e-6)


def test_a_teacher_teaches_all_exits() -> None:
    inputs = batch()
    teacher = torch.randn(6, 4, generator=torch.Generator().manual_seed(3), requires_grad=True)
    loss = distillation(inputs.logits, 2.0, teacher)
    each = [
        F.kl_div((logits / 2).log_softmax(1), (teacher / 2).softmax(1), reduction="batchmean")
        for logits in inputs.logits.unbind(1)
    ]
    torch.testing.assert_close(loss, 4 * torch.stack(each).mean())
    loss.backward()
    assert teacher.grad is None
    assert (inputs.logits.grad.abs().sum(dim=(0, 2)) > 0).all()
