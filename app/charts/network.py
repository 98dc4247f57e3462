"""Networks drawn: stages as wide as their MACs, and a card for every exit hanging from them.

The ladder shows one image on its way, the blueprint how the network is built.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from app import text
from app.components.live import ANSWERS, CHIPS, WOULD_ANSWER
from core.exits.policy import Policy
from core.exits.table import FloatArray
from core.hub.card import Card

_NARROWEST = 4.0  # percent of the rail; a stage must stay visible however little it computes
_ROOM_FOR_BLOCKS = 26.0  # percent of the rail
_ROOM_FOR_MACS = 15.0
_MARKS = {
    None: "",
    True: '<i class="ee-right">✓ right</i>',
    False: '<i class="ee-wrong">✗ wrong</i>',
}


@dataclass(frozen=True)
class Rung:
    """One exit, for one image.

    Attributes:
        answer: the class it would answer.
        probability: of that answer, in [0, 1].
        score: of the criterion, in [0, 1]; None at the final exit, which asks for none.
        threshold: likewise.
        enabled: whether it may let the image go.
        stage_cost: MACs of the stage before it, in units of the plain network.
        stage_macs: the same as a number.
        right: whether the answer is right, or None where the truth is unknown.
    """

    name: str
    answer: str
    probability: float
    score: float | None
    threshold: float | None
    enabled: bool
    stage_cost: float
    stage_macs: int
    right: bool | None


def rungs_of(
    card: Card,
    policy: Policy,
    scores: FloatArray,
    answers: Sequence[tuple[int, float]],
    right: Sequence[bool | None],
) -> list[Rung]:
    """Return what every exit of a network makes of one image.

    Args:
        card: of the model.
        policy: that decides.
        scores: (E-1,) or (E,), of the criterion.
        answers: of each exit, the class and its probability.
        right: of each exit, whether the answer is right, or None where the truth is unknown.
    """
    last = card.num_exits - 1
    return [
        Rung(
            name=name,
            answer=card.classes[answers[index][0]],
            probability=answers[index][1],
            score=float(scores[index]) if index < last else None,
            threshold=policy.thresholds[index] if index < last else None,
            enabled=policy.enabled[index] if index < last else True,
            stage_cost=float(card.costs.stages[index]),
            stage_macs=card.stage_macs[index],
            right=right[index],
        )
        for index, name in enumerate(text.exit_names(card.num_exits))
    ]


def ladder(rungs: Sequence[Rung], left_at: int, criterion: str) -> str:
    """Return the ladder of an image that leaves at exit ``left_at``."""
    wide = _widths([rung.stage_cost for rung in rungs])
    states = [_state(rung, index, left_at) for index, rung in enumerate(rungs)]
    blocks = [
        _ladder_block(rung, index, width, left_at)
        for index, (rung, width) in enumerate(zip(rungs, wide, strict=True))
    ]
    return (
        f'<section class="ee-ladder" style="--exits:{len(rungs)}" aria-label="Exit ladder">'
        f"{_rail(blocks, wide, states)}{cards(rungs, left_at, criterion)}</section>"
    )


def cards(rungs: Sequence[Rung], left_at: int, criterion: str) -> str:
    """Return every exit's card for an image that leaves at exit ``left_at``."""
    drawn = "".join(
        _ladder_card(rung, index, left_at, criterion) for index, rung in enumerate(rungs)
    )
    return f'<ol class="ee-cards">{drawn}</ol>'


def _widths(costs: Sequence[float]) -> list[float]:
    """Return how wide stages of these costs are on a rail, in percent."""
    shares = [max(100 * cost, _NARROWEST) for cost in costs]
    return [share * 100 / sum(shares) for share in shares]


def _ladder_block(rung: Rung, index: int, width: float, left_at: int) -> str:
    state = "lit" if index <= left_at else "dark"
    size = text.macs(rung.stage_macs) + " MACs"
    label = f"<b>{index + 1}</b>"
    if width > 15:
        word = "Stage " if width > 20 else "<span>Stage </span>"  # gone on a telephone
        label = f"<b>{word}{index + 1}</b><span>{size}</span>"
    skipped = '<i class="ee-skipped">skipped</i>' if width > 24 else ""
    return (
        f'<div class="ee-block" data-stage="{index}" data-state="{state}" '
        f'style="width:{width:.3f}%" title="Stage {index + 1}: {size}">'
        f"<div>{label}{skipped}</div></div>"
    )


def _rail(blocks: Sequence[str], wide: Sequence[float], states: Sequence[str]) -> str:
    """Return stages, and elbows from the end of each to its card, at heights where none cross.

    Args:
        blocks: of each stage.
        wide: of each stage, in percent of the rail.
        states: of each exit: "left", "passed", "off" or "dark".
    """
    drawn = []
    count = len(states)
    for index, state in enumerate(states):
        start, end = sum(wide[: index + 1]) - 0.6, (index + 0.5) * 100 / count
        rank = index + 1 if end < start else count - index
        height = 100 * rank / (count + 1)
        side = "right" if end < start else "left"
        mark = f'data-wire="{index}" data-state="{state}"'
        drawn.append(
            f'<i {mark} class="ee-from-{side}" style="left:{min(start, end):.2f}%;'
            f'width:{abs(end - start):.2f}%;height:{height:.0f}%"></i>'
            f'<i {mark} class="ee-drop" style="left:{end:.2f}%;top:{height:.0f}%"></i>'
        )
    return (
        f'<div class="ee-rail">{"".join(blocks)}</div>'
        f'<div class="ee-wires" aria-hidden="true">{"".join(drawn)}</div>'
    )


