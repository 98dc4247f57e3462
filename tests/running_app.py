"""The app as `make app` starts it, but on a free port and for a while."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 120  # seconds; a busy machine imports slowly


@contextmanager
def running_app() -> Iterator[str]:
    """Start the app, yield its address, and stop it.

    Raises:
        RuntimeError: it does not start; shows the end of its log.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app/main.py"]
    where = [f"--server.port={port}", "--server.address=127.0.0.1"]
    environment = {name: value for name, value in os.environ.items() if name != "EENET_MODELS"}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            [*command, *where], cwd=ROOT, stdout=log, stderr=log, env=environment
        )
        try:
            if not _answers(f"http://127.0.0.1:{port}/_stcore/health", server):
                log.seek(0)
                raise RuntimeError(f"the app did not start: {log.read()[-2000:].decode()}")
            yield f"http://127.0.0.1:{port}"
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
