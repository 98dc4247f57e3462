"""Training in the background: a thread that trains, and what is known of it meanwhile."""

import logging
import math
import shutil
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from core.foundation.errors import UserError
from core.hub.card import Card
from core.hub.model import trained
from core.hub.publish import publish
from core.training.loop import train
from core.training.progress import EpochReport
from core.training.recipe import Recipe

Stage = Literal["training", "measuring", "finished", "failed"]
_log = logging.getLogger(__name__)


@dataclass
class _Progress:
    """What the thread and those who watch it share; the thread alone writes the upper half."""

    reports: list[EpochReport] = field(default_factory=list)
    stage: Stage = "training"
    card: Card | None = None
    mistake: str = ""
    out_of_time: bool = False

    stop: threading.Event = field(default_factory=threading.Event)
    unwanted: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class Training:
    """One training run in a thread of its own.

    When nobody holds it any more, it stops after the epoch under way and leaves nothing behind.
    """

    def __init__(self, recipe: Recipe, folder: Path, progress: _Progress) -> None:
        self.recipe, self.folder = recipe, folder
        self._progress = progress
        self._finalizer = weakref.finalize(self, progress.unwanted.set)

    @property
    def stage(self) -> Stage:
        """How far it is: "training", "measuring", and then "finished" or "failed"."""
        return self._progress.stage

    @property
    def running(self) -> bool:
        """Whether its thread is still at work."""
        return not self._progress.done.is_set()

    @property
    def reports(self) -> list[EpochReport]:
        """The epochs so far."""
        return list(self._progress.reports)

    @property
    def card(self) -> Card | None:
        """The finished model's card; its folder is ``folder``."""
        return self._progress.card

    @property
    def mistake(self) -> str:
        """A sentence on what went wrong, if it failed."""
        return self._progress.mistake

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._progress.stop.is_set()

    @property
    def out_of_time(self) -> bool:
        """Whether its time was up before its epochs were."""
        return self._progress.out_of_time

    @property
    def seconds_left(self) -> float:
        """How long the remaining epochs will take, if they take as long as those before; or NaN."""
        reports = self.reports
        if not reports:
            return math.nan
        spent = sum(report.seconds for report in reports)
        return spent / len(reports) * (self.recipe.epochs - len(reports))

    def stop(self) -> None:
        """Leave it at the epoch under way; what was learned so far becomes the model."""
        self._progress.stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait until it is done, but no longer than this; tell whether it is."""
        return self._progress.done.wait(seconds)


class Room:
    """A room for a few trainings at a time."""

    def __init__(self, places: int) -> None:
        """Make room for so many; each takes as many threads as torch is set to use."""
        self._places = threading.BoundedSemaphore(places)

    def start(
        self, recipe: Recipe, folder: Path, seconds: float, data: Path | None = None
    ) -> Training:
        """Start to train.

        Args:
            recipe: what to train.
            folder: becomes the model's folder when it is done.
            seconds: when so many have passed, it stops as if told to.
            data: root of the prepared data sets.

        Raises:
            UserError: all places are taken.
        """
        if not self._places.acquire(blocking=False):
            raise UserError(
                "expected a free place to train, but others are training on this machine right "
                "now: try again in a minute or two."
            )
        progress = _Progress()
        end = time.monotonic() + seconds
        thread = threading.Thread(
            target=self._train, args=(recipe, folder, end, data, progress), daemon=True
        )
        thread.start()
        return Training(recipe, folder, progress)

    def _train(
        self, recipe: Recipe, folder: Path, end: float, data: Path | None, progress: _Progress
    ) -> None:
        run = folder.with_name(f".{folder.name}-run")

        def should_stop() -> bool:
            progress.out_of_time = time.monotonic() > end and len(progress.reports) < recipe.epochs
            return progress.out_of_time or progress.stop.is_set() or progress.unwanted.is_set()

        try:
            result = train(
                recipe,
                run,
                data=data,
                on_epoch=progress.reports.append,
                should_stop=should_stop,
                find=trained,
            )
            if not progress.unwanted.is_set():
                progress.stage = "measuring"
                command = "python -m core train card.json"
                progress.card = publish(recipe, result, folder, data, command=command)
                progress.stage = "finished"
        except UserError as error:
            progress.mistake, progress.stage = str(error), "failed"
        except Exception:
            _log.exception("a training failed")
            progress.mistake = (
                "The training broke off, and the reason has been written to the log: "
                "try other settings."
            )
            progress.stage = "failed"
        finally:
            shutil.rmtree(run, ignore_errors=True)
            if progress.unwanted.is_set():
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):  # it may be gone, or hold other models
                    folder.parent.rmdir()
            self._places.release()
            progress.done.set()
