"""Downloads of files: in pieces, with a checksum, and stopped by an exception."""

import hashlib
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from core.foundation.files import FULL

PATIENCE = 60.0  # seconds without a byte before a download counts as failed
_PIECE = 2**16


@dataclass(frozen=True)
class RemoteFile:
    """A file to download to ``path``: its addresses, and its MD5 in hexadecimal."""

    path: Path
    urls: Sequence[str]
    md5: str


def fetch(file: RemoteFile, on_bytes: Callable[[int, int | None], None]) -> None:
    """Download a file from the first address that gives it with the right checksum.

    Args:
        file: the file.
        on_bytes: called after each piece with the bytes so far and, where the server gives it,
            the total. An exception from it ends the download.

    Raises:
        ConnectionError: no address gave the right file; the message has the reason for each.
        OSError: the file cannot be written.
    """
    file.path.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    for url in file.urls:
        try:
            checksum = _download(url, file.path, on_bytes)
        except (OSError, HTTPException) as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            reasons.append(f"{url}: {error or type(error).__name__}")
            continue
        if checksum == file.md5:
            return
        reasons.append(f"{url}: {file.path.name} arrived corrupted")
    file.path.unlink(missing_ok=True)
    raise ConnectionError("; ".join(reasons))


def _download(url: str, path: Path, on_bytes: Callable[[int, int | None], None]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    done = 0
    request = urllib.request.Request(url, headers={"User-Agent": "early-exit-explorer"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer, path.open("wb") as stream:
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        while piece := answer.read(_PIECE):
            stream.write(piece)
            digest.update(piece)
            done += len(piece)
            on_bytes(done, total)
    return digest.hexdigest()
