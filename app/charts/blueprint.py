"""The network as it is built: stages as wide as their MACs, with the heads hanging from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from app.charts.ladder import widths, wires

_ROOM_FOR_BLOCKS = 26.0  # percent of the rail
_ROOM_FOR_MACS = 15.0


@dataclass(frozen=True)
class Part:
    """A stage and the head after it.

    Attributes:
        stage: its name.
        blocks: what it is made of, in a few words.
        cost: its MACs in units of the plain network.
        macs: the same as text.
        hands_on: shape of what the head reads.
        head: name of the exit.
        place: where the head stands.
        head_says: how large it is.
        accuracy: of the exit on test, as text.
    """

    stage: str
    blocks: str
    cost: float
    macs: str
    hands_on: str
    head: str
    place: str
    head_says: str
    accuracy: str


def blueprint(parts: Sequence[Part], comes_in: str, goes_out: str) -> str:
    """Return the drawing of a network, with what comes in on its left and goes out on its right."""
    wide = widths([part.cost for part in parts])
    blocks = "".join(_block(part, width) for part, width in zip(parts, wide, strict=True))
    cards = "".join(map(_card, parts))
    return (
        f'<section class="ee-blueprint" style="--exits:{len(parts)}" aria-label="The network">'
        f'<div class="ee-through"><span>{escape(comes_in)} →</span>'
        f"<span>→ {escape(goes_out)}</span></div>"
        f'<div class="ee-rail">{blocks}</div>{wires(wide, ["passed"] * len(parts))}'
        f'<ol class="ee-cards">{cards}</ol></section>'
    )


def _block(part: Part, width: float) -> str:
    title = f"{part.stage}: {part.blocks}; {part.macs} MACs; hands on {part.hands_on}"
    label = f"<b>{escape(part.stage)}</b>"
    if width > _ROOM_FOR_MACS:
        label += f"<span>{part.macs} MACs</span>"
    else:
        label = f"<b>{escape(part.stage.split()[-1])}</b>"
    if width > _ROOM_FOR_BLOCKS:
        label += f"<span>{escape(part.blocks)}</span>"
    return (
        f'<div class="ee-block" data-state="lit" style="width:{width:.3f}%" '
        f'title="{escape(title)}"><div>{label}</div></div>'
    )


def _card(part: Part) -> str:
    return (
        f'<li class="ee-card"><header><b>{escape(part.head)}</b>'
        f'<span class="ee-chip">{escape(part.place)}</span></header>'
        f"<p><strong>{part.accuracy}</strong> right on test</p>"
        f'<p class="ee-small">reads {part.hands_on}<br>{escape(part.head_says)}</p></li>'
    )
