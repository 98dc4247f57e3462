"""The models that a visitor trains: in a temporary folder that ends with the session."""

import re
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st

from app.shared import in_a_session
from core.hub.registry import CARD, FoundModel, find_model, models_in

if TYPE_CHECKING:
    from core.data.prepared import ImageSet
    from core.hub.trainings import TrainingJob

_MODELS = "own-models"
MOST_MODELS = 6
T = TypeVar("T")


def kept(key: str, make: Callable[[], T]) -> T:
    """Return what the session keeps under a key; makes it when there is nothing yet."""
    if key not in st.session_state:
        st.session_state[key] = make()
    found: T = st.session_state[key]
    return found


def latest(name: str, key: Any, make: Callable[[], T]) -> T:
    """Return what the session keeps under a name, made anew where the key is another."""
    if st.session_state.get(name, (None,))[0] != key:
        st.session_state[name] = (key, make())
    found: T = st.session_state[name][1]
    return found


class OwnModels:
    """A session's own models, and the training that is under way or was the last."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="early-exit-explorer-"))
        self.training: TrainingJob | None = None
        self.trained = 0
        self.found: dict[str, FoundModel] = {}
        """The models as they were at the last look."""
        self.pictures: dict[str, ImageSet] = {}
        """Test pictures of the last models that were trained on a visitor's own."""
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def next_name(self) -> str:
        """Return the name of the next model, and make room for it."""
        for name in own_model_names()[: -MOST_MODELS + 1]:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in list(self.pictures)[:-1]:
            del self.pictures[name]
        self.trained += 1
        return f"trained-here-{self.trained}"


def own_models() -> OwnModels:
    """Return the session's own models; there may be none yet."""
    return kept(_MODELS, OwnModels)


def own_model_names() -> list[str]:
    """Return the models that were trained in this session, in that order."""
    if not in_a_session() or _MODELS not in st.session_state:  # then there is no folder to make
        return []
    names = models_in(own_models().folder)
    return sorted(names, key=lambda name: int(re.sub(r"\D", "", name)))


def own_pictures(name: str) -> "ImageSet | None":
    """Return the test pictures of a model that was trained on a visitor's own, where kept."""
    return own_models().pictures.get(name) if own_model_folder(name) is not None else None


def own_model_folder(name: str) -> Path | None:
    """Return the folder of a model that was trained in this session, else None."""
    if not in_a_session() or _MODELS not in st.session_state or Path(name).name != name:
        return None
    folder = own_models().folder / name
    return folder if (folder / CARD).is_file() else None


def own_model(name: str) -> FoundModel | None:
    """Return a model that was trained in this session, its card read once; else None."""
    folder = own_model_folder(name)
    if folder is None:
        return None
    known = own_models().found
    known[name] = find_model(folder, known.get(name))
    return known[name]
