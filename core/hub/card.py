"""Cards: the facts and measured figures of a trained model, as one JSON file."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from core.data.transform import EvaluationTransform
from core.edge_cloud.traffic import EdgeCloudFacts
from core.exits.criteria import CRITERIA
from core.exits.policy import Policy
from core.exits.table_file import MOST_CLASSES_IN_FULL
from core.foundation.costs import Costs
from core.foundation.errors import UserError
from core.foundation.files import read_json
from core.networks.spec import NetworkSpec
from core.tuning.promise import Promise

if TYPE_CHECKING:
    from core.training.loop import TrainingResult


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Share = Annotated[float, Field(ge=0, le=1)]
Difference = Annotated[float, Field(ge=-1, le=1)]
Count = Annotated[int, Field(ge=0, le=10**18)]
"""MACs or parameters."""
Split = Annotated[str, Field(pattern="^(calibration|test)$")]
_ROUNDING = 1e-6


class SplitFigures(_Strict):
    """Figures of a policy on one split."""

    accuracy: Share
    relative_cost: float = Field(ge=0)
    exit_share: tuple[Share, ...]
    accuracy_interval: tuple[Share, Share] | None = None
    """95 % confidence interval; None on the images that chose the policy."""
    difference: Difference | None = None
    """Accuracy less that of the plain network on the same images, where its answers are known."""
    difference_interval: tuple[Difference, Difference] | None = None
    """95 % confidence interval of the difference, from the images on which the two differ."""

    @model_validator(mode="after")
    def _is_consistent(self) -> "SplitFigures":
        if abs(sum(self.exit_share) - 1) > _ROUNDING:
            raise ValueError(f"`exit_share` adds up to {sum(self.exit_share):g} instead of 1")
        pairs = (
            ("accuracy", self.accuracy, self.accuracy_interval),
            ("difference", self.difference, self.difference_interval),
        )
        for name, value, interval in pairs:
            if value is not None and interval is not None:
                low, high = interval
                if not low - _ROUNDING <= value <= high + _ROUNDING:
                    raise ValueError(f"`{name}` {value:g} is not in its interval {low:g}, {high:g}")
        return self


class Promised(_Strict):
    """What is promised of a policy's accuracy on new images, see `core.tuning.promise`."""

    confidence: float = Field(gt=0, lt=1)
    """One less the probability, at most, that a promise is made and does not hold."""
    against_plain: bool
    """Whether the drop counts from the plain network; else from the last exit."""
    drop: Difference
    """Accuracy lost on the calibration images that prove the promise."""
    bound: float = Field(ge=-1.01, le=1.01)
    """The smallest drop that they prove, with this confidence; found by steps."""
    samples: int = Field(ge=1)
    """Their number."""

    @classmethod
    def of(cls, promise: Promise) -> "Promised":
        """Return the facts of a promise."""
        return cls(**{name: getattr(promise, name) for name in cls.model_fields})


class OperatingPoint(_Strict):
    """A policy, and its figures on the splits that the model has a table of.

    Without limits, it is the owner's choice and the model's default.
    """

    name: str
    max_drop: Share | None = None
    """Accuracy that it may lose on new images. In a card of before there were promises: on
    calibration, against the plain network."""
    promise: Promised | None = None
    """How sure that is; None without `max_drop`, and where nothing is promised."""
    max_cost: float | None = Field(default=None, ge=0)
    """Relative cost that it may have on calibration."""
    policy: dict[str, Any]
    calibration: SplitFigures | None = None
    test: SplitFigures | None = None

    @field_validator("policy")
    @classmethod
    def _is_a_policy(cls, value: dict[str, Any]) -> dict[str, Any]:
        Policy.from_dict(value)
        return value


class Plain(_Strict):
    """The plain network of the same backbone, the baseline of all savings."""

    name: str
    calibration_accuracy: Share
    test_accuracy: Share


class TrainingFacts(_Strict):
    """Facts of the training of the weights."""

    recipe: dict[str, Any]
    best_epoch: int = Field(ge=0)
    epochs: int = Field(ge=0)
    seconds: float = Field(ge=0)
    hardware: str
    bfloat16: bool
    workers: int = Field(ge=0)
    edge_cloud: EdgeCloudFacts | None = None

    @classmethod
    def of(cls, result: "TrainingResult") -> "TrainingFacts":
        """Return the facts that a training left."""
        return cls(
            recipe=result.settings.model_dump(mode="json", exclude_none=True),
            best_epoch=result.best_epoch,
            epochs=len(result.history),
            seconds=result.seconds,
            hardware=result.hardware,
            bfloat16=result.bfloat16,
            workers=result.workers,
        )

    @property
    def start_from(self) -> str | None:
        """The trained network whose weights the run began with, if any."""
        return self.recipe.get("start_from")


