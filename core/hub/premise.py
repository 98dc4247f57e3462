"""The premise of every promise: calibration images that the network has not learned from, and
enough of them."""

from collections.abc import Callable
from statistics import NormalDist

from core.exits.table import ExitTable
from core.tuning.drop_test import drop_bound
from core.tuning.path import split_rows
from core.tuning.promise import CONFIDENCE

OnNote = Callable[[str], None]
"""Told what calibration images cannot carry, in a sentence."""
FEW = 1_000
"""Calibration images; with fewer, it is said what they can prove."""
MARGIN = 0.02
"""Accuracy by which calibration may be better than test before it is far better."""
SIGNIFICANCE = 0.01


def notes(
    calibration: ExitTable | None, test: ExitTable | None, learned_from: bool = False
) -> tuple[str, ...]:
    """Return sentences on what a model's calibration images cannot carry; none where all is well.

    Args:
        calibration: the model's table of the calibration split.
        test: of the test split.
        learned_from: whether the network is known to have learned from the calibration images.
    """
    if calibration is None or calibration.num_exits == 1 or not calibration.labelled.all():
        return ()
    found = []
    if learned_from:
        found.append(f"The network has learned from the calibration images. {_CONSEQUENCE}")
    elif test is not None and test.labelled.all() and far_better(calibration, test):
        of_each = [
            f"{table.accuracy_per_exit[-1]:.1%} of {len(table):,} {name} images"
            for table, name in ((calibration, "calibration"), (test, "test"))
        ]
        found.append(
            "The network seems to have learned from the calibration images: its final exit is "
            f"right on {of_each[0]}, but on {of_each[1]}. {_CONSEQUENCE}"
        )
    if len(calibration) < FEW:
        found.append(
            f"With {len(calibration):,} calibration images, even a policy that answers all of them "
            f"as the full network does is proven to lose no more than "
            f"{100 * provable(len(calibration)):.2f} points of accuracy, at a confidence of "
            f"{CONFIDENCE:.0%}: do not ask for less, or calibrate on more images."
        )
    return tuple(found)


_CONSEQUENCE = (
    "Thresholds that are chosen on them lose more on new images than they promise: choose them on "
    "images that the network has not seen, such as a folder val beside train and test."
)


def provable(samples: int) -> float:
    """Return the smallest loss of accuracy that so many calibration images can prove.

    That is of a policy that answers all that certify it as the network would, see
    `core.tuning.promise`.
    """
    return drop_bound(0, 0, len(split_rows(samples)[1]), CONFIDENCE)


def far_better(calibration: ExitTable, test: ExitTable) -> bool:
    """Return whether the final exit is far better on calibration than on test.

    A one-sided test of two proportions, at the level `SIGNIFICANCE`, of whether they differ by more
    than `MARGIN`, with one right and one wrong answer added to each (Agresti and Caffo, The
    American Statistician 54:280, 2000).
    """
    difference, variance = -MARGIN, 0.0
    for table, sign in ((calibration, 1), (test, -1)):
        count = len(table) + 2
        share = (table.right[:, -1].sum() + 1) / count
        difference += sign * share
        variance += share * (1 - share) / count
    return bool(difference / variance**0.5 > NormalDist().inv_cdf(1 - SIGNIFICANCE))
