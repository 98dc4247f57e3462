"""What every test may ask for, and what a worker that crashes leaves behind."""

import faulthandler
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # no test may depend on the machine's speed
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def prepared_root() -> Path:
    """The folder of prepared data sets: optional on a desk, required in CI."""
    root = os.environ.get("EENET_DATA", "")
    if root and Path(root).is_dir():
        return Path(root)
    reason = f"expected $EENET_DATA to be a folder of prepared data sets, but got {root!r}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


# A worker's standard error is lost when it dies; so it writes to a file where it was, and the
# session that started it prints that.
_TRACES = pytest.StashKey["tempfile.TemporaryDirectory[str]"]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where to leave its trace."""
    stash = node.config.stash
    if _TRACES not in stash:
        stash[_TRACES] = tempfile.TemporaryDirectory()
    node.workerinput["trace"] = str(Path(stash[_TRACES].name, node.workerinput["workerid"]))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Let a worker that dies leave a trace."""
    if trace := getattr(session.config, "workerinput", {}).get("trace"):
        faulthandler.enable(os.open(trace, os.O_CREAT | os.O_WRONLY))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Note with which status the process of a worker that died has ended."""
    process = getattr(getattr(node.gateway, "_io", None), "popen", None)
    if error and process is not None:
        status = process.wait(timeout=10)
        with Path(node.workerinput["trace"]).open("a") as trace:
            trace.write(f"Ended with {status} while {error}.\n")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the traces of workers that died."""
    if _TRACES in config.stash:
        with config.stash[_TRACES] as folder:
            for path in sorted(Path(folder).iterdir()):
                if trace := path.read_text():
                    terminalreporter.section(f"{path.name} died", red=True)
                    terminalreporter.write_line(trace)