class Card(_Strict):
    """The facts and figures of a model."""

    name: str
    title: str
    method: str
    dataset: str
    spec: NetworkSpec
    exit_names: tuple[str, ...]
    classes: tuple[str, ...]
    mean: tuple[Annotated[float, Field(ge=-1000, le=1000)], ...]
    std: tuple[Annotated[float, Field(ge=1e-6, le=1000)], ...]
    transform: EvaluationTransform | None = None
    """None: the largest central square is resized, and normalised with `mean` and `std`."""
    stage_macs: tuple[Count, ...]
    head_macs: tuple[Count, ...]
    stage_parameters: tuple[Count, ...]
    head_parameters: tuple[Count, ...]
    per_exit_accuracy: dict[Split, tuple[Share, ...]] = Field(default_factory=dict)
    """By split that the model has a table of, (E,): accuracy if all samples left there."""
    operating_points: tuple[OperatingPoint, ...] = ()
    plain: Plain | None = None
    training: TrainingFacts | None = None
    """None for weights that were not trained by this project."""
    command: str = ""
    """Command that trains the model again; empty where no recipe did."""
    weights_of: str = ""
    """Name of the model that has these weights, where the tables here are of a user's images."""
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    """Of the file with the weights; empty until they are saved."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of Python and torch, when the weights were saved."""

    @model_validator(mode="after")
    def _normalises_in_one_way(self) -> "Card":
        own = self.transform
        if own is not None and (own.mean, own.std) != (self.mean, self.std):
            raise ValueError("`transform` has another mean or std than the card")
        return self

    @model_validator(mode="after")
    def _is_consistent(self) -> "Card":
        if faults := list(_inconsistencies(self)):
            raise ValueError("; ".join(faults))
        return self

    @property
    def evaluation_transform(self) -> EvaluationTransform:
        """Steps from a picture to the network's input."""
        size, channels = self.spec.image_size, self.spec.in_channels
        return self.transform or EvaluationTransform.square(size, channels, self.mean, self.std)

    @property
    def num_exits(self) -> int:
        """E, the final head included."""
        return len(self.exit_names)

    @property
    def plain_macs(self) -> int:
        """MACs of the plain network."""
        return sum(self.stage_macs) + self.head_macs[-1]

    @property
    def plain_parameters(self) -> int:
        """Parameters of the plain network."""
        return sum(self.stage_parameters) + self.head_parameters[-1]

    @property
    def all_parameters(self) -> int:
        """Parameters of the trunk and all heads."""
        return sum(self.stage_parameters) + sum(self.head_parameters)

    @property
    def costs(self) -> Costs:
        """Relative costs of the stages and heads."""
        return Costs.of_macs(self.stage_macs, self.head_macs)

    @property
    def criteria(self) -> tuple[str, ...]:
        """Names of the criteria that the model can be used with."""
        learned = self.spec.confidence and self.num_exits > 1
        all_classes = len(self.classes) <= MOST_CLASSES_IN_FULL
        return tuple(
            name
            for name, criterion in CRITERIA.items()
            if (learned or not criterion.needs_confidence)
            and (all_classes or criterion.ruled_out is None)
        )

    def macs(self, relative_cost: float) -> int:
        """Return the MACs of a relative cost."""
        return round(relative_cost * self.plain_macs)

    def reference_accuracy(self, split: str) -> float:
        """Return the accuracy that losses count from: the plain network's, else the last exit's.

        Args:
            split: "calibration" or "test".

        Raises:
            UserError: the card has no accuracy on that split.
        """
        if self.plain is None:
            return self.exit_accuracy(split)[-1]
        figures = {
            "calibration": self.plain.calibration_accuracy,
            "test": self.plain.test_accuracy,
        }
        return figures[split]

    def exit_accuracy(self, split: str) -> tuple[float, ...]:
        """Return the accuracy on a split if all samples left at each exit, (E,).

        Raises:
            UserError: the card has no accuracy on that split.
        """
        if split not in self.per_exit_accuracy:
            raise UserError(
                f"expected {self.name} to have been measured on the {split} split, but its card "
                f"has no such figures: save it with `{split}=`, a table or labelled images."
            )
        return self.per_exit_accuracy[split]

    def promised_point(self, max_drop: float) -> OperatingPoint | None:
        """Return the operating point with the largest promised drop that is at most this."""
        points = (
            point
            for point in self.operating_points
            if point.promise is not None
            and point.max_drop is not None
            and point.max_drop <= max_drop
        )
        return max(points, key=lambda point: point.max_drop or 0, default=None)

    @property
    def default_point(self) -> OperatingPoint | None:
        """The owner's point, else the point that may lose the least accuracy."""
        points = (point for point in self.operating_points if point.max_cost is None)
        return next(points, None)

    @property
    def default_policy(self) -> Policy:
        """The policy of `default_point`; without one, all early exits are off."""
        if self.default_point is not None:
            return Policy.from_dict(self.default_point.policy)
        return Policy.never("max_probability", self.num_exits)


