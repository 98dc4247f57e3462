"""Training recipes: TOML files that say everything a training run depends on."""

import tomllib
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.foundation.errors import UserError, nearest
from core.foundation.files import read_json
from core.networks.spec import NetworkSpec
from core.training.losses import LOSSES

FOLDER = Path(__file__).parent / "recipes"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Phase(_Strict):
    """A stretch of epochs with one loss and one sweep of the learning rate."""

    epochs: int = Field(ge=1)
    loss: str = "v0"
    then: str | None = None
    """A second loss that takes turns with the first (JEI-DNN: heads, then gates)."""
    turn: int = Field(default=200, ge=1)
    """Steps that each of the two lasts."""
    lambda_cost: float = Field(default=1.0, ge=0)
    exit_weights: tuple[float, ...] | None = None
    """Weight of each exit's classifier in v0, the final one included; all 1 if not given."""
    floor: float = Field(default=0.0, ge=0)
    """Weight of Σ NLL(y_i), added to any loss so that no exit's classifier ever starves."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """ε in v0: what the exits should answer is the label with 1 − ε, every class with ε / K."""
    distillation: float = Field(default=0.0, ge=0)
    """Weight of what the exits learn from the recipe's teacher; without one, the early exits learn
    from the final one."""
    self_taught: bool = False
    """Whether the early exits learn from the final one even where the recipe has a teacher."""
    temperature: float = Field(default=2.0, gt=0)
    """τ of the distillation."""
    trains: Literal["all", "heads", "exits", "confidence"] = "all"
    """What may change, batch statistics included: everything, all heads on a frozen trunk, the
    early exits' heads on a frozen network, or their confidence branches alone."""
    targets: Literal["labels", "network"] = "labels"
    """What the exits learn to answer: the labels, or what the final exit answers (no labels
    needed)."""
    cutout: int = Field(default=0, ge=0)
    """Side of the square that is hidden in each training image, in pixels."""
    average: bool = False
    """Whether it ends with the mean of the weights at its own end and at those of the phases before
    that have this, too."""
    learning_rate: float = Field(gt=0)
    """The peak of the schedule."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the phase during which the rate rises linearly to its peak."""

    @field_validator("loss", "then")
    @classmethod
    def _is_registered(cls, value: str | None) -> str | None:
        if value is not None:
            LOSSES[value]
        return value

    @model_validator(mode="after")
    def _averages_all(self) -> Self:
        if self.average and self.trains != "all":
            raise ValueError("expected `average` only where a phase trains everything")
        return self

    def loss_at(self, step: int) -> str:
        """Return the name of the loss of the ``step``-th batch of the phase, from 0."""
        return self.then if self.then and step // self.turn % 2 else self.loss


class EdgeCloud(_Strict):
    """How a network is trained by two workers that a link connects."""

    split: str
    """The early exit up to which the edge worker owns stages and heads."""
    bits: Literal[32, 16, 8] = 32
    """Per feature that is sent."""
    rate: float | None = Field(default=None, gt=0)
    """Bits per second that the link is slowed down to; not at all if not given."""


