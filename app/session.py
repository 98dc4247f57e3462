"""The models that a visitor trains: those of Train's lessons are found again by a link, the others
lie in a temporary folder that ends with the session."""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st

from app.runs import Run, all_runs
from app.shared import in_a_session
from core.hub.registry import CARD, FoundModel, find_model, models_in

if TYPE_CHECKING:
    from core.data.prepared import ImageSet
    from core.foundation.jobs import Place
    from core.training.lesson import Lesson

_MODELS = "own-models"
_RUN = "run"  # in a link
_NAMES = "trained-here", "tuned-here"
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
    """A session's own models, and its trainings."""

    def __init__(self, tokens: Sequence[str] = ()) -> None:
        """Open the runs of these tokens, as far as the server has them."""
        self.folder = Path(tempfile.mkdtemp(prefix="early-exit-explorer-"))
        found = [all_runs().find(token, self) for token in tokens[:MOST_MODELS]]
        self.runs: list[Run] = [run for run in found if run is not None]
        self.lost = len(found) - len(self.runs)
        """Runs of the link that the server has no longer."""
        self.trained = max((run.number for run in self.runs), default=0)
        self.found: dict[str, FoundModel] = {}
        """The models as they were at the last look."""
        self.pictures: dict[str, ImageSet] = {}
        """Test pictures of the last models that were trained on a visitor's own."""
        self._finalizer = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    @property
    def folders(self) -> dict[str, Path]:
        """Folders of the models by their names, in the order in which they were trained."""
        folders = {run.name: run.training.folder for run in self.runs}
        folders |= {name: self.folder / name for name in models_in(self.folder)}
        there = {name: folder for name, folder in folders.items() if (folder / CARD).is_file()}
        return dict(sorted(there.items(), key=lambda pair: _number(pair[0])))

    def last_run(self) -> Run | None:
        """Return the last run; one that left the queue is none."""
        self.runs = [run for run in self.runs if run.training.stage != "stopped"]
        return self.runs[-1] if self.runs else None

    def begin(self, lesson: "Lesson", place: "Place") -> None:
        """Start a training, or wait for a place to start it in."""
        self._make_room()
        run = all_runs().begin(lesson, self.trained, place, self)
        self.runs = [*self.runs[-MOST_MODELS + 1 :], run]

    def next_name(self, how: str = _NAMES[0]) -> str:
        """Return the name of the next model in the session's folder, and make room for it."""
        assert how in _NAMES
        self._make_room()
        return f"{how}-{self.trained}"

    def _make_room(self) -> None:
        for name in list(self.folders)[: -MOST_MODELS + 1]:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            self.runs = [run for run in self.runs if run.name != name]
        for name in list(self.pictures)[:-1]:
            del self.pictures[name]
        self.trained += 1
        self.lost = 0


def _number(name: str) -> int:
    return int(name.split("-")[2])


def own_models() -> OwnModels:
    """Return the session's own models; there may be none yet."""
    return kept(_MODELS, lambda: OwnModels(_tokens()))


def _tokens() -> list[str]:
    return [token for token in st.query_params.get(_RUN, "").split(".") if token]


def _any() -> OwnModels | None:
    """Return the session's own models, where there can be any."""
    if not in_a_session() or (_MODELS not in st.session_state and not _tokens()):
        return None  # then there is no folder to make
    return own_models()


def own_query(model: str | None = None) -> dict[str, str]:
    """Return the parameter of a link that finds the session's runs again, if it has any.

    Args:
        model: that the run is to have made; None: all runs.
    """
    own = _any()
    runs = [] if own is None else own.runs
    tokens = [run.token for run in runs if model in (None, run.name)]
    return {_RUN: ".".join(tokens)} if tokens else {}


def own_model_names() -> list[str]:
    """Return the models that were trained in this session, in that order."""
    own = _any()
    return [] if own is None else list(own.folders)


def own_pictures(name: str) -> "ImageSet | None":
    """Return the test pictures of a model that was trained on a visitor's own, where kept."""
    own = _any()
    return None if own is None else own.pictures.get(name)


def own_model(name: str) -> FoundModel | None:
    """Return a model that was trained in this session, its card read once; else None."""
    own = _any() if name.startswith(_NAMES) else None
    folder = None if own is None else own.folders.get(name)
    if own is None or folder is None:
        return None
    own.found[name] = find_model(folder, own.found.get(name))
    return own.found[name]
