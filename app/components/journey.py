"""One picture on its way through a network, played in the browser, with one slider for it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app import resources, state, text
from app.components.live import CHIPS
from app.components.mount import component
from app.components.picture_choice import corrupted
from app.components.pictures import TINY, Picture, data_uri, sheet
from app.levels import Level, holding
from app.levels import levels as levels_of
from core.analysis.corruptions import CORRUPTIONS
from core.exits.criteria import CRITERIA
from core.exits.routing import route
from core.exits.table import ExitTable
from core.foundation.costs import saved
from core.foundation.errors import UserError
from core.hub.card import Card

MOST_CHANNELS = 24
"""Feature maps of a stage that a browser gets."""
_COLUMNS = 6
_LARGEST = 96  # pixels of a side
# dark blue, blue, white: rises in lightness, so it also reads without colour
_COLD = np.array([[6, 22, 48], [38, 113, 175], [245, 250, 255]], float)
_TOUR = {"on": 1, "back": -1}
WORDS = {
    "previous": "The picture before. Press P.",
    "next": "The next picture. Press N.",
    "any": "Any picture. Press A.",
    "model": "The next network with early exits. Press M.",
    "play": "▶ Play",
    "pause": "❚❚ Pause",
    "replay": "↻ Replay",
    "play_help": "The picture goes through the network, stage by stage. Press the space bar.",
    "step": "Step",
    "step_help": "One stage, or one exit, further. Press the full stop.",
    "reveal": "Reveal",
    "reveal_help": "What the picture shows, and which exits are right. Press R.",
    "guess": "Guess first",
    "guess_help": "Say where a picture will leave before it sets out; hits are counted. Press G.",
    "guess_here": "It leaves here",
    "other": "Any",
    "network": "Network",
    "ask": "Where will it leave? Choose an exit.",
    "hit": "You were right!",
    "missed": "Not there.",
    "score": "{right} of {all} guessed right.",
    "under_way": "On its way …",
    "what": "What is it? (R)",
    "unknown": "No label: what it shows is not known.",
    "chips": {
        "open": CHIPS["left"],
        "closed": CHIPS["passed"],
        "off": CHIPS["off"],
        "spared": CHIPS["dark"],
        "waiting": "",
    },
    "would_cost": "spares {cost} of the compute",
    "sure": "{share} sure",
    "macs": "{stage}: {macs} multiply-adds (MACs)",
    "maps_help": "What {stage} makes of the picture; press for more.",
    "maps": "{stage}: {count} of its feature maps, {shape}",
    "maps_note": "Each map shows where one feature is found: the brighter, the more of it. Those "
    "that vary most come first.",
    "close": "Close",
    "master": "How sure is sure enough?",
    "quick": "quick",
    "careful": "careful",
    "alone": "No thresholds to move: there are no early exits.",
}
_show = component("journey")


def journey(
    card: Card,
    picture: Picture,
    go: Callable[[str], None],
    *,
    within: bool = False,
    tour: Callable[[int], None] | None = None,
) -> None:
    """Show the journey of a picture through the network that all pages look at.

    Args:
        card: of the model.
        picture: that sets out, before it is corrupted.
        go: told which picture is wanted: "next", "previous" or "any".
        within: whether it is a part of a page: then it is smaller, and visitors guess from the
            beginning on where a picture leaves.
        tour: told 1 or -1 when Page down or Page up is pressed.
    """
    view = state.view()
    pixels = corrupted(picture.pixels, view)
    name = picture.name
    if view.corruption:
        worse = CORRUPTIONS[view.corruption].title.lower()
        name = f"{name}, {worse} {text.percent(view.severity, 0)}"
    table = resources.table_of(view.model, pixels[None])
    maps = resources.feature_maps(view.model, pixels, MOST_CHANNELS)
    levels, level = _levels(view)

    def slid(value: Any) -> None:
        if isinstance(value, int) and 0 <= value < len(levels):  # a browser can send anything
            state.choose_policy(levels[value].policy)

    def stepped(value: Any) -> None:
        if value in _TOUR and tour is not None:
            tour(_TOUR[value])
        elif value == "model":
            _next_model()
        elif value in ("next", "previous", "any"):
            go(value)

    height, width = pixels.shape[:2]
    data = {
        "model": card.sha256,
        "image": data_uri(pixels),
        "alt": f"The picture, {width} by {height} pixels, as the network reads it",
        "name": name,
        "truth": None if picture.label is None else card.classes[picture.label],
        "stages": [_stage(card, index, shown) for index, shown in enumerate(maps)],
        "exits": [_exit(card, picture, table, index) for index in range(card.num_exits)],
        "levels": [_level(card, picture, table, one) for one in levels],
        "level": level,
        "touring": tour is not None,
        "within": within,
        "criterion": CRITERIA[view.policy.criterion].title,
        "words": WORDS | {"all": _samples(view.model)},
    }
    _show("journey", data, level=slid, go=stepped)


def _levels(view: state.View) -> tuple[list[Level], int]:
    try:
        return holding(levels_of(view.model, view.policy), view.model, view.policy)
    except UserError:  # saved without tables
        return [Level(view.policy)], 0


def _samples(model: str) -> str:
    try:
        split = resources.shown_split(model)
        return f"All {len(resources.table_on(model, split)):,} {split} images"
    except UserError:
        return ""


def _next_model() -> None:
    cards = resources.cards_of(resources.model_names())
    early = [name for name, card in cards.items() if card.num_exits > 1]
    now = state.view().model
    following = early[(early.index(now) + 1) % len(early)] if now in early else early[0]
    state.choose_model(following, cards[following])


def _stage(card: Card, index: int, maps: NDArray[np.float32]) -> dict[str, Any]:
    count, height, width = maps.shape
    cost = float(card.costs.stages[index])
    return {
        "name": f"Stage {index + 1}",
        "macs": text.macs(card.stage_macs[index]),
        "cost": cost,
        "share": text.percent(cost),
        "shape": f"{height} × {width} numbers each",
        "side": max(height, width),
        "channels": count,
        "columns": min(_COLUMNS, count),
        "sprite": _sprite(maps),
    }


def _sprite(maps: NDArray[np.float32]) -> str:
    """Return maps (channels, h, w) in [0, 1] in rows of one coloured picture, as a URI."""
    count, height, width = maps.shape
    columns = min(_COLUMNS, count)
    rows = math.ceil(count / columns)
    filled = np.zeros((rows * columns, height, width), np.float32)
    filled[:count] = maps
    grid = filled.reshape(rows, columns, height, width).swapaxes(1, 2)
    values = grid.reshape(rows * height, columns * width)
    stops = np.linspace(0, 1, len(_COLD))
    colours = np.stack([np.interp(values, stops, part) for part in _COLD.T], axis=-1)
    scale = min(_LARGEST / max(height, width), 1)
    tile = (max(round(width * scale), 1), max(round(height * scale), 1))
    picture = Image.fromarray(colours.round().astype(np.uint8))
    size = (columns * tile[0], rows * tile[1])
    return sheet(picture.resize(size, Image.Resampling.BOX), exact=max(tile) <= TINY // 2)


def _exit(card: Card, picture: Picture, table: ExitTable, index: int) -> dict[str, Any]:
    answer = int(table.answers[0, index])
    return {
        "name": text.exit_name(index, card.num_exits),
        **_answer(card, picture, answer, float(table.probabilities[0, index, answer])),
    }


def _answer(card: Card, picture: Picture, answer: int, probability: float) -> dict[str, Any]:
    return {
        "answer": card.classes[answer],
        "sure": text.percent(probability),
        "right": None if picture.label is None else answer == picture.label,
    }


def _level(card: Card, picture: Picture, table: ExitTable, level: Level) -> dict[str, Any]:
    policy = level.policy
    routing = route(table, policy)
    cost = float(routing.costs[0])
    scores = routing.early_scores[0].tolist()
    return {
        "exit": int(routing.exits[0]),
        "on": list(policy.enabled),
        "thresholds": list(policy.thresholds),
        "scores": scores,
        "verdicts": list(map(text.against, scores, policy.thresholds)),
        **_answer(card, picture, int(routing.answers[0]), float(routing.probabilities[0])),
        "spent": f"{_compute(cost)}: {text.macs(card.macs(cost))} "
        f"{'of' if cost <= 1 else 'instead of'} {text.macs(card.plain_macs)} multiply-adds.",
        "whole": f"{_compute(level.cost).lower()}, {text.percent(level.accuracy, 2)} right",
    }


def _compute(cost: float) -> str:
    part = saved(cost)
    word = text.SAVED if part >= 0 else text.EXTRA
    return f"{word} {text.percent(abs(part))}"
