"""Receipts: what thresholds were chosen for and what they achieve; kept with the policy."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.exits.criteria import CRITERIA
from core.exits.policy import RECEIPT, Policy, write_thresholds
from core.exits.table import ExitTable
from core.foundation.errors import UserError
from core.foundation.files import read_json, write_json
from core.hub.card import Card, SplitFigures
from core.hub.figures import split_figures
from core.tuning.promise import points

PLAIN, LAST_EXIT = "the plain network", "the network's own last exit"
_SHOWN = 12  # characters of a checksum


@dataclass(frozen=True)
class Goal:
    """What thresholds are chosen for.

    Attributes:
        kind: what is limited: "max_drop", the accuracy lost; "max_cost", the compute spent;
            "max_risk", a risk that is proven; "min_accuracy", that of images with a similar score.
        limit: in [0, 1].
        against: what accuracy is lost against.
        confidence: with which the limit is proven; None where nothing is.
        risk: what is limited, in words, for the kind "max_risk".
    """

    kind: str
    limit: float
    against: str = PLAIN
    confidence: float | None = None
    risk: str = ""

    def __str__(self) -> str:
        what = {
            "max_drop": f"lose at most {points(self.limit)} of accuracy against {self.against}",
            "max_cost": f"spend at most {100 * self.limit:g} % of the compute of {PLAIN}",
            "max_risk": f"{self.risk}: at most {100 * self.limit:g} %",
            "min_accuracy": "leave where images with such a score were right in "
            f"{100 * self.limit:g} %",
        }[self.kind]
        sure = "" if self.confidence is None else f", proven with {100 * self.confidence:g} %"
        return what + sure

    def kept(self, figures: SplitFigures, risk: float | None = None) -> bool | None:
        """Return whether images that chose nothing keep the limit; None where that has no meaning.

        Args:
            figures: on these images.
            risk: on these images.
        """
        if self.kind == "max_cost":
            return figures.relative_cost <= self.limit
        if self.kind == "max_drop" and self.against == PLAIN and figures.difference is not None:
            return -figures.difference <= self.limit
        if self.kind == "max_risk" and risk is not None:
            return risk <= self.limit
        return None


@dataclass(frozen=True)
class Receipt:
    """A policy with where it comes from.

    Attributes:
        model: name of the model that it is for.
        title: of the model.
        sha256: of the model's weights.
        policy: that was found.
        goal: that it was chosen for.
        promised: what is sure of new images, in words; "" where nothing is.
        figures: on each split; no interval on the one that chose it.
        kept: whether the test split keeps the goal; None where that is not known.
    """

    model: str
    title: str
    sha256: str
    policy: Policy
    goal: Goal
    promised: str
    figures: Mapping[str, SplitFigures]
    kept: bool | None

    @classmethod
    def of(
        cls,
        card: Card,
        policy: Policy,
        goal: Goal,
        promised: str,
        tables: Mapping[str, ExitTable],
        plains: Mapping[str, ExitTable | None],
        risk: float | Sequence[float | None] | None = None,
    ) -> "Receipt":
        """Return the receipt of a policy that was chosen on the calibration split.

        Args:
            card: of the model.
            policy: that was found.
            goal: that it was chosen for.
            promised: what is sure of new images.
            tables: the model's, by split.
            plains: the plain network's of the same images, where there are any.
            risk: on the test split, or that of each exit, where the goal limits one.
        """
        figures = {
            name: split_figures(table, policy, plains.get(name), chose=name == "calibration")
            for name, table in tables.items()
        }
        if isinstance(risk, Sequence):
            risk = max((one for one in risk if one is not None), default=0.0)
        kept = goal.kept(figures["test"], risk) if "test" in figures else None
        name = card.weights_of or card.name
        return cls(name, card.title, card.sha256, policy, goal, promised, figures, kept)

    def to_dict(self) -> dict[str, Any]:
        """Return the policy's fields, and the rest beside them, as JSON types."""
        return self.policy.to_dict() | {
            RECEIPT: {
                "model": self.model,
                "title": self.title,
                "sha256": self.sha256,
                "chosen_on": "calibration",
                "goal": {"text": str(self.goal)} | asdict(self.goal),
                "promised": self.promised,
                "figures": {name: one.model_dump() for name, one in self.figures.items()},
                "kept_on_test": self.kept,
            }
        }

    def save(self, path: Path) -> None:
        """Write the policy with its receipt as JSON, atomically."""
        write_json(path, self.to_dict())

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What it says, as pairs of a name and a value."""
        found = f"{CRITERIA[self.policy.criterion].title}: {write_thresholds(self.policy)}"
        rows = [("Wanted", str(self.goal)), ("Found", found)]
        for name, figures in self.figures.items():
            rows.append((f"On {name}", _measured(figures)))
        rows.append(("Guaranteed", self.promised or "nothing: new images may do worse"))
        if self.kept is not None:
            rows.append(("Kept on test", "✓ yes" if self.kept else "✗ no"))
        return rows

    def to_markdown(self) -> str:
        """Return it as a short document, with the lines that use the policy."""
        file = f"{self.model}-policy.json"
        facts = "\n".join(f"- **{name}:** {value}" for name, value in self.rows)
        lines = "\n\n".join(f"{name}:\n\n    {line}" for name, line in usage(self.model, file))
        return (
            f"# Thresholds of {self.title}\n\n{facts}\n"
            f"- **Model:** {self.model}, weights {self.sha256 or 'without a checksum'}\n\n"
            f"{lines}\n"
        )


def usage(model: str, file: str) -> list[tuple[str, str]]:
    """Return the lines that use a model with a policy's file: by whom, and the line."""
    return [
        ("Command line", f"python -m core predict {model} picture.jpg --policy {file}"),
        (
            "Python",
            f'load("{model}").predict(images, Policy.load("{file}"))',
        ),
        ("Elsewhere", f"python -m core export {model} --policy {file} --out bundle"),
    ]


