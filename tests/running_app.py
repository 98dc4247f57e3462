"""The app as `make app` starts it, but on a free port and for a while."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120  # seconds; a busy machine imports slowly
APP = ("-m", "core", "app", "--port={port}")


@contextmanager
def running_app(
    arguments: Sequence[str] = APP,
    folder: Path = ROOT,
    below: str = "",
    **environment: str,
) -> Iterator[str]:
    """Start the app, yield its address, and stop it.

    Args:
        arguments: to Python; ``{port}`` becomes a free one.
        folder: to start it in.
        below: path that all its addresses begin with, as behind a proxy, like ``/explorer``.
        environment: variables to set.

    Raises:
        RuntimeError: it does not start; shows the end of its log.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *(argument.format(port=port) for argument in arguments)]
    environment |= {"STREAMLIT_SERVER_BASE_URL_PATH": below} if below else {}
    inherited = {name: value for name, value in os.environ.items() if name != "EENET_MODELS"}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env=inherited | environment
        )
        try:
            if not _answers(f"http://127.0.0.1:{port}{below}/_stcore/health", server):
                log.seek(0)
                raise RuntimeError(f"the app did not start: {log.read()[-2000:].decode()}")
            yield f"http://127.0.0.1:{port}{below}"
        finally:
            server.terminate()
            server.wait(30)


def _answers(url: str, server: "subprocess.Popen[bytes]") -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except OSError:
            time.sleep(0.2)
    return False
