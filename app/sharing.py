"""What the Edge and cloud page is set to; in the session and in the URL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from app.state import number_of, whole_of
from core.edge_cloud.traffic import BITS

_SHARING = "sharing"
RATES = tuple(digit * 10.0**power for power in range(5, 11) for digit in (1, 2, 5))
SPEEDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
MOST_IMAGES = 10_000_000


@dataclass(frozen=True)
class Sharing:
    """What can be chosen.

    Attributes:
        split: an early exit's name; of a network that has no such exit, the middle one is meant.
        rate: of the link in bits per second, one of `RATES`.
        bits: per feature, one of `BITS`.
        cloud_speed: in units of this machine's, one of `SPEEDS`.
        images: per epoch.
    """

    split: str = ""
    rate: float = 1e8
    bits: int = 16
    cloud_speed: float = 2.0
    images: int = 50_000


def to_query(sharing: Sharing) -> dict[str, str]:
    """Return the URL parameters that `from_query` understands."""
    return {
        "split": sharing.split,
        "rate": f"{sharing.rate:.15g}",
        "bits": str(sharing.bits),
        "speed": f"{sharing.cloud_speed:g}",
        "images": str(sharing.images),
    }


def from_query(query: Mapping[str, str]) -> Sharing:
    """Return the settings that a URL describes; what is missing or wrong falls back."""
    usual = Sharing()
    bits = whole_of(query.get("bits", ""), usual.bits)
    images = whole_of(query.get("images", ""), usual.images)
    return Sharing(
        split=query.get("split", ""),
        rate=_one_of(RATES, query.get("rate", ""), usual.rate),
        bits=bits if bits in BITS else usual.bits,
        cloud_speed=_one_of(SPEEDS, query.get("speed", ""), usual.cloud_speed),
        images=min(max(images, 1), MOST_IMAGES),
    )


def _one_of(values: Sequence[float], text: str, otherwise: float) -> float:
    value = number_of(text)
    if value is None:
        return otherwise
    return min(values, key=lambda one: abs(one - value))


def sharing() -> Sharing:
    """Return the session's settings, read from the URL when the session is new."""
    if _SHARING not in st.session_state:
        st.session_state[_SHARING] = from_query(st.query_params)
    current = st.session_state[_SHARING]
    assert isinstance(current, Sharing)
    return current


def choose(**changes: Any) -> None:
    """Change some settings."""
    st.session_state[_SHARING] = replace(sharing(), **changes)
