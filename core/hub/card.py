"""Cards: what is known about a trained model, measured and in one JSON file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from core.training.loop import TrainingResult


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitFigures(_Strict):
    """What a policy achieved on one split."""

    accuracy: float = Field(ge=0, le=1)
    relative_cost: float = Field(ge=0)
    exit_share: tuple[float, ...]


class OperatingPoint(_Strict):
    """A policy, and what it achieved on the splits that the model has a table of.

    Without limits, it is one that its owner chose as the model's default.
    """

    name: str
    max_drop: float | None = None
    """How much accuracy, against the plain network on calibration, it was allowed to lose."""
    max_cost: float | None = None
    """What it was allowed to spend on calibration, in units of the plain network."""
    policy: dict[str, Any]
    calibration: SplitFigures | None = None
    test: SplitFigures | None = None

    @field_validator("policy")
    @classmethod
    def _is_a_policy(cls, value: dict[str, Any]) -> dict[str, Any]:
        Policy.from_dict(value)
        return value


class Plain(_Strict):
    """The plain network of the same backbone: the yardstick of every saving."""

    name: str
    calibration_accuracy: float
    test_accuracy: float


class TrainingFacts(_Strict):
    """How the weights came about."""

    recipe: dict[str, Any]
    best_epoch: int
    epochs: int
    seconds: float
    hardware: str
    bfloat16: bool
    workers: int
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
        """The trained network whose weights the run began with; its own training comes on top."""
        return self.recipe.get("start_from")


class Card(_Strict):
    """Everything that is known about a model."""

    name: str
    title: str
    method: str
    dataset: str
    spec: NetworkSpec
    exit_names: tuple[str, ...]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    transform: EvaluationTransform | None = None
    """How pictures are prepared; without, the largest central square is resized."""
    stage_macs: tuple[int, ...]
    head_macs: tuple[int, ...]
    stage_parameters: tuple[int, ...]
    head_parameters: tuple[int, ...]
    per_exit_accuracy: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    """By split that the model has a table of, (E): accuracy had all samples left there."""
    operating_points: tuple[OperatingPoint, ...] = ()
    plain: Plain | None = None
    training: TrainingFacts | None = None
    """None where the weights were not trained here."""
    command: str = ""
    """How to train it again; empty where no recipe did."""
    sha256: str = ""
    """Of the weights' file; empty until they are saved."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of Python and torch, with which they were saved."""

    @model_validator(mode="after")
    def _normalises_in_one_way(self) -> "Card":
        own = self.transform
        if own is not None and (own.mean, own.std) != (self.mean, self.std):
            raise ValueError("`transform` has another mean or std than the card")
        return self

    @property
    def evaluation_transform(self) -> EvaluationTransform:
        """How a picture becomes what the network reads."""
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
        whole = len(self.classes) <= MOST_CLASSES_IN_FULL
        return tuple(
            name
            for name, one in CRITERIA.items()
            if (learned or not one.needs_confidence) and (whole or one.ruled_out is None)
        )

    def macs(self, relative_cost: float) -> int:
        """Return the MACs of a relative cost."""
        return round(relative_cost * self.plain_macs)

    def reference_accuracy(self, split: str) -> float:
        """Return the accuracy to lose nothing against: the plain network's, else the last exit's.

        Args:
            split: "calibration" or "test".

        Raises:
            UserError: the accuracy on that split is not known.
        """
        if self.plain is None:
            return self.exit_accuracy(split)[-1]
        figures = {
            "calibration": self.plain.calibration_accuracy,
            "test": self.plain.test_accuracy,
        }
        return figures[split]

    def exit_accuracy(self, split: str) -> tuple[float, ...]:
        """Return the accuracy on a split had all samples left at each exit, (E,).

        Raises:
            UserError: it was never measured on that split.
        """
        if split not in self.per_exit_accuracy:
            raise UserError(
                f"expected {self.name} to have been measured on the {split} split, but its card "
                f"has no such figures: save it with `{split}=`, a table or labelled images."
            )
        return self.per_exit_accuracy[split]

    @property
    def default_point(self) -> OperatingPoint | None:
        """The point that the owner chose, else the one that may lose the least accuracy."""
        free = (point for point in self.operating_points if point.max_cost is None)
        return next(free, None)

    @property
    def default_policy(self) -> Policy:
        """That of `default_point`; where there is none, run everything."""
        if self.default_point is not None:
            return Policy.from_dict(self.default_point.policy)
        return Policy.never("max_probability", self.num_exits)


def load_card(path: Path) -> Card:
    """Read a card.

    Raises:
        UserError: it is missing or damaged; names the file and the field.
    """
    content = read_json(path)
    try:
        return Card.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        reason = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise UserError(
            f"expected {path} to be a model's card, but `{field}` is wrong: {reason}."
        ) from None
