"""A Chromium for the browser tests: the one that is there, else one from the package manager.

``python -m tests.chromium`` prints its path, installing one first when there is none.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_APPS = (
    "Chromium.app/Contents/MacOS/Chromium",
    "Google Chrome.app/Contents/MacOS/Google Chrome",
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def find() -> Path | None:
    """Return the path of an installed Chromium or Chrome, or ``None``.

    ``$CHROMIUM`` comes first; a browser that playwright fetched earlier comes last.
    """
    return next((path for path in _candidates() if path.is_file()), None)


def _candidates() -> Iterator[Path]:
    if chosen := os.environ.get("CHROMIUM"):
        yield Path(chosen)
    for command in COMMANDS:
        if found := shutil.which(command):
            yield Path(found)
    for folder in (Path("/Applications"), Path.home() / "Applications"):
        yield from (folder / app for app in MAC_APPS)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield Path(playwright.chromium.executable_path)


def install() -> Path:
    """Install a Chromium, without asking anything, and return its path.

    Raises `SystemExit` with a sentence when every way fails.
    """
    for command in _ways_to_install():
        print("+", " ".join(command), file=sys.stderr)  # noqa: T201  what runs as root is shown
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        if path := find():
            return path
    raise SystemExit(
        "expected a Chromium or Chrome for the browser tests, but found none and could not install "
        "one; install it by hand, or name it with CHROMIUM=/path/to/chromium."
    )


def _ways_to_install() -> Iterator[list[str]]:
    if shutil.which("brew"):
        yield ["brew", "install", "--cask", "chromium"]
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get") and (not root or shutil.which("sudo")):
        yield [*root, "apt-get", "update", "-qq"]
        yield [*root, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
        yield [*root, "apt-get", "install", "-y", "-qq", "chromium-browser"]
    if shutil.which("dnf") and (not root or shutil.which("sudo")):
        yield [*root, "dnf", "install", "-y", "-q", "chromium"]
    yield [sys.executable, "-m", "playwright", "install", "chromium"]


if __name__ == "__main__":
    print(find() or install())  # noqa: T201  the answer
