"""The command that starts the explorer's web server."""

import os
import sys
import tomllib
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from core.foundation.places import APP, STREAMLIT_CONFIG
from core.foundation.public import is_public

_MEMORY = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(8 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(16 * 2**20),
}
"""Settings of glibc: without them the heaps of many threads keep what large arrays once took. What
a network puts out for one picture stays below: to take that anew each time doubles its time."""

_FOR_STRANGERS = {"maxUploadSize": 65, "maxMessageSize": 64}
"""Streamlit's settings with `$EENET_PUBLIC`, in MB: a file of 64 and what is around it."""


def app(
    port: Annotated[int, typer.Option(metavar="N", help="Port to listen at.")] = 8501,
    address: Annotated[
        str, typer.Option(metavar="HOST", help="Address to listen at; 0.0.0.0 is open to others.")
    ] = "127.0.0.1",
) -> None:
    """Start the explorer's web server; it runs until it is interrupted."""
    settings = tomllib.loads(STREAMLIT_CONFIG.read_text(encoding="utf-8"))
    settings["server"] |= {"port": port, "address": address}
    if is_public():
        settings["server"] |= _FOR_STRANGERS
    flags = [f"--{name}={_shown(value)}" for name, value in _flat(settings)]
    for name, value in _MEMORY.items():
        os.environ.setdefault(name, value)
    command = [sys.executable, "-m", "app", "run", str(APP), *flags]
    os.execv(sys.executable, command)


def _flat(settings: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
