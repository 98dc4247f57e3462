"""Numbers as people read them."""

import math

MISSING = "–"
SAVED = "Compute saved"
EXTRA = "Extra compute"  # when the heads on the way cost more than leaving early saved


def percent(fraction: float, digits: int = 1) -> str:
    """Return a fraction as "71.3 %" in one word; a dash where it is undefined."""
    return MISSING if math.isnan(fraction) else f"{fraction * 100:.{digits}f}\N{NO-BREAK SPACE}%"


def macs(count: int) -> str:
    """Return multiply-accumulates as "0.29 M" or "8.6 k", three figures."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.{2 - min(int(math.log10(count / size)), 2)}f} {unit}"
    return str(count)


def milliseconds(seconds: float) -> str:
    """Return a duration as "0.41 ms"."""
    value = seconds * 1000
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


def score(value: float) -> str:
    """Return a score or threshold with as many digits as it takes to tell it from 0 and 1."""
    if value in (0, 1):
        return f"{value:g}"
    for digits in (3, 4, 5):
        text = f"{value:.{digits}f}"
        if 0 < float(text) < 1:
            return text
    return f"{value:.6f}"


def exit_name(exit_index: int, num_exits: int) -> str:
    """Return "Exit 1", or "Final exit" for the network's own classifier."""
    return "Final exit" if exit_index == num_exits - 1 else f"Exit {exit_index + 1}"


def plural(count: int, one: str) -> str:
    """Return "1 image" or "3 images"."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def points(fraction: float) -> str:
    """Return a difference of accuracies as "0.5 points"; a dash where it is undefined."""
    if math.isnan(fraction):
        return MISSING
    number = f"{fraction * 100:.2f}".rstrip("0").rstrip(".")
    return f"{number} point" if number == "1" else f"{number} points"


def three(value: float) -> str:
    """Return "0.973"; a dash where it is undefined."""
    return MISSING if math.isnan(value) else f"{value:.3f}"
