"""A training that fits into a lesson: a small network and the digits that ship, in a minute or two.

Nothing here needs torch before a recipe is asked for.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.data.splits import SAMPLES_ONLY

if TYPE_CHECKING:
    from core.training.recipe import Recipe

LOSSES = {
    "v0": (
        "deep supervision",
        "Every exit learns the digits for itself, and nothing is said about cost. Images then "
        "leave where the largest probability exceeds 0.5.",
    ),
    "v1": (
        "one blend of all exits",
        "The loss of one answer that blends all exits by their confidences, plus λ times its "
        "expected cost. An exit that the blend has no use for learns little.",
    ),
    "v2": (
        "a blend from each exit on",
        "The same, added up over the rest of the network from each exit on, so that deep exits "
        "keep learning. The paper's main loss.",
    ),
    "v3": (
        "exits weighted by use",
        "Each exit's own loss plus λ times its cost, weighted by how many leave there: an exit "
        "that few use learns little.",
    ),
    "v4": (
        "each digit its own exit",
        "Every digit is assigned to its cheapest good exit, and the confidences learn which that "
        "is: an exit that nobody is assigned to learns nothing.",
    ),
    "correctness": (
        "is my answer right?",
        "Deep supervision, and each confidence learns whether its own exit is right.",
    ),
}
"""The losses to choose from: in a few words, and what they do."""
COST_AWARE = ("v1", "v2", "v3", "v4")
"""Those of them that λ has a say in."""
SOUND, COLLAPSING = 0.5, 3.0
"""Two λ for the loss v2: at one, samples spread over the exits; at the other, all leave at once."""
PLACES = ("stem", "block1", "block2")
"""Blocks of the backbone that an early exit may follow."""
MOST_EPOCHS = 30
MOST_LAMBDA = 10.0
_SUPERVISED_SHARE = 0.4


@dataclass(frozen=True)
class Lesson:
    """What can be chosen.

    Attributes:
        loss: one of `LOSSES`.
        lambda_cost: λ in [0, `MOST_LAMBDA`], the price of computation in units of loss.
        epochs: from 1 to `MOST_EPOCHS`.
        exits: one or more of `PLACES`, in their order.
        seed: 0 or more.
    """

    loss: str = "v2"
    lambda_cost: float = SOUND
    epochs: int = 16
    exits: tuple[str, ...] = ("block1", "block2")
    seed: int = 0

    @property
    def uses_lambda(self) -> bool:
        """Whether λ has a say."""
        return self.loss in COST_AWARE

    @property
    def supervised_epochs(self) -> int:
        """How many epochs of deep supervision come first, so that there is something to weigh."""
        if not self.uses_lambda:
            return 0
        return min(math.ceil(self.epochs * _SUPERVISED_SHARE), self.epochs - 1)

    @property
    def title(self) -> str:
        """In a few words."""
        return f"{self.loss}, λ = {self.lambda_cost:g}" if self.uses_lambda else self.loss

    def recipe(self, name: str, title: str) -> "Recipe":
        """Return the recipe, under a name and a title.

        Raises:
            UserError: something chosen is out of range.
        """
        from core.training.recipe import parse_recipe

        phases = [
            {
                "epochs": self.epochs - self.supervised_epochs,
                "loss": self.loss,
                "lambda_cost": self.lambda_cost,
                "learning_rate": 0.1,
                "warmup": 0.1,
            }
        ]
        if self.supervised_epochs:
            first = {"epochs": self.supervised_epochs, "loss": "v0", "learning_rate": 0.1}
            phases.insert(0, {**first, "schedule": "constant", "warmup": 0.2})
        network = {
            "backbone": "eenet8",
            "exits": list(self.exits),
            "head": "plain",
            "confidence": self.loss != "v0",  # v0 would leave it as it came
            "confidence_input": "features" if self.loss == "v0" else "both",
            "num_classes": 10,
            "in_channels": 1,
            "image_size": 28,
        }
        content = {
            "name": name,
            "title": title,
            "method": "eenet",
            "dataset": SAMPLES_ONLY,
            "seed": self.seed,
            "batch_size": 64,
            "weight_decay": 1e-4,
            "crop_pad": 2,
            "network": network,
            "phases": phases,
        }
        return parse_recipe(content, name)
