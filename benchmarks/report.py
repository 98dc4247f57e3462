"""What every benchmark tells: the machine, and a text between two marks of a file."""

import argparse
from pathlib import Path

import torch

from core.foundation.markdown import replace_between
from core.foundation.processor import processor


def add_update(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the file to bring up to date."""
    parser.add_argument("--update", type=Path, metavar="FILE", help="put the text into this file")


def machine(device: str = "cpu") -> str:
    """Return what computes: the processor and its threads, or the GPU, and torch's version."""
    place = f"{processor()}, {torch.get_num_threads()} threads"
    if device != "cpu":
        place = torch.cuda.get_device_name(device)
    return f"{place}, torch {torch.__version__}"


def publish(text: str, name: str, update: Path | None) -> None:
    """Print a text and put it between the marks of its name in a file, if there is one.

    Raises:
        UserError: a mark is missing.
    """
    print(text)
    if update is not None:
        replace_between(update, f"<!-- {name}: begin -->", f"<!-- {name}: end -->", text)
