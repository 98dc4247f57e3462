"""Training in the background: a job that trains a recipe and publishes the model."""

import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

from core.foundation.jobs import Job, OnProgress, Place, Stopped
from core.hub.card import Card
from core.hub.train_model import train_model
from core.training.progress import EpochReport, seconds_left
from core.training.recipe import Recipe

APOLOGY = "The training broke off, and the reason has been written to the log: try other settings."
MEASURING = "Measuring it on calibration and test, and choosing thresholds …"


class TrainingJob(Job[Card]):
    """A training run in a thread; its result is the finished model's card.

    When the last reference to the job goes, it stops after the current epoch and removes its files.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        seconds: float,
        place: Place,
        data: Path | None = None,
    ) -> None:
        """Start the training, or wait for a place to start it in.

        Args:
            recipe: to train.
            folder: for the finished model.
            seconds: time limit from the start, after which it stops as by `stop`.
            place: limits how many trainings run at once.
            data: root of the prepared data sets.
        """
        self.recipe, self.folder = recipe, folder
        self.reports: list[EpochReport] = []
        """The epochs so far."""
        self.notes: list[str] = []
        """What the calibration images cannot carry, in sentences."""
        self._stop_early = stop_early = threading.Event()
        self._begun = begun = threading.Event()
        reports, notes = self.reports, self.notes

        def work(on_progress: OnProgress) -> Card:
            with place(on_progress):
                begun.set()
                return trained(on_progress, time.monotonic() + seconds)

        def trained(on_progress: OnProgress, end: float) -> Card:
            run = folder.with_name(f".{folder.name}-run")

            def should_stop() -> bool:
                complete = len(reports) == recipe.epochs
                over = stop_early.is_set() or time.monotonic() > end or complete
                on_progress(len(reports) / recipe.epochs, MEASURING if over else "Training …")
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
                    on_note=notes.append,
                )
                assert card is not None
                on_progress(1.0, "Done.")
            except Stopped:  # the last reference to the job has gone
                shutil.rmtree(run, ignore_errors=True)
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):  # the folder may be gone, or have other models
                    folder.parent.rmdir()
                raise
            finally:
                shutil.rmtree(run, ignore_errors=True)
            return card

        super().__init__(work, APOLOGY)

    @property
    def waiting(self) -> bool:
        """Whether it waits for a place."""
        return self.running and not self._begun.is_set()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stop_early.is_set()

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit ended the training before its last epoch."""
        complete = len(self.reports) == self.recipe.epochs
        return self.stage == "finished" and not self.stopping and not complete

    @property
    def seconds_left(self) -> float:
        """Estimated time of the remaining epochs; NaN before the first is done."""
        return seconds_left(list(self.reports), self.recipe.epochs)

    def stop(self) -> None:
        """Stop after the current epoch; the network so far becomes the model.

        A training that waits for a place leaves without a result.
        """
        self._stop_early.set()
        if not self._begun.is_set():
            super().stop()
