"""Training in the background: a job that trains a recipe and publishes its model."""

import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

from core.foundation.jobs import Job, Stopped, Tell
from core.hub.card import Card
from core.hub.train_model import train_model
from core.training.progress import EpochReport, seconds_left
from core.training.recipe import Recipe

APOLOGY = "The training broke off, and the reason has been written to the log: try other settings."
MEASURING = "Measuring it on calibration and test, and choosing thresholds …"


class TrainingJob(Job[Card]):
    """One training run in a thread of its own; its result is the finished model's card.

    When nobody holds it any more, it stops after the epoch under way and leaves nothing behind.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        seconds: float,
        places: threading.Semaphore,
        data: Path | None = None,
    ) -> None:
        """Start to train.

        Args:
            recipe: what to train.
            folder: becomes the model's folder when it is done.
            seconds: when so many have passed, it stops as if told to.
            places: how many trainings may run at once.
            data: root of the prepared data sets.

        Raises:
            UserError: all places are taken.
        """
        self.recipe, self.folder = recipe, folder
        self.reports: list[EpochReport] = []
        """The epochs so far."""
        self._told = told = threading.Event()
        reports = self.reports
        end = time.monotonic() + seconds

        def work(tell: Tell) -> Card:
            run = folder.with_name(f".{folder.name}-run")

            def should_stop() -> bool:
                over = told.is_set() or time.monotonic() > end or len(reports) == recipe.epochs
                tell(len(reports) / recipe.epochs, MEASURING if over else "Training …")
                return over

            try:
                card = train_model(
                    recipe,
                    run,
                    model=folder,
                    data=data,
                    command="python -m core train card.json",
                    on_epoch=reports.append,
                    should_stop=should_stop,
                )
                assert card is not None
                tell(1.0, "Done.")
            except Stopped:  # nobody holds the job any more
                shutil.rmtree(run, ignore_errors=True)
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):  # it may be gone, or hold other models
                    folder.parent.rmdir()
                raise
            finally:
                shutil.rmtree(run, ignore_errors=True)
            return card

        super().__init__(work, APOLOGY, places)

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._told.is_set()

    @property
    def out_of_time(self) -> bool:
        """Whether its time was up before its epochs were."""
        whole = len(self.reports) == self.recipe.epochs
        return self.stage == "finished" and not self.stopping and not whole

    @property
    def seconds_left(self) -> float:
        """How long the remaining epochs will take, if they take as long as those before; or NaN."""
        return seconds_left(list(self.reports), self.recipe.epochs)

    def stop(self) -> None:
        """Leave it at the epoch under way; what was learned so far becomes the model."""
        self._told.set()
