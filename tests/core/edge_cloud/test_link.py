from collections import deque
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from core.edge_cloud.link import (
    OTHER,
    Inbox,
    Link,
    Outbox,
    PeerLostError,
    Role,
    TokenBucket,
    gloo,
)
from core.foundation.errors import UserError
from core.training.checkpoint import Checkpoint
from tests.core.edge_cloud.wires import free_address


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@given(
    some.lists(some.tuples(some.integers(1, 10_000), some.floats(0, 5)), min_size=1, max_size=30),
    some.floats(10, 1e5),
    some.floats(0, 1e4),
)
def test_no_more_than_the_rate_and_one_burst_gets_through(
    messages: list[tuple[int, float]], rate: float, burst: float
) -> None:
    bucket, now, sent = TokenBucket(rate, burst), 0.0, 0
    for bits, pause in messages:
        now += pause
        now += bucket.take(bits, now)
        sent += bits
        assert sent <= burst + rate * now + 1e-6 * (burst + rate * now)


def test_a_full_bucket_lets_a_burst_pass_and_then_keeps_the_rate() -> None:
    bucket = TokenBucket(rate=100, burst=50)
    assert bucket.take(50, now=0) == 0
    assert bucket.take(200, now=0) == pytest.approx(2)
    assert bucket.take(100, now=2) == pytest.approx(1)
    assert bucket.take(50, now=1000) == 0  # rested, but no more than a burst
    assert bucket.take(100, now=1000) == pytest.approx(1)


class Loop:
    """A wire that hands back what it was given, as it comes."""

    def __init__(self) -> None:
        self._messages: deque[torch.Tensor] = deque()

    def send(self, message: torch.Tensor) -> None:
        self._messages.append(message.clone())

    def receive(self, message: torch.Tensor) -> None:
        message.copy_(self._messages.popleft())


def test_a_slow_link_takes_its_time() -> None:
    clock = Clock()
    link = Link(Loop(), rate=8000, sleep=clock.sleep, clock=clock)
    link.send_batch(torch.zeros(5000, dtype=torch.uint8))
    assert clock.now == pytest.approx(5 - 0.02)  # the first 20 ms are the burst
    assert link.busy == pytest.approx(clock.now)
    assert link.sent["batches"] == 5000
    assert len(link.receive_batch(5000)) == 5000


def test_state_travels_whole() -> None:
    tensors = {"network.a": torch.randn(3, 4), "optimizer.a/step": torch.tensor(3.0)}
    link = Link(Loop())
    link.send_state(Checkpoint(tensors, {"epoch": 3}))
    arrived = link.receive_state()
    assert arrived.facts == {"epoch": 3}
    assert arrived.tensors.keys() == tensors.keys()
    assert all(torch.equal(arrived.tensors[name], one) for name, one in tensors.items())
    assert link.sent == link.received
    assert link.sent["batches"] == 0


def test_batches_arrive_in_order() -> None:
    link = Link(Loop())
    outbox = Outbox(link)
    for number in range(20):
        outbox.put(torch.full((3,), number, dtype=torch.uint8))
    outbox.close()
    inbox = Inbox(link, size=3, count=20)
    assert [int(message[0]) for message in inbox] == list(range(20))


class BrokenWire:
    def send(self, message: torch.Tensor) -> None:
        raise PeerLostError("gone")

    def receive(self, message: torch.Tensor) -> None:
        raise PeerLostError("gone")


def test_a_break_in_the_background_comes_to_the_fore() -> None:
    outbox = Outbox(Link(BrokenWire()))
    outbox.put(torch.zeros(1, dtype=torch.uint8))
    with pytest.raises(PeerLostError):
        outbox.close()
    with pytest.raises(PeerLostError):
        next(iter(Inbox(Link(BrokenWire()), size=1, count=1)))


@pytest.mark.parametrize("address", ["", "nowhere", "host:", ":80", "host:99999", "host:x"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    with (
        pytest.raises(UserError, match="HOST:PORT"),
        gloo("edge", address, join_seconds=1, answer_seconds=1),
    ):
        pass


@pytest.mark.parametrize("role", ["edge", "cloud"])
def test_nobody_there_is_a_sentence(tmp_path: Path, role: Role) -> None:
    with (
        pytest.raises(PeerLostError, match=f"did not come: start the other .* {OTHER[role]}"),
        gloo(role, tmp_path / "meeting", join_seconds=0.01, answer_seconds=1),
    ):
        pass


def test_no_cloud_worker_at_an_address_is_a_sentence() -> None:
    address = free_address()
    with (
        pytest.raises(PeerLostError, match=f"cloud worker at {address} within 0.1 s"),
        gloo("edge", address, join_seconds=0.1, answer_seconds=1),
    ):
        pass
