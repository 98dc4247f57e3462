"""Downloads of data sets in the background, shared by all sessions of a process."""

import threading
from pathlib import Path

from core.data.prepared import prepared_path
from core.data.sources import prepare
from core.foundation.errors import UserError
from core.foundation.jobs import Job
from core.foundation.places import data_root

APOLOGY = (
    "The download broke off, and the reason has been written to the log: try again, or prepare the "
    "data set on the command line."
)


class Downloads:
    """Background downloads, one data set at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[Path, Job[Path]] = {}

    def start(self, name: str, root: Path | None = None) -> Job[Path]:
        """Return the running download of a data set, or start one that prepares it, too.

        Args:
            name: of the data set.
            root: folder of prepared data sets, see `data_root`.

        Raises:
            UserError: another data set is being downloaded.
        """
        folder, root = _folder(name, root), data_root(root)
        with self._lock:
            for other, job in self._jobs.items():
                if job.running and other == folder:
                    return job
                if job.running:
                    raise UserError(
                        f"expected one download at a time, but {other.name} is being downloaded on "
                        "this machine: wait until it is there."
                    )
            started = Job(
                lambda report: prepare(name, root, progress=False, on_progress=report), APOLOGY
            )
            self._jobs[folder] = started
        return started

    def of(self, name: str, root: Path | None = None) -> Job[Path] | None:
        """Return the running or else the last download of a data set; None if there was none."""
        return self._jobs.get(_folder(name, root))


def _folder(name: str, root: Path | None) -> Path:
    return prepared_path(name, "train", root).parent.absolute()
