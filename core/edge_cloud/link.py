"""The link between the two workers: messages that are counted, slowed down, and can break off."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import torch.distributed as dist
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_of_tensors
from torch import Tensor
from torch.distributed import FileStore, Store, TCPStore  # type: ignore[attr-defined]

from core.foundation.errors import UserError
from core.training.checkpoint import Checkpoint

Role = Literal["edge", "cloud"]
RANK: dict[Role, int] = {"edge": 0, "cloud": 1}
OTHER: dict[Role, Role] = {"edge": "cloud", "cloud": "edge"}

BURST_SECONDS = 0.02
"""How long a simulated link must rest to pass a burst at once, and so the size of that burst."""
AHEAD = 2
"""How many batches may wait at each end of the link."""
_LENGTH = 8  # bytes that tell how long the rest of a message is
_GLANCE = 0.2  # seconds between two looks for the other side


class PeerLostError(UserError):
    """The other worker is gone, or does not answer in time."""


class Wire(Protocol):
    """What carries bytes to the other worker and back, in order."""

    def send(self, message: Tensor) -> None:
        """Send uint8 (N,). Raises `PeerLostError`."""

    def receive(self, message: Tensor) -> None:
        """Fill uint8 (N,) with what comes. Raises `PeerLostError`."""


class GlooWire:
    """A wire over `torch.distributed` with its gloo backend."""

    def __init__(self, role: Role) -> None:
        self._peer = OTHER[role]

    def send(self, message: Tensor) -> None:
        """Send uint8 (N,)."""
        try:
            dist.send(message, RANK[self._peer])
        except RuntimeError as error:
            raise self._lost(error) from None

    def receive(self, message: Tensor) -> None:
        """Fill uint8 (N,)."""
        try:
            dist.recv(message, RANK[self._peer])
        except RuntimeError as error:
            raise self._lost(error) from None

    def _lost(self, error: RuntimeError) -> PeerLostError:
        late = "timed out" in str(error).lower() or "timeout" in str(error).lower()
        return PeerLostError(
            f"expected the {self._peer} worker to "
            + ("answer in time, but it did not" if late else "answer, but the connection broke")
        )


@contextmanager
def gloo(
    role: Role,
    meeting: str | Path,
    join_seconds: float,
    answer_seconds: float,
    look: Callable[[], None] = lambda: None,
) -> Iterator[GlooWire]:
    """Meet the other worker and yield the wire to it.

    Args:
        role: of this worker.
        meeting: where to meet: the cloud worker's ``HOST:PORT``, or a file on this machine that
            is not there yet.
        join_seconds: how long to wait for the other worker to come.
        answer_seconds: how long it may take to answer later on.
        look: called now and then while waiting; what it raises ends the waiting.

    Raises:
        UserError: the address is none, cannot be used, or the other worker does not come.
    """
    store = _store(role, meeting, join_seconds)
    store.set(role, "here")
    _await(store, OTHER[role], meeting, join_seconds, look)
    dist.init_process_group(
        "gloo",
        store=store,
        rank=RANK[role],
        world_size=len(RANK),
        timeout=timedelta(seconds=answer_seconds),
    )
    try:
        yield GlooWire(role)
    finally:
        dist.destroy_process_group()


def _store(role: Role, meeting: str | Path, join_seconds: float) -> Store:
    if isinstance(meeting, Path):
        return FileStore(str(meeting), len(RANK))
    host, _, port = meeting.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UserError(
            f"expected --address to be HOST:PORT of the cloud worker, but got {meeting!r}: "
            "give it like 192.168.0.7:29500."
        )
    try:
        return TCPStore(
            host,
            int(port),
            len(RANK),
            is_master=role == "cloud",
            # The cloud worker only waits for itself here.
            timeout=timedelta(seconds=max(join_seconds, 30) if role == "cloud" else join_seconds),
            wait_for_workers=False,
        )
    except RuntimeError as error:
        if role == "edge":
            raise _missed("cloud", meeting, join_seconds) from None
        reason = str(error).splitlines()[0]
        raise UserError(
            f"expected --address {meeting} to be free on this machine, but got: {reason} "
            "Choose another port, or the address by which the edge knows this machine."
        ) from None


def _await(
    store: Store,
    peer: Role,
    meeting: str | Path,
    join_seconds: float,
    look: Callable[[], None],
) -> None:
    end = time.monotonic() + join_seconds
    try:
        while not store.check([peer]):
            look()
            if time.monotonic() > end:
                raise _missed(peer, meeting, join_seconds)
            time.sleep(_GLANCE)
    except RuntimeError:  # the store went with the cloud worker
        raise _missed(peer, meeting, join_seconds) from None


def _missed(peer: Role, meeting: str | Path, seconds: float) -> PeerLostError:
    place = "" if isinstance(meeting, Path) else f" at {meeting}"
    return PeerLostError(
        f"expected the {peer} worker{place} within {seconds:g} s, but it did not come: start the "
        f"other side with --role {peer}, and check address and firewall."
    )


class TokenBucket:
    """A slow link, simulated: tokens, one per bit, come at a steady rate and gather up to a burst.

    A message takes a token for each of its bits. Where there are too few it goes into debt, and
    has arrived when the debt is paid: in the long run no more than the rate gets through.
    """

    def __init__(self, rate: float, burst: float) -> None:
        """Take ``rate`` in bits per second and ``burst`` in bits; the bucket starts full."""
        self.rate, self.burst = rate, burst
        self._tokens = burst
        self._at: float | None = None

    def take(self, bits: float, now: float) -> float:
        """Send so many bits at ``now`` (seconds); return how long until the last has arrived."""
        if self._at is not None:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        self._tokens -= bits
        return max(0.0, -self._tokens / self.rate)


class Link:
    """This worker's end of the link.

    Attributes:
        sent: bytes sent so far, by what they are for: "batches" or "state". What the transport
            adds of its own is not counted.
        received: likewise.
        busy: seconds spent on sending batches, the simulated slowness included.
    """

    def __init__(
        self,
        wire: Wire,
        rate: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Take a wire and the bits per second to slow it down to, None for not at all."""
        self._wire, self._sleep, self._clock = wire, sleep, clock
        self._bucket = None if rate is None else TokenBucket(rate, rate * BURST_SECONDS)
        self.sent = {"batches": 0, "state": 0}
        self.received = {"batches": 0, "state": 0}
        self.busy = 0.0

    def send_batch(self, message: Tensor) -> None:
        """Send the bytes of a batch, uint8 (N,); returns when they have arrived."""
        start = self._clock()
        self._send(message, "batches")
        self.busy += self._clock() - start

    def receive_batch(self, size: int) -> Tensor:
        """Return the bytes of the next batch, uint8 (N,), N = ``size``."""
        return self._receive(size, "batches")

    def tell(self, facts: dict[str, Any]) -> None:
        """Send JSON values."""
        self._send_bytes(json.dumps(facts).encode())

    def hear(self) -> dict[str, Any]:
        """Return the facts that the other side sends."""
        facts = json.loads(self._receive_bytes())
        assert isinstance(facts, dict)
        return facts

    def send_state(self, state: Checkpoint) -> None:
        """Send tensors and what is known about them."""
        self.tell(state.facts)
        tensors = {
            name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()
        }
        self._send_bytes(bytes_of_tensors(tensors))

    def receive_state(self) -> Checkpoint:
        """Return what `send_state` sent."""
        facts = self.hear()
        return Checkpoint(tensors_from_bytes(self._receive_bytes()), facts)

    def _send_bytes(self, content: bytes) -> None:
        length = len(content).to_bytes(_LENGTH, "big")
        for part in (length, content):
            self._send(torch.frombuffer(bytearray(part), dtype=torch.uint8), "state")

    def _receive_bytes(self) -> bytes:
        length = int.from_bytes(self._receive(_LENGTH, "state").numpy().tobytes(), "big")
        return self._receive(length, "state").numpy().tobytes()

    def _send(self, message: Tensor, purpose: str) -> None:
        if self._bucket is not None:
            self._sleep(self._bucket.take(8 * len(message), self._clock()))
        self._wire.send(message)
        self.sent[purpose] += len(message)

    def _receive(self, size: int, purpose: str) -> Tensor:
        message = torch.empty(size, dtype=torch.uint8)
        self._wire.receive(message)
        self.received[purpose] += size
        return message