def _inconsistencies(card: Card) -> Iterator[str]:
    """Yield in what a card contradicts itself."""
    exits = card.num_exits
    for name in ("stage_macs", "head_macs", "stage_parameters", "head_parameters"):
        count = len(getattr(card, name))
        if count != exits or not exits:
            yield f"`{name}` has {count} numbers, one for each of {exits} exits expected"
            return
    if not card.plain_macs:
        yield "the plain network has no MACs"
        return
    if card.spec.exits and card.exit_names[:-1] != card.spec.exits:
        yield f"`exit_names` are {card.exit_names}, those of `spec` {card.spec.exits}"
    if card.spec.num_early and exits != card.spec.num_early + 1:
        yield f"`exit_names` are {exits}, of `spec.num_early` {card.spec.num_early} and the last"
    if len(card.classes) != card.spec.num_classes or len(set(card.classes)) < len(card.classes):
        different = len(set(card.classes))
        yield (
            f"`classes` has {len(card.classes)} names, {different} of them different, "
            f"for {card.spec.num_classes} outputs"
        )
    for name in ("mean", "std"):
        if len(getattr(card, name)) != card.spec.in_channels:
            yield f"`{name}` has not one number for each of {card.spec.in_channels} channels"
    side = card.spec.image_size
    if card.transform is not None and card.transform.size != (side, side):
        yield f"`transform` gives {card.transform.size} pixels, the network reads {side} × {side}"
    for split, accuracies in card.per_exit_accuracy.items():
        if len(accuracies) != exits:
            yield f"`per_exit_accuracy.{split}` has {len(accuracies)} numbers for {exits} exits"
    for point in card.operating_points:
        for fault in _point_faults(card, point):
            yield f"operating point {point.name!r}: {fault}"


def _point_faults(card: Card, point: OperatingPoint) -> Iterator[str]:
    policy = Policy.from_dict(point.policy)
    try:
        policy.check(card.num_exits)
    except UserError as error:
        yield str(error).rstrip(".")
        return
    if policy.criterion not in card.criteria:
        yield f"the network has no criterion {policy.criterion!r}"
    for split, figures in (("calibration", point.calibration), ("test", point.test)):
        if figures is not None and len(figures.exit_share) != card.num_exits:
            yield f"`{split}.exit_share` has {len(figures.exit_share)} shares"


def load_card(path: Path) -> Card:
    """Read a card.

    Raises:
        UserError: the file is missing or damaged; names the file and the field.
    """
    card, faults = read_card(path)
    if card is None:
        more = f" (and {len(faults) - 1} more: `core verify` names them)" if faults[1:] else ""
        raise UserError(f"expected {path} to be a model's card, but {faults[0]}{more}.")
    return card


def read_card(path: Path) -> tuple[Card | None, list[str]]:
    """Read a card that may be wrong; return it, or None and all that is wrong.

    Raises:
        UserError: the file is missing, or no JSON.
    """
    content = read_json(path)
    try:
        return Card.model_validate(content), []
    except ValidationError as error:
        faults = []
        for one in error.errors():
            field = ".".join(str(part) for part in one["loc"]) or "the content"
            reason = one["msg"].removeprefix("Value error, ").rstrip(".")
            faults.append(f"`{field}` is wrong: {reason}")
        return None, faults
    except (OverflowError, RecursionError) as error:
        return None, [f"a number or a list in it is out of all bounds ({error})"]
