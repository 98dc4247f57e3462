"""Several training processes or machines, started by torchrun."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Workers:
    """This process among its peers; alone, rank 0 of 1."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def share(self, indices: Tensor) -> Tensor:
        """Return this process's part of a batch's indices."""
        return indices[self.rank :: self.count]

    def sum(self, value: Tensor) -> Tensor:
        """Add a tensor up over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(value)
        return value


@contextmanager
def workers(device_type: str) -> Iterator[Workers]:
    """Join the processes that torchrun started; without torchrun, work alone."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Workers()
        return
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo")
    try:
        yield Workers(dist.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        dist.destroy_process_group()


def device_for(name: str, peers: Workers) -> torch.device:
    """Give each process of a machine its own GPU."""
    if name == "cuda" and peers.count > 1:
        return torch.device("cuda", peers.local_rank)
    return torch.device(name)
