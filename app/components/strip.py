"""A contact sheet: small pictures in rows, one of them chosen, each a button."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

KEY = "strip"

_CSS = """
.strip {
  display: grid; grid-template-columns: repeat(10, minmax(0, 88px)); gap: 6px; padding: 5px 3px;
}
@media (max-width: 640px) { .strip { grid-template-columns: repeat(7, minmax(0, 1fr)); } }
button {
  padding: 0; border: 0; border-radius: 6px; cursor: pointer; background: transparent;
  line-height: 0; outline-offset: 2px;
}
img {
  width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 6px; opacity: 0.82;
  image-rendering: pixelated; box-sizing: border-box;
  border: 1px solid color-mix(in srgb, var(--st-text-color) 18%, transparent);
}
button:hover img { opacity: 1; }
button[aria-pressed="true"] img {
  opacity: 1; border-color: transparent; box-shadow: 0 0 0 3px var(--st-primary-color);
}
button:focus-visible { outline: 2px solid var(--st-text-color); }
"""

_JS = """
export default function (component) {
  const { data, setTriggerValue, parentElement } = component;
  let strip = parentElement.querySelector('.strip');
  if (!strip) {
    strip = document.createElement('div');
    strip.className = 'strip';
    strip.setAttribute('role', 'group');
    parentElement.appendChild(strip);
  }
  strip.setAttribute('aria-label', data.label);
  strip.replaceChildren(...data.frames.map((frame) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.title = frame.title;
    button.setAttribute('aria-pressed', String(frame.chosen));
    const image = document.createElement('img');
    image.src = frame.image;
    image.alt = frame.title;
    button.appendChild(image);
    button.onclick = () => setTriggerValue('picked', frame.number);
    return button;
  }));
}
"""

_mount = st.components.v2.component("early_exit_strip", css=_CSS, js=_JS)


@dataclass(frozen=True)
class Frame:
    """One picture: the number it reports when picked, its URI, what to call it."""

    number: int
    image: str
    title: str
    chosen: bool


def strip(frames: Sequence[Frame], label: str, on_pick: Callable[[int], None]) -> None:
    """Show the strip; ``on_pick`` is told the number of a picture that is clicked."""

    def picked() -> None:
        number = st.session_state[KEY].picked
        if isinstance(number, int):
            on_pick(number)

    _mount(
        key=KEY,
        data={"label": label, "frames": [asdict(frame) for frame in frames]},
        on_picked_change=picked,
    )
