"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from core.cli.streams import Terminated

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="A shipped model's name, or a model's folder.")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="ROOT",
        help="Folder of prepared data sets; by default $EENET_DATA, else data/.",
    ),
]
Device = Annotated[str, typer.Option(metavar="D", help="cpu or cuda.")]
Threads = Annotated[int | None, typer.Option(min=1, metavar="N", help="CPU threads to use.")]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Leave out pictures that cannot be read.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]

INTERRUPTED, BROKEN_PIPE, TERMINATED = 130, 141, 143  # 128 + the signal's number, as in shells


def ended_by(error: BaseException) -> int:
    """Return the exit status of a process that was interrupted."""
    return TERMINATED if isinstance(error, Terminated) else INTERRUPTED


def use_threads(count: int | None) -> None:
    """Set torch's number of CPU threads; None keeps its default."""
    if count is not None:
        import torch

        torch.set_num_threads(count)