def _measured(figures: SplitFigures) -> str:
    text = f"{_percent(figures.accuracy)} right"
    if figures.accuracy_interval is not None:
        text += " ({} to {})".format(*map(_percent, figures.accuracy_interval))
    if figures.difference is not None:
        text += f", {_points(figures.difference)} points against {PLAIN}"
    if figures.difference_interval is not None:
        text += " ({} to {})".format(*map(_points, figures.difference_interval))
    return f"{text}, for {_percent(figures.relative_cost, 1)} of the compute"


def _percent(share: float, digits: int = 2) -> str:
    return f"{100 * share:.{digits}f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}".replace("-", "−")


def check_receipt(value: Any, name: str, card: Card) -> None:
    """Refuse a policy that was tuned for other weights; one without a receipt passes.

    Args:
        value: JSON of a policy.
        name: of its file, for the message.
        card: of the model that is to use it.

    Raises:
        UserError: it is another model's.
    """
    receipt = value.get(RECEIPT) if isinstance(value, dict) else None
    if not isinstance(receipt, dict):
        return
    model, sha256 = str(receipt.get("model", "")), str(receipt.get("sha256", ""))
    if sha256 != card.sha256:
        whose = f"{model} with weights {sha256[:_SHOWN] or 'unknown'}"
        raise UserError(
            f"expected thresholds for {card.name} with weights {card.sha256[:_SHOWN]}, but {name} "
            f"is for {whose}: they mean nothing for another network. To use them all the same, "
            f"remove `{RECEIPT}` from the file."
        )


def policy_for(path: Path, card: Card) -> Policy:
    """Read the policy of a model from JSON.

    Raises:
        UserError: not a policy, or another model's.
    """
    check_receipt(read_json(path), str(path), card)
    return Policy.load(path)
