"""Streams and signals of a command's process: output that nobody reads never stops work."""

import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, TextIO

_NOBODY = (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF)


class Terminated(KeyboardInterrupt):
    """The process is to end, by SIGTERM: as an interrupt, with another exit status."""


class Unheard(io.TextIOBase):
    """A stream whose text is dropped from when nobody takes it any more."""

    def __init__(self, stream: TextIO) -> None:
        """Pass text on to a stream."""
        self._stream, self._heard = stream, True

    def write(self, text: str, /) -> int:
        """Write text, or drop it."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush what was written."""
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        if not self._heard:
            return
        try:
            action()
        except OSError as error:
            if error.errno not in _NOBODY:
                raise
            self._heard = False

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Return whether a person reads it."""
        return self._stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return self._stream.encoding


def prepare_process() -> None:
    """Open what was closed, write what cannot be encoded as escapes, and take SIGTERM as an end."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # or the next file that is opened would be written to as output
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or io.TextIOWrapper(io.FileIO(os.devnull, "w"), encoding="utf-8")
    sys.stderr = sys.stderr or io.TextIOWrapper(io.FileIO(os.devnull, "w"), encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stderr = Unheard(sys.stderr)
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