class Settings(_Strict):
    """How a network is trained."""

    mean: tuple[float, ...] | None = None
    """Per channel, of images in [0, 1], with `std`: how images are normalised. If not given, as the
    network to begin with was trained, where that is known; else by the training images."""
    std: tuple[float, ...] | None = None
    """Standard deviation per channel."""
    seed: int = 0
    batch_size: int = Field(default=128, ge=1)
    optimizer: Literal["sgd", "adam"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    norm_bias_rate: float = Field(default=1.0, gt=0)
    """How many times faster than the rest the biases of batch norms learn; they decay as the rest
    does (64 in airbench: Jordan, arXiv 2404.00498, §3.4)."""
    crop_pad: int = Field(default=0, ge=0)
    flip: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    phases: tuple[Phase, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _normalises_by_something(self) -> Self:
        if len(self.mean or ()) != len(self.std or ()):
            raise ValueError("expected `mean` and `std` together, one number per channel")
        if self.std and min(self.std) <= 0:
            raise ValueError(f"expected every one of `std` to be above 0, but got {self.std}")
        return self

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    def phase_at(self, epoch: int) -> tuple[Phase, int]:
        """Return the phase that ``epoch`` (from 0) belongs to, and the epoch within it."""
        for phase in self.phases:
            if epoch < phase.epochs:
                return phase, epoch
            epoch -= phase.epochs
        raise ValueError(f"expected `epoch` to be below {self.epochs}")


class Recipe(Settings):
    """One training run: a network, what it learns from, and how."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: str
    method: str
    dataset: str
    network: NetworkSpec
    plain: str | None = None
    """The plain network of the same backbone: the yardstick."""
    start_from: str | None = None
    """A trained network whose trunk and final head to begin with: a model, its folder, a file of
    weights (.safetensors, .pth, .pt, .ckpt) or torchvision's, "torchvision:DEFAULT"."""
    new_classifier: bool = False
    """Whether the classifier is new where `start_from` tells other classes apart."""
    frozen: str | None = None
    """The block up to which the trunk stays as it is, batch statistics included."""
    views: int = Field(default=0, ge=0)
    """Augmented versions of each training image whose features after the frozen blocks are kept in
    the run's folder, to be computed once; 0: every epoch makes new ones."""
    resize: int | None = Field(default=None, ge=1)
    """What pictures' shorter side is resized to before the central crop; if not given, the largest
    central square is."""
    crop_scale: float | None = Field(default=None, gt=0, le=1)
    """Least share of a picture's area that a random crop of it has, where pictures are encoded."""
    teacher: str | None = None
    """A trained network that all exits learn from, in phases with distillation: a model or its
    folder."""
    weight_bits: Literal[16, 8] = 16
    """Of every weight of convolutions and linear layers in the model's file; with 8, see
    `core.networks.packing`. Measured is the network of the file."""
    edge_cloud: EdgeCloud | None = None
    """For hierarchical training: where the network is split, and the link between its halves."""

    @model_validator(mode="after")
    def _normalises_every_channel(self) -> Self:
        channels = self.network.in_channels
        if self.mean is not None and len(self.mean) != channels:
            raise ValueError(f"expected `mean` to have {channels} numbers, one per channel")
        return self

    @model_validator(mode="after")
    def _keeps_what_is_frozen(self) -> Self:
        if self.views and self.frozen is None:
            raise ValueError("expected `frozen` with `views`, as other blocks' features change")
        if self.frozen is not None and any(phase.average for phase in self.phases):
            raise ValueError("expected no `average` with `frozen`: it measures all statistics anew")
        if self.resize is not None and self.resize < self.network.image_size:
            raise ValueError("expected `resize` to be at least `image_size`")
        return self

    @model_validator(mode="after")
    def _listens_to_its_teacher(self) -> Self:
        listening = (phase.distillation and not phase.self_taught for phase in self.phases)
        if self.teacher is not None and not any(listening):
            raise ValueError("expected a phase with `distillation`, as there is a `teacher`")
        return self


def recipe_names() -> list[str]:
    """Names of the recipes that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


Model = TypeVar("Model", bound=BaseModel)


def validated(kind: type[Model], content: object, source: str) -> Model:
    """Check content that somebody wrote; ``source`` names it in errors.

    Raises:
        UserError: naming the source, the field, and what is wrong with it.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the content"
        reason = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise UserError(f"the recipe {source} is not valid at `{field}`: {reason}.") from None


def parse_recipe(content: dict[str, Any], source: str) -> Recipe:
    """Check a recipe's content, see `validated`."""
    return validated(Recipe, content, source)


def load_recipe(name_or_path: str) -> Recipe:
    """Load a recipe by its name, from a TOML file of the user's, or from a model's card.json.

    A TOML file may name a ``base``: another recipe, whose fields (those of its network one by one)
    hold where it says nothing itself. Its `name` is that of the file if it says none.

    Raises:
        UserError: there is none of that name, or it is not a valid recipe.
    """
    path = Path(name_or_path)
    if path.suffix != ".json":
        return parse_recipe(_read(name_or_path), path.name)
    card = read_json(path)
    training = card.get("training") if isinstance(card, dict) else None
    if not isinstance(training, dict) or "recipe" not in training:
        raise UserError(
            f"expected {path} to be a model's card, but it has no field `training.recipe`."
        )
    return parse_recipe(training["recipe"], str(path))


def _read(name_or_path: str, *above: str) -> dict[str, Any]:
    """Return the content of a recipe, that of its base included."""
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = FOLDER / f"{name_or_path}.toml"
    if not path.is_file() or name_or_path in above:
        names = [name for name in recipe_names() if name not in above]
        raise UserError(
            f"expected a TOML file, a model's card.json or one of {', '.join(names)}, but got "
            f"{name_or_path!r}.{nearest(name_or_path, names)}"
        )
    try:
        content = {"name": path.stem} | tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"the recipe {path} cannot be read: {error}.") from None
    if "base" in content:
        name = str(content.pop("base"))
        base = _read(name, name_or_path, *above)
        parse_recipe(base, name)
        if isinstance(network := content.get("network"), dict):
            content["network"] = base["network"] | network
        content = base | content
    return content
