"""What visitors would wait for, loaded ahead of them."""

import gc
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module

from app import icons, resources
from app.charts import plotly
from app.views import PAGES
from core.foundation.errors import UserError
from core.foundation.plugins import load_plugins
from core.hub.card import Card

_HEAVY = (
    "core.analysis.saliency",
    "core.deploy.benchmark",
    "core.hub.model",
    "core.networks.build",
    "core.networks.outline",
    "scipy.special",
)
"""Modules that pages import when they need them: two visitors at once could find one half made."""
_log = logging.getLogger(__name__)


def load_for_the_first() -> None:
    """Import what pages need, and load what they show of each model as it is opened.

    Mistakes are left to the page of whoever chooses the model.
    """
    for page in PAGES:
        import_module(f"app.views.{page}")
    for module in _HEAVY:
        import_module(module)
    with suppress(UserError):
        load_plugins()
    plotly.import_parts()
    _for_each_model(_load_pages)


def load_for_all() -> None:
    """Begin to load what a click shows; it goes on in the background, and steps back for others."""
    threading.Thread(target=_load_for_all, daemon=True).start()


def _load_for_all() -> None:
    icons.small_font()
    _for_each_model(_load_clicks, pause=4.0)
    # What start-up made lives as long as the server: collections need not walk over it. How often
    # Python collects hangs on how much the last collection left, so one follows.
    gc.collect()
    gc.freeze()
    gc.collect()


def _for_each_model(load: Callable[[str, Card], None], pause: float = 0.0) -> None:
    """Load something of every model; after each, pause for so many times what it took."""
    for name in resources.model_names():
        start = time.monotonic()
        try:
            load(name, resources.card_of(name))
        except UserError as error:
            _log.warning("%s", error)
        time.sleep(pause * (time.monotonic() - start))


def _load_pages(name: str, card: Card) -> None:
    resources.samples(card)
    tables = resources.tables(name)
    if card.num_exits == 1 or not tables:
        return
    policy, split = card.default_policy, resources.shown_split(name)
    for one in tables:
        resources.report_on(name, one, policy)
    if "calibration" in tables:
        resources.front_on(name, policy.criterion, policy.temperatures, split)
    images = resources.examples(card)
    if images is not None:
        resources.table_of(name, images.images[:1])


def _load_clicks(name: str, card: Card) -> None:
    resources.stages_of(name)
    if card.num_exits > 1 and {"calibration", "test"} <= resources.tables(name).keys():
        resources.leaderboard_entry(name)
