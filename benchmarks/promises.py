"""How often targets are missed that were promised, over re-draws of the calibration images.

    python -m benchmarks.promises --update docs/results.md

For each shipped early-exit model, the rows of its calibration and test tables are the population:
what a policy loses on all of them, against the plain network, is the truth. Calibration sets of
the usual size are drawn from it with replacement, and on each the thresholds are chosen anew, once
as promised (`core.tuning.promise`) and once optimistically: the cheapest policy, of any criterion,
that loses no more on the set itself. The optimistic choice is among the policies on the fronts of
three further draws, a few thousand; real searches choose among more, and miss by more. A target is
missed when the policy truly loses more than it; where nothing can be promised, nothing is missed.
"""

import argparse
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from benchmarks.report import add_update, publish
from core.exits.criteria import available
from core.exits.policy import Policy
from core.exits.report import evaluate
from core.exits.table import BoolArray, CostArray, ExitTable, IntArray
from core.foundation.errors import UserError
from core.foundation.markdown import markdown_table
from core.hub.card import Card
from core.hub.methods import own_criterion
from core.hub.registry import card_of, front_of, plain_table, shipped_models, shipped_table
from core.tuning.drop_test import DropTest
from core.tuning.front import cheapest_within_drop, front, outcomes
from core.tuning.path import split_rows
from core.tuning.promise import CONFIDENCE, farthest, lay, promised, reference_right

SPLITS = ("calibration", "test")
TARGETS = (0.003, 0.005, 0.01, 0.02)
DRAWS, SAMPLES, CANDIDATE_DRAWS = 200, 5000, 3
ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Population:
    """All images with known answers; the truth is their mean.

    Attributes:
        table: of the network with exits.
        plain_right: ``(N,)`` whether the plain network is right.
        criterion: of the network's method.
    """

    table: ExitTable
    plain_right: BoolArray
    criterion: str

    @classmethod
    def of(cls, card: Card) -> "Population":
        """Return the population of a shipped model: its calibration and its test images."""
        assert card.plain is not None
        tables, right = [], []
        for split in SPLITS:
            tables.append(shipped_table(card.name, split))
            right.append(reference_right(tables[-1], shipped_table(card.plain.name, split)))
        criterion = own_criterion(card.method, card.criteria)
        return cls(_joined(tables), np.concatenate(right), criterion)

    def draw(self, seed: int, samples: int) -> IntArray:
        """Return the rows of a calibration set."""
        return np.random.default_rng(seed).integers(len(self.table), size=samples)

    def truth(self, policies: Sequence[Policy]) -> tuple[CostArray, CostArray]:
        """Return what policies of one criterion truly lose and cost, ``(M,)`` each."""
        found = [
            (self.plain_right.mean() - right.mean(), cost.mean())
            for right, cost in outcomes(self.table, policies)
        ]
        drop, cost = np.array(found).T
        return drop, cost


@dataclass(frozen=True, eq=False)
class Choices:
    """What was chosen on D draws for one target; NaN where nothing was.

    Attributes:
        target: the drop allowed.
        drop: ``(D,)`` true drops.
        cost: ``(D,)`` true costs.
    """

    target: float
    drop: CostArray
    cost: CostArray

    @property
    def made(self) -> float:
        """Share of the draws on which a policy was chosen."""
        return float(np.isfinite(self.drop).mean())

    @property
    def missed(self) -> float:
        """Share of the draws whose policy truly loses more than the target."""
        return float((self.drop > self.target + ROUNDING).mean())


def promised_on_draws(
    population: Population,
    targets: Sequence[float] = TARGETS,
    draws: int = DRAWS,
    samples: int = SAMPLES,
    confidence: float = CONFIDENCE,
) -> list[Choices]:
    """Choose on every draw by `core.tuning.promise`, for every target."""
    certifying = len(split_rows(samples)[1])
    tests = [DropTest.of(certifying, target, confidence) for target in targets]
    found = np.full((len(targets), draws, 2), np.nan)
    for draw in range(draws):
        rows = population.draw(draw, samples)
        walks = lay(
            population.table.select(rows), population.criterion, population.plain_right[rows]
        )
        for place, test in enumerate(tests):
            walk = farthest(walks, test.max_drop)
            index = walk.proven(test)
            if index is not None:
                found[place, draw] = np.ravel(population.truth([walk.policies[index]]))
    return [Choices(target, *found[place].T) for place, target in enumerate(targets)]


