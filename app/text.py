"""Numbers as people read them."""

import math
import re

MISSING = "–"
MINUS = "−"
UNIT = "\N{NO-BREAK SPACE}%"
SAVED = "Compute saved"
EXTRA = "Extra compute"  # when the heads on the way cost more than leaving early saved
_DATASETS = {
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "tiny-imagenet": "Tiny-ImageNet",
    "photos": "Caltech-101 photos",
}


def dataset(name: str) -> str:
    """Return a data set as its authors write it, "CIFAR-10"; one of the user's own by its name."""
    return _DATASETS.get(name, name)


def without_test(split: str) -> str:
    """Return a sentence where figures are of another split than test, else ""."""
    if split == "test":
        return ""
    return (
        "All figures are of the calibration images, on which thresholds are chosen, too: no test "
        "images were given with this model. On new images they may be a little worse."
    )


def percent(fraction: float, digits: int = 1) -> str:
    """Return a fraction as "71.3 %" in one word; a dash where it is undefined."""
    return MISSING if math.isnan(fraction) else f"{fraction * 100:.{digits}f}\N{NO-BREAK SPACE}%"


def share(fraction: float) -> str:
    """Return a part of all as "71.3 %", and a small one that is not nothing as "0.01 %"."""
    return percent(fraction, 2 if 0 < fraction < 0.001 else 1)


def macs(count: int) -> str:
    """Return multiply-accumulates, or parameters, as "0.29 M" or "8.6 k", three figures."""
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


def against(value: float, threshold: float) -> str:
    """Return what a score is beside its threshold, "0.659 ≤ 0.986", told apart by their digits."""
    sign = ">" if value > threshold else "≤"
    pair = score(value), score(threshold)
    for digits in range(4, 7):
        if pair[0] != pair[1] or value == threshold:
            break
        pair = f"{value:.{digits}f}", f"{threshold:.{digits}f}"
    return f"{pair[0]} {sign} {pair[1]}"


def exit_name(exit_index: int, num_exits: int) -> str:
    """Return "Exit 1", or "Final exit" for the network's own classifier."""
    return "Final exit" if exit_index == num_exits - 1 else f"Exit {exit_index + 1}"


def exit_names(num_exits: int) -> list[str]:
    """Return the names of all exits of a network."""
    return [exit_name(index, num_exits) for index in range(num_exits)]


def plural(count: int, one: str) -> str:
    """Return "1 image" or "3 images"."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def points(fraction: float) -> str:
    """Return a difference of accuracies as "0.5 points"; a dash where it is undefined."""
    if math.isnan(fraction):
        return MISSING
    number = f"{fraction * 100:.2f}".rstrip("0").rstrip(".")
    return f"{number} point" if number == "1" else f"{number} points"


def apart(difference: float) -> str:
    """Return a difference of accuracies in points as "−0.06", "+1.20" or "±0.00"; or a dash."""
    if math.isnan(difference):
        return MISSING
    number = f"{abs(difference) * 100:.2f}"
    return signed(difference if float(number) else 0.0, number)


def interval(limits: tuple[float, float], digits: int = 1) -> str:
    """Return a range of fractions as "91.8 to 92.8 %"."""
    low, high = (percent(limit, digits).replace("-", MINUS) for limit in limits)
    return f"{low.removesuffix(UNIT)} to {high}"


def apart_interval(limits: tuple[float, float]) -> str:
    """Return a range of differences in points as "−0.41 to +0.18"."""
    return " to ".join(map(apart, limits))


def three(value: float) -> str:
    """Return "0.973"; a dash where it is undefined."""
    return MISSING if math.isnan(value) else f"{value:.3f}"


def signed(difference: float, text: str) -> str:
    """Return ``text``, which says how large a difference is, with the difference's sign."""
    if math.isnan(difference):
        return MISSING
    return f"{'+' if difference > 0 else MINUS if difference < 0 else '±'}{text}"


def times(ratio: float) -> str:
    """Return a ratio as "× 0.54", "× 17.0" or "× 170", three figures."""
    digits = 2 if ratio < 10 else 1 if ratio < 100 else 0
    return f"× {ratio:,.{digits}f}"


def odds(probability: float) -> str:
    """Return a probability as "34 of 100", "1 of 250" or "fewer than 1 of a million"."""
    if probability >= 0.1:
        return f"{probability * 100:.0f} of 100"
    if probability < 1e-6:
        return "fewer than 1 of a million"
    return f"1 of {float(f'{1 / probability:.2g}'):,.0f}"


def brief(seconds: float) -> str:
    """Return a short time with three figures, as "41.2 µs" or "0.413 ms"."""
    return _small(seconds, "s")


def energy(joules: float) -> str:
    """Return an energy with three figures, as "0.413 mJ" or "12.5 J"; 0 as "none"."""
    return "none" if joules == 0 else _small(joules, "J")


def _small(amount: float, unit: str) -> str:
    prefixes = ((1.0, 1.0, ""), (1e-4, 1e3, "m"), (0.0, 1e6, "µ"))
    factor, prefix = next((factor, prefix) for least, factor, prefix in prefixes if amount >= least)
    value = amount * factor
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f}\N{NO-BREAK SPACE}{prefix}{unit}"


def duration(seconds: float) -> str:
    """Return a time with three figures, as "41.2 µs", "12.5 s", "3.4 min", "5.6 h"; 0 as "none"."""
    if seconds == 0:
        return "none"
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            value = seconds / size
            return f"{value:,.{1 if value < 100 else 0}f}\N{NO-BREAK SPACE}{unit}"
    return brief(seconds)


def size(count: float) -> str:
    """Return a number of bytes as "8.2 kB", three figures; 0 as "nothing"."""
    if count == 0:
        return "nothing"
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            value = count / unit
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:.{digits}f}\N{NO-BREAK SPACE}{name}"
    return f"{count:.0f}\N{NO-BREAK SPACE}bytes"


def patience(seconds: float) -> str:
    """Return how long something takes, as "40 s" or "3 min"; a dash where it is not known."""
    if math.isnan(seconds):
        return MISSING
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def shape(channels: int, height: int, width: int) -> str:
    """Return the shape of features as "16 × 14 × 14"."""
    return f"{channels} × {height} × {width}"


def told(mistake: str) -> str:
    """Return the sentence of a `UserError` as visitors read it.

    "expected 2 thresholds, but got 3; add one." becomes "This needs 2 thresholds, not 3. Add one."
    """
    sentence = re.sub(r"(^|: )expected ", lambda found: f"{found[1]}This needs ", mistake)
    if sentence == mistake:
        return mistake
    sentence = sentence.replace(", but got none", ", and there is none")
    sentence = sentence.replace(", but got: ", ", but: ").replace(", but got ", ", not ")
    first, *advice = sentence.split("; ")
    parts = [first, *(part[:1].upper() + part[1:] for part in advice)]
    return ". ".join(part.rstrip(".") for part in parts) + "."
