"""A visitor's own images: what they brought, and what the networks said about it.

It lives in the session and ends with it; nothing of it is written to the disk.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from app import resources
from core.data.uploads import Collection
from core.foundation.errors import UserError

if TYPE_CHECKING:
    from core.foundation.jobs import Job
    from core.hub.scoring import Scored

_OWN = "own-collection"
MOST_SCORED = 4  # models whose answers are kept


class OwnImages:
    """A session's own images."""

    def __init__(self) -> None:
        self.collection: Collection | None = None
        self.mistake = ""
        self.job: Job[Scored] | None = None
        self.asked = ""  # the model that the job asks
        self.round = 0  # a new one empties the uploaders
        self._scored: dict[str, Scored] = {}

    def bring(self, reading: Callable[[], Collection], model: str) -> None:
        """Take other images instead, and ask a model about them; a mistake is kept to be shown."""
        self.forget()
        try:
            self.collection = reading()
        except UserError as error:
            self.mistake = str(error)
        else:
            self.score(model)

    def score(self, model: str) -> None:
        """Begin to ask a model about them."""
        assert self.collection is not None
        self.mistake, self.asked = "", model
        self.job = resources.scoring(model, self.collection)

    def settle(self) -> None:
        """Take note of a job that is done."""
        if self.job is None or self.job.running:
            return
        if self.job.result is not None:
            self._scored[_key(self.asked)] = self.job.result
            for old in list(self._scored)[:-MOST_SCORED]:
                del self._scored[old]
        self.mistake = self.job.mistake
        self.job = None

    def scored_by(self, model: str) -> "Scored | None":
        """Return what a model said about them, or None where it was not asked yet."""
        return self._scored.get(_key(model))

    def forget(self) -> None:
        """Let go of everything."""
        if self.job is not None:
            self.job.stop()
        self.collection, self.job, self.mistake, self._scored = None, None, "", {}
        self.round += 1


def own_images() -> OwnImages:
    """Return the session's own images; there may be none yet."""
    if _OWN not in st.session_state:
        st.session_state[_OWN] = OwnImages()
    found = st.session_state[_OWN]
    assert isinstance(found, OwnImages)
    return found


def readable_folder() -> Path | None:
    """Return the folder of this machine in which visitors may read: `$EENET_FOLDERS`, else none.

    Whoever runs a server for others leaves it unset: a visitor then sees nothing of its disk.
    """
    chosen = os.environ.get("EENET_FOLDERS")
    return Path(chosen).expanduser() if chosen else None


def _key(model: str) -> str:
    return f"{model} {resources.card_of(model).sha256}"