@dataclass(frozen=True, eq=False)
class Optimist:
    """Policies to choose from optimistically: those on the fronts of further draws.

    Attributes:
        population: whose draws.
        loss: ``(N, M)`` loss of each image under each policy: 1, 0 or −1.
        cost: ``(M,)`` true costs.
        own: ``(M,)`` whether the criterion is that of the method.
    """

    population: Population
    loss: CostArray
    cost: CostArray
    own: BoolArray

    @classmethod
    def of(cls, population: Population, samples: int = SAMPLES) -> "Optimist":
        """Search the fronts of all criteria."""
        losses, costs, own = [], [], []
        for draw in range(CANDIDATE_DRAWS):
            part = population.table.select(population.draw(1_000_000 + draw, samples))
            for criterion in available(part):
                found = front(part, criterion)
                policies = [found.policy(index) for index in range(len(found))]
                for right, cost in outcomes(population.table, policies):
                    losses.append(population.plain_right.astype(np.float32) - right)
                    costs.append(cost.mean())
                own += [criterion == population.criterion] * len(policies)
        return cls(population, np.column_stack(losses), np.array(costs), np.array(own))

    @cached_property
    def drop(self) -> CostArray:
        """``(M,)`` true drops."""
        drop: CostArray = self.loss.mean(axis=0, dtype=np.float64)
        return drop

    def chosen(
        self,
        targets: Sequence[float] = TARGETS,
        draws: int = DRAWS,
        samples: int = SAMPLES,
    ) -> list[Choices]:
        """Choose on every draw the cheapest policy that meets the target there."""
        size = len(self.population.table)
        counts = np.stack(
            [
                np.bincount(self.population.draw(draw, samples), minlength=size)
                for draw in range(draws)
            ]
        )
        seen = counts.astype(np.float32) @ self.loss / samples  # (D, M)
        choices = []
        for target in targets:
            costs = np.where(seen <= target + 1e-6, self.cost, np.inf)
            index = costs.argmin(axis=1)
            none = np.isinf(costs.min(axis=1))
            drop, cost = (np.where(none, np.nan, one[index]) for one in (self.drop, self.cost))
            choices.append(Choices(target, drop, cost))
        return choices

    def cheapest_that_loses(self, drop: CostArray, own: bool) -> CostArray:
        """Return for true drops the cost of the cheapest policy that truly loses no more.

        Args:
            drop: ``(D,)``.
            own: whether it has to have the method's criterion.
        """
        order = np.argsort(self.drop, kind="stable")
        if own:
            order = order[self.own[order]]
        cheapest = np.minimum.accumulate(self.cost[order])
        place = np.searchsorted(self.drop[order], drop + ROUNDING, "right") - 1
        cost: CostArray = np.where(place < 0, np.nan, cheapest[np.maximum(place, 0)])
        return cost


def _joined(tables: Sequence[ExitTable]) -> ExitTable:
    first = tables[0]
    rows = ("probabilities", "log_probabilities", "confidence", "entropy", "top_classes")
    arrays = (*rows, "labels", "ids")
    return replace(
        first,
        **{
            name: np.concatenate([getattr(table, name) for table in tables])
            for name in arrays
            if getattr(first, name) is not None
        },
    )


def _percent(value: float, form: str = ".1f") -> str:
    return "–" if np.isnan(value) else f"{100 * value:{form}}"


def _mean(values: CostArray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan


def rows_of(card: Card, draws: int) -> list[list[str]]:
    """Return a row of the table for each target of a model."""
    population = Population.of(card)
    optimist = Optimist.of(population)
    rows = []
    for kept, hoped in zip(
        promised_on_draws(population, draws=draws), optimist.chosen(draws=draws), strict=True
    ):
        rows.append(
            [
                f"`{card.name}`",
                _percent(kept.target, "g"),
                *(_percent(one, ".0f") for one in (kept.made, kept.missed)),
                _percent(_mean(kept.drop), ".2f"),
                _percent(_mean(kept.cost)),
                *(_percent(_dearer(kept, optimist, own), "+.0f") for own in (True, False)),
                *(_percent(one, ".0f") for one in (hoped.made, hoped.missed)),
                _percent(_mean(hoped.drop), ".2f"),
                _percent(_mean(hoped.cost)),
            ]
        )
    return rows


def _dearer(kept: Choices, optimist: Optimist, own: bool) -> float:
    cheapest = optimist.cheapest_that_loses(kept.drop, own)
    both = np.isfinite(cheapest) & np.isfinite(kept.cost)
    return kept.cost[both].mean() / cheapest[both].mean() - 1 if both.any() else np.nan


def on_test(cards: Sequence[Card]) -> list[list[str]]:
    """Return a row per data set: targets that the shipped splits, as they are, miss on test."""
    rows = []
    for dataset in sorted({card.dataset for card in cards}):
        excess: tuple[list[float], list[float]] = ([], [])
        for card in (card for card in cards if card.dataset == dataset):
            calibration, test = (shipped_table(card.name, split) for split in SPLITS)
            plain = plain_table(card, "calibration", calibration)
            assert plain is not None
            right = reference_right(calibration, plain)
            walks = lay(calibration, own_criterion(card.method, card.criteria), right)
            fronts = [front_of(card.name, calibration, name) for name in available(calibration)]
            for target in TARGETS:
                allowed = card.reference_accuracy("test") - target
                with suppress(UserError):  # not to be proven
                    policy = promised(walks, target).policy
                    excess[0].append(allowed - evaluate(test, policy).accuracy)
                with suppress(UserError):  # out of reach
                    policy = cheapest_within_drop(fronts, float(right.mean()), target)
                    excess[1].append(allowed - evaluate(test, policy).accuracy)
        rows.append([dataset])
        for found in excess:
            missed = sum(one > ROUNDING for one in found)
            rows[-1] += [f"{missed} of {len(found)}", f"{100 * np.mean(found):+.2f}"]
    return rows


TEST_HEAD = ("data", "promised: missed", "by, points", "optimistic: missed", "by, points")
HEAD = (
    *("model", "at most, points", "promised, %", "missed, %", "lost, points", "cost, %"),
    *("dearer by, %", "… any criterion", "optimistic, %", "missed, %", "lost, points", "cost, %"),
)


def main() -> None:
    """Print the table, or bring it up to date in a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--draws", type=int, default=DRAWS)
    add_update(parser)
    given = parser.parse_args()
    cards = [card_of(name) for name in given.models or shipped_models()]
    rows = []
    for card in cards:
        if card.num_exits > 1:
            rows += rows_of(card, given.draws)
            print("\n".join(" | ".join(row) for row in rows[-len(TARGETS) :]), flush=True)
    table = markdown_table(TEST_HEAD, on_test([card for card in cards if card.num_exits > 1]))
    publish(f"{markdown_table(HEAD, rows)}\n\n{table}", "promises", given.update)


if __name__ == "__main__":
    main()