class Outbox:
    """Sends batches in the background, in order, while the next ones are computed."""

    def __init__(self, link: Link, clock: Callable[[], float] = time.perf_counter) -> None:
        self._link, self._clock = link, clock
        self._courier = ThreadPoolExecutor(max_workers=1)
        self._under_way: deque[Future[None]] = deque()
        self.waited = 0.0
        """Seconds that the worker was held up because the link was behind."""

    def put(self, message: Tensor) -> None:
        """Hand over a message; wait while more than `AHEAD` are on their way."""
        self._under_way.append(self._courier.submit(self._link.send_batch, message))
        self._wait_until(AHEAD)

    def close(self) -> None:
        """Wait until everything has arrived."""
        self._wait_until(0)
        self._courier.shutdown()

    def abandon(self) -> None:
        """Send nothing more."""
        self._courier.shutdown(wait=False, cancel_futures=True)

    def _wait_until(self, count: int) -> None:
        start = self._clock()
        while len(self._under_way) > count:
            self._under_way.popleft().result()
        self.waited += self._clock() - start


class Inbox:
    """Receives batches of known sizes in the background, while earlier ones are computed."""

    def __init__(
        self, link: Link, size: int, count: int, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Expect ``count`` messages of ``size`` bytes."""
        self._link, self._size, self._clock = link, size, clock
        self._left = count
        self._courier = ThreadPoolExecutor(max_workers=1)
        self._expected: deque[Future[Tensor]] = deque()
        self.waited = 0.0
        """Seconds that the worker had nothing to compute."""

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the messages (N,) as they come. Raises `PeerLostError`."""
        try:
            while self._left or self._expected:
                while self._left and len(self._expected) <= AHEAD:
                    self._expected.append(
                        self._courier.submit(self._link.receive_batch, self._size)
                    )
                    self._left -= 1
                start = self._clock()
                message = self._expected.popleft().result()
                self.waited += self._clock() - start
                yield message
        finally:
            self._courier.shutdown(wait=False, cancel_futures=True)
