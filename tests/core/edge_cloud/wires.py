"""A wire within one process, and two workers on it, each in a thread."""

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.edge_cloud.link import PeerLostError, Wire
from core.edge_cloud.run import run_cloud, run_edge
from core.edge_cloud.traffic import EpochTraffic
from core.networks.network import ExitNetwork
from core.training.progress import EpochReport
from core.training.recipe import Recipe
from tests.core.training.tiny import tiny_recipe

PATIENCE = 120.0
GONE = "expected the other worker to answer, but the connection broke"


class Cable:
    """What both ends share."""

    def __init__(self) -> None:
        self.moved = threading.Condition()
        self.broken = False


class CableEnd:
    """One end. As with gloo, who sends waits until the other side has received."""

    def __init__(self, cable: Cable, out: deque[Tensor], into: deque[Tensor]) -> None:
        self._cable, self._out, self._into = cable, out, into

    def send(self, message: Tensor) -> None:
        moved = self._cable.moved
        with moved:
            self._out.append(message.clone())
            moved.notify_all()
            assert moved.wait_for(lambda: not self._out or self._cable.broken, PATIENCE)
            if self._out:
                raise PeerLostError(GONE)

    def receive(self, message: Tensor) -> None:
        moved = self._cable.moved
        with moved:
            assert moved.wait_for(lambda: self._into or self._cable.broken, PATIENCE)
            if not self._into:
                raise PeerLostError(GONE)
            found = self._into.popleft()
            moved.notify_all()
        assert found.shape == message.shape
        message.copy_(found)

    def break_off(self) -> None:
        with self._cable.moved:
            self._cable.broken = True
            self._cable.moved.notify_all()


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def wires() -> tuple[CableEnd, CableEnd]:
    cable, there, back = Cable(), deque[Tensor](), deque[Tensor]()
    return CableEnd(cable, there, back), CableEnd(cable, back, there)


@contextmanager
def meeting(wire: CableEnd) -> Iterator[Wire]:
    try:
        yield wire
    finally:
        wire.break_off()


def split_recipe(epochs: int = 3, split: str = "block1", **changes: Any) -> Recipe:
    network = tiny_recipe().network.model_dump() | {"confidence": False}
    edge_cloud = {"split": split} | changes.pop("edge_cloud", {})
    phases = changes.pop("phases", [{"epochs": epochs, "learning_rate": 0.1, "warmup": 0.2}])
    return tiny_recipe(phases, network=network, edge_cloud=edge_cloud, **changes)


Ran = tuple[ExitNetwork, list[EpochTraffic]]


def run_both(
    recipe: Recipe,
    folder: Path,
    root: Path,
    *,
    resume: bool = False,
    on_epoch: Callable[[EpochReport, EpochTraffic], None] = lambda report, traffic: None,
    cloud_recipe: Recipe | None = None,
    cloud_resume: bool | None = None,
) -> tuple[Ran | BaseException, BaseException | None]:
    """What came of the edge worker, and of the cloud worker: a result, or what it raised."""
    torch.set_num_threads(1)
    edge, cloud = wires()
    with ThreadPoolExecutor(max_workers=2) as pool:
        at_edge = pool.submit(
            run_edge,
            recipe,
            folder / "edge",
            meeting(edge),
            data=root,
            resume=resume,
            on_epoch=on_epoch,
        )
        in_cloud = pool.submit(
            run_cloud,
            cloud_recipe or recipe,
            folder / "cloud",
            meeting(cloud),
            resume=resume if cloud_resume is None else cloud_resume,
        )
        mistake = at_edge.exception()
        return mistake or at_edge.result(), in_cloud.exception()


def trained(recipe: Recipe, folder: Path, root: Path, **more: Any) -> Ran:
    came, mistake = run_both(recipe, folder, root, **more)
    if isinstance(came, BaseException):
        raise came
    assert mistake is None
    return came
