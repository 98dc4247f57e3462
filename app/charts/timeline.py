"""Who does what when: a lane for the edge, the link and the cloud, with a bar for every batch."""

from collections.abc import Mapping, Sequence
from html import escape

from app import text
from core.edge_cloud.plan import Bar, Lane, Station

_LANES: dict[Station, tuple[str, tuple[Lane, ...]]] = {
    "edge": ("Edge", ("edge forward", "edge backward")),
    "link": ("Link", ("link",)),
    "cloud": ("Cloud", ("cloud",)),
}
_KINDS: dict[Lane, tuple[str, str]] = {
    "edge forward": ("forward", "edge, forwards"),
    "edge backward": ("backward", "edge, its own exits' gradients"),
    "link": ("link", "features on the link"),
    "cloud": ("cloud", "cloud, all its training"),
}
_ROOM_FOR_NUMBER = 3.0  # percent of the lane


def timeline(bars: Sequence[Bar], busy: Mapping[Station, float], says: str) -> str:
    """Return the lanes of a few batches.

    Args:
        bars: when each batch is where, in seconds.
        busy: the part of the time that each station is at work.
        says: the same in words, for who cannot see it.
    """
    end = max(bar.end for bar in bars)
    lanes = "".join(
        f'<div class="ee-lane"><b>{title}</b><span>{text.percent(busy[station], 0)} busy</span>'
        f'<div class="ee-track">{_track(bars, kinds, end)}</div></div>'
        for station, (title, kinds) in _LANES.items()
    )
    legend = "".join(
        f'<span><i class="ee-shift ee-{name}"></i>{what}</span>'
        for lane, (name, what) in _KINDS.items()
        if any(bar.lane == lane for bar in bars)
    )
    return (
        f'<figure class="ee-timeline" role="img" aria-label="{escape(says)}">{lanes}'
        f'<div class="ee-scale-x"><span>0</span><span>time</span>'
        f"<span>{text.brief(end)}</span></div>"
        f"<figcaption>{legend}</figcaption></figure>"
    )


def _track(bars: Sequence[Bar], kinds: Sequence[Lane], end: float) -> str:
    parts = []
    for bar in bars:
        if bar.lane not in kinds:
            continue
        name, what = _KINDS[bar.lane]
        width = 100 * (bar.end - bar.start) / end
        number = str(bar.batch + 1) if width > _ROOM_FOR_NUMBER else ""
        title = f"Batch {bar.batch + 1}, {what}: {text.brief(bar.end - bar.start)}"
        parts.append(
            f'<i class="ee-shift ee-{name}" title="{title}" style="left:'
            f'{100 * bar.start / end:.3f}%;width:{width:.3f}%"><b>{number}</b></i>'
        )
    return "".join(parts)