def _state(rung: Rung, index: int, left_at: int) -> str:
    if index == left_at:
        return "left"
    if not rung.enabled:
        return "off"
    return "passed" if index < left_at else "dark"


def _ladder_card(rung: Rung, index: int, left_at: int, criterion: str) -> str:
    state = _state(rung, index, left_at)
    verb = ANSWERS if state == "left" else WOULD_ANSWER
    return (
        f'<li class="ee-card" data-exit="{index}" data-state="{state}">'
        f'<header><b>{rung.name}</b><span class="ee-chip">{CHIPS[state]}</span></header>'
        f'<p class="ee-answer"><small>{verb}</small><strong>{escape(rung.answer)}</strong>'
        f"<span>{text.percent(rung.probability)} sure {_MARKS[rung.right]}</span></p>"
        f"{_gauge(rung, index, criterion)}</li>"
    )


def _gauge(rung: Rung, index: int, criterion: str) -> str:
    if rung.score is None or rung.threshold is None:
        return (
            '<p class="ee-last">The end of the network: every image that gets here leaves here.</p>'
        )
    over = rung.score > rung.threshold
    score, against = text.against(rung.score, rung.threshold).split(" ", 1)
    return (
        f'<div class="ee-gauge" aria-hidden="true">'
        f'<div class="ee-fill" data-over="{str(over).lower()}" style="width:{rung.score:.4%}">'
        f'</div><div class="ee-mark" data-mark="{index}" style="left:{rung.threshold:.4%}"></div>'
        f'</div><p class="ee-verdict"><span>{escape(criterion)}</span>'
        f"<span><b>{score}</b> <i>{escape(against)}</i></span></p>"
    )


def cut_bar(points: Sequence[tuple[str, float, str]], chosen: Sequence[str]) -> str:
    """Return a network as a bar of its compute, with the places where it can be cut.

    Args:
        points: of each place its name, the share of the compute before it in [0, 1], and the shape
            of the features there.
        chosen: names of the places that get an exit.
    """
    marks = "".join(
        f'<i style="left:{share:.3%}" {"data-chosen" if name in chosen else ""} '
        f'title="{escape(name)}: {text.percent(share)} of the compute, {shape}"></i>'
        for name, share, shape in points
    )
    exits = [point for point in points if point[0] in chosen]
    ends = [*(100 * share for _, share, _ in exits), 100.0]
    wide = [end - start for start, end in zip([0.0, *ends], ends, strict=False)]
    names = text.exit_names(len(wide))
    blocks = [
        f'<div class="ee-block" data-state="lit" style="width:{width:.3f}%" '
        f'title="Stage {index}: {width:.1f} % of the compute"><div>'
        + (f"<b>{index}</b>" if width > _NARROWEST else "")
        + (f"<span>{width:.0f} %</span>" if width > _ROOM_FOR_MACS else "")
        + "</div></div>"
        for index, width in enumerate(wide, 1)
    ]
    places = [
        *((f"after <b>{escape(name)}</b>", share, shape) for name, share, shape in exits),
        ("the network's own classifier", 1.0, ""),
    ]
    cards = "".join(
        f'<li class="ee-card"><header><b>{exit_name}</b></header>'
        f"<p>{where}</p>"
        f'<p class="ee-small">{text.percent(share)} of the compute<br>{shape}</p></li>'
        for exit_name, (where, share, shape) in zip(names, places, strict=True)
    )
    rail = _rail(blocks, wide, ["passed"] * len(wide))
    return (
        f'<section class="ee-blueprint ee-cuts" style="--exits:{len(wide)}" '
        f'aria-label="Places for exits"><div class="ee-ticks">{marks}</div>'
        f'{rail}<ol class="ee-cards">{cards}</ol></section>'
    )


@dataclass(frozen=True)
class Part:
    """A stage and the head after it.

    Attributes:
        stage: its name.
        blocks: what it is made of, in a few words.
        cost: its MACs in units of the plain network.
        macs: the same as text.
        output: shape of its output, which the head reads.
        head: name of the exit.
        place: where the head stands.
        head_size: how large it is.
        accuracy: of the exit, as text.
        measured: on which images that is.
    """

    stage: str
    blocks: str
    cost: float
    macs: str
    output: str
    head: str
    place: str
    head_size: str
    accuracy: str
    measured: str


def blueprint(parts: Sequence[Part], input_shape: str, output_classes: str) -> str:
    """Return the drawing of a network, with what comes in on its left and goes out on its right."""
    wide = _widths([part.cost for part in parts])
    blocks = [_part_block(part, width) for part, width in zip(parts, wide, strict=True)]
    rail = _rail(blocks, wide, ["passed"] * len(parts))
    cards = "".join(map(_part_card, parts))
    return (
        f'<section class="ee-blueprint" style="--exits:{len(parts)}" aria-label="The network">'
        f'<div class="ee-through"><span>{escape(input_shape)} →</span>'
        f"<span>→ {escape(output_classes)}</span></div>"
        f'{rail}<ol class="ee-cards">{cards}</ol></section>'
    )


def _part_block(part: Part, width: float) -> str:
    title = f"{part.stage}: {part.blocks}; {part.macs} MACs; output {part.output}"
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


def _part_card(part: Part) -> str:
    return (
        f'<li class="ee-card"><header><b>{escape(part.head)}</b>'
        f'<span class="ee-chip">{escape(part.place)}</span></header>'
        f"<p><strong>{part.accuracy}</strong> {part.measured}</p>"
        f'<p class="ee-small">reads {part.output}<br>{escape(part.head_size)}</p></li>'
    )
