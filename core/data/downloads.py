"""Data sets that are being downloaded on this machine, whoever asked for them."""

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
    """One data set at a time, for everybody who watches it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[Path, Job[Path]] = {}

    def start(self, name: str, root: Path | None = None) -> Job[Path]:
        """Download and prepare a data set; return the one under way if there is one already.

        Args:
            name: of the data set.
            root: folder of prepared data sets, see `data_root`.

        Raises:
            UserError: another data set is on its way.
        """
        folder, root = _folder(name, root), data_root(root)
        with self._lock:
            for place, job in self._jobs.items():
                if job.running and place == folder:
                    return job
                if job.running:
                    raise UserError(
                        f"expected nothing else to be on its way, but {place.name} is being "
                        "downloaded on this machine: wait until it is there."
                    )
            started = Job(lambda tell: prepare(name, root, progress=False, tell=tell), APOLOGY)
            self._jobs[folder] = started
        return started

    def of(self, name: str, root: Path | None = None) -> Job[Path] | None:
        """Return the download of a data set that is under way, or else the last one, if any."""
        return self._jobs.get(_folder(name, root))


def _folder(name: str, root: Path | None) -> Path:
    return prepared_path(name, "train", root).parent.absolute()
