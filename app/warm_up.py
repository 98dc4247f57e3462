"""What visitors would wait for, loaded ahead of them."""

import gc
import logging
import threading
from contextlib import suppress
from importlib import import_module

from app import resources
from app.views import PAGES
from core.data.samples import sample_names
from core.foundation.errors import UserError
from core.foundation.plugins import load_plugins
from core.hub.card import Card
from core.hub.methods import own_criterion

_HEAVY = (
    "core.analysis.saliency",
    "core.deploy.benchmark",
    "core.hub.model",
    "core.networks.build",
    "core.networks.outline",
)
"""Modules that pages import when they need them: two visitors at once could find one half made."""
_log = logging.getLogger(__name__)


def load_for_the_first() -> None:
    """Import what pages need, and load what the front page shows. Mistakes are left to the page."""
    for page in PAGES:
        import_module(f"app.views.{page}")
    for module in _HEAVY:
        import_module(module)
    with suppress(UserError):
        load_plugins()
        names = resources.model_names()
        if names:
            resources.tables(names[0])
            card = resources.card_of(names[0])
            images = resources.examples(card)
            if images is not None:
                resources.table_of(names[0], images.images[:1])


def load_for_all() -> None:
    """Begin to load what the other pages show, of all models; it goes on in the background."""
    threading.Thread(target=_load_for_all, daemon=True).start()


def _load_for_all() -> None:
    for name in resources.model_names():
        try:
            _load(name, resources.card_of(name))
        except UserError as error:  # shown to whoever chooses the model
            _log.warning("%s", error)
    for dataset in sample_names():
        resources.samples(dataset)
    # What start-up made lives as long as the server: collections need not walk over it. How often
    # Python collects hangs on how much the last collection left, so one follows.
    gc.collect()
    gc.freeze()
    gc.collect()


def _load(name: str, card: Card) -> None:
    resources.stages_of(name)
    tables = resources.tables(name)
    if card.num_exits == 1 or "calibration" not in tables:
        return
    criterion = own_criterion(card.method, card.criteria)
    for one in dict.fromkeys([card.default_policy.criterion, criterion]):
        resources.front_on(name, one, None, resources.shown_split(name))
    if "test" in tables:
        resources.leaderboard_entry(name)
    resources.model(name)
