"""Random numbers of one's own are those of PyTorch's generator, and leave that one alone."""

import threading
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from core.networks.randomness import OwnGenerator

X = torch.linspace(-1, 1, 96).reshape(3, 4, 8)
DRAWS: dict[str, Callable[[], Tensor]] = {
    "first weights": lambda: nn.Conv2d(3, 4, 3).weight,
    "orthogonal weights": lambda: nn.init.orthogonal_(torch.empty(4, 4)),
    "truncated normal": lambda: nn.init.trunc_normal_(torch.empty(9)),
    "dropout": lambda: F.dropout(X, 0.5),
    "dropout of channels": lambda: F.dropout2d(X[None], 0.5),
    "alpha dropout": lambda: F.alpha_dropout(X, 0.5, training=True),
    "stochastic depth": lambda: torchvision.ops.stochastic_depth(X, 0.5, "row"),
    "attention": lambda: nn.MultiheadAttention(8, 2, dropout=0.5)(X, X, X)[0],
    "recurrent": lambda: nn.LSTM(8, 8, 2, dropout=0.5)(X)[0],
    "rrelu": lambda: F.rrelu(X, training=True),
    "rand": lambda: torch.rand(5),
    "randn": lambda: torch.randn(5),
    "randint": lambda: torch.randint(2, 90, (5,)),
    "randperm": lambda: torch.randperm(9),
    "multinomial": lambda: torch.multinomial(torch.ones(9), 4),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_the_numbers_are_those_of_the_seed_and_the_process_keeps_its_own(
    draw: Callable[[], Tensor],
) -> None:
    torch.manual_seed(5)
    expected = [draw(), draw()]
    before = torch.get_rng_state()
    own = OwnGenerator(5)
    found = []
    for _ in range(2):  # it goes on where it was left
        with own:
            found.append(draw())
    assert all(map(torch.equal, found, expected))
    assert not torch.equal(*found)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_do_not_disturb_each_other() -> None:
    def draws(seed: int, found: list[Tensor]) -> None:
        with OwnGenerator(seed):
            for _ in range(200):
                torch.rand(3)
                F.dropout(X, 0.5)
            found.append(torch.rand(9))

    alone: list[list[Tensor]] = [[], [], []]
    beside: list[list[Tensor]] = [[], [], []]
    for seed in range(3):
        draws(seed, alone[seed])
    threads = [threading.Thread(target=draws, args=(seed, beside[seed])) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, beside, strict=True):
        assert torch.equal(one[0], other[0])


def test_a_generator_that_is_named_is_used() -> None:
    named = torch.Generator().manual_seed(1)
    with OwnGenerator(5) as own:
        found = torch.rand(3, generator=named)
    assert torch.equal(found, torch.rand(3, generator=torch.Generator().manual_seed(1)))
    assert not own.drew


def test_steps_are_entered_only_where_the_first_one_drew() -> None:
    for drawing in (True, False):
        own = OwnGenerator(0)
        with own.at_step(0):
            F.dropout(X, 0.5, training=drawing)
        assert own.drew is drawing
        assert (own.at_step(1) is own) is drawing


def test_items_are_drawn_while_they_are_made_and_not_while_they_are_used() -> None:
    def items() -> Iterator[Tensor]:
        yield torch.rand(3)
        yield torch.rand(3)

    torch.manual_seed(0)
    expected = [torch.rand(3) for _ in range(2)]
    torch.manual_seed(7)
    used = [torch.rand(3) for _ in range(2)]
    torch.manual_seed(7)
    for number, item in enumerate(OwnGenerator(0).during(items())):
        assert torch.equal(item, expected[number])
        assert torch.equal(torch.rand(3), used[number])
