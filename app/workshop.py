"""What a visitor trains: models of their own, in a temporary folder that ends with the session."""

import re
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.hub.registry import models_in

if TYPE_CHECKING:
    from core.hub.trainings import TrainingJob

_WORKSHOP = "workshop"
_NAME = "trained-here"
MOST_MODELS = 6


class Workshop:
    """A session's own models, and the training that is under way or was the last."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="early-exit-explorer-"))
        self.training: TrainingJob | None = None
        self.trained = 0
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def next_name(self) -> str:
        """Return the name of the next model, and make room for it."""
        for name in names()[: -MOST_MODELS + 1]:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.trained += 1
        return f"{_NAME}-{self.trained}"


def workshop() -> Workshop:
    """Return the session's workshop; opens it if need be."""
    found = _opened()
    if found is None:
        found = st.session_state[_WORKSHOP] = Workshop()
    return found


def _opened() -> Workshop | None:
    found: Workshop | None = st.session_state.get(_WORKSHOP)
    return found


def names() -> list[str]:
    """Return the models that were trained in this session, in that order."""
    found = _opened()
    if found is None:
        return []
    return sorted(models_in(found.folder), key=lambda name: int(re.sub(r"\D", "", name)))


def folder_of(name: str) -> Path | None:
    """Return the folder of a model that was trained in this session, else None."""
    found = _opened()
    if found is None or name not in models_in(found.folder):
        return None
    return found.folder / name
