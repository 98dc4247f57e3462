"""Streamlit's font of icons, made small: of its 4,000 icons, those that are named anywhere."""

import functools
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import streamlit
from fontTools import subset
from fontTools.ttLib import TTFont, TTLibError

NAME = "MaterialSymbols"
"""How the font's file name begins."""
_STATIC = Path(streamlit.__file__).parent / "static" / "static"
_WORD = re.compile(r"[\"'`:/]([a-z0-9_]+)[\"'`:]")
"""An icon is written as ``:material/home:``, or in quotes."""


@functools.cache
def small_font() -> bytes | None:
    """Return the font as WOFF2; None where this Streamlit has no such font, or one unlike it."""
    try:
        (path,) = _STATIC.glob(f"media/{NAME}*.woff2")
        with TTFont(path) as font:
            return _with_icons(font, set(_words()))
    except (AttributeError, KeyError, OSError, TTLibError, ValueError):
        return None


def font_if_made() -> bytes | None:
    """Return the small font once it was made, which takes seconds; None until then."""
    return small_font() if small_font.cache_info().currsize else None


def _words() -> Iterator[str]:
    own = Path(__file__).parent
    for folder, pattern in ((_STATIC / "js", "*.js"), (own, "**/*.py"), (own, "**/*.js")):
        for path in folder.glob(pattern):
            yield from _WORD.findall(path.read_text(encoding="utf-8"))


def _with_icons(font: TTFont, names: Iterable[str]) -> bytes:
    icons = _icons(font)
    options = subset.Options(layout_features=["*"], layout_closure=False, hinting=False)
    subsetter = subset.Subsetter(options)
    letters = [code for code, glyph in font.getBestCmap().items() if code < 128]  # names are of
    subsetter.populate(glyphs=[icons[name] for name in icons.keys() & names], unicodes=letters)
    subsetter.subset(font)
    font.flavor = "woff2"
    written = io.BytesIO()
    font.save(written)
    return written.getvalue()


def _icons(font: TTFont) -> dict[str, str]:
    """The glyph of every icon, by the letters that it is drawn for."""
    letters = {glyph: chr(code) for code, glyph in font.getBestCmap().items()}
    return {
        "".join(letters[glyph] for glyph in (first, *ligature.Component)): ligature.LigGlyph
        for lookup in font["GSUB"].table.LookupList.Lookup
        for table in lookup.SubTable
        for first, ligatures in table.ExtSubTable.ligatures.items()
        for ligature in ligatures
    }
