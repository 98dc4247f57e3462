"""One picture on its way through a network, played in the browser, with one slider for it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app import text
from app.components.live import CHIPS
from app.components.mount import component
from app.components.pictures import TINY, Picture, data_uri, sheet
from app.levels import Level
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.routing import route
from core.exits.table import ExitTable
from core.foundation.costs import saved
from core.hub.card import Card

MOST_CHANNELS = 24
"""Feature maps of a stage that a browser gets."""
_COLUMNS = 6
_LARGEST = 96  # pixels of a side
# dark blue, blue, white: rises in lightness, so it also reads without colour
_COLD = np.array([[6, 22, 48], [38, 113, 175], [245, 250, 255]], float)
STEPS = ("next", "previous", "any", "model", "on", "back")
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
    "unknown": "No label: nobody told us what it shows.",
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
    table: ExitTable,
    maps: Sequence[NDArray[np.float32]],
    levels: Sequence[Level],
    level: int,
    samples: str,
    on_level: Callable[[Policy], None],
    on_step: Callable[[str], None],
    *,
    touring: bool = False,
) -> None:
    """Show a picture's journey.

    Args:
        card: of the model.
        picture: that sets out.
        table: every exit's answers to it, one row.
        maps: `core.analysis.feature_maps` of every stage.
        levels: positions of the slider, at least one.
        level: which it stands at.
        samples: what the figures of all levels are of, "10,000 test images".
        on_level: told the policy that the slider is let go at.
        on_step: told one of `STEPS`.
        touring: whether Page down and Page up go through a tour.
    """

    def slid(value: Any) -> None:
        if isinstance(value, int) and 0 <= value < len(levels):  # a browser can send anything
            on_level(levels[value].policy)

    def stepped(value: Any) -> None:
        if value in STEPS:
            on_step(value)

    height, width = picture.pixels.shape[:2]
    data = {
        "model": card.sha256,
        "image": data_uri(picture.pixels),
        "alt": f"The picture, {width} by {height} pixels, as the network reads it",
        "name": picture.name,
        "truth": None if picture.label is None else card.classes[picture.label],
        "stages": [_stage(card, index, shown) for index, shown in enumerate(maps)],
        "exits": [_exit(card, picture, table, index) for index in range(card.num_exits)],
        "levels": [_level(card, picture, table, one, samples) for one in levels],
        "level": level,
        "touring": touring,
        "criterion": CRITERIA[levels[level].policy.criterion].title,
        "words": WORDS,
    }
    _show("journey", data, level=slid, go=stepped)


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


def _level(
    card: Card, picture: Picture, table: ExitTable, level: Level, samples: str
) -> dict[str, Any]:
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
        "spent": f"{_compute(cost)}: {text.macs(card.macs(cost))} of "
        f"{text.macs(card.plain_macs)} multiply-adds.",
        "whole": f"All {samples}: {_compute(level.cost).lower()}, "
        f"{text.percent(level.accuracy, 2)} right",
    }


def _compute(cost: float) -> str:
    part = saved(cost)
    word = text.SAVED if part >= 0 else text.EXTRA
    return f"{word} {text.percent(abs(part))}"
