"""Losses for early-exit networks: one file per idea.

A new one registers itself and can be named in a recipe once it is imported here.
"""

from core.training.losses.batch import LOSSES, Loss, LossInputs, in_full_precision
from core.training.losses.eenet import assign_tags, mixtures
from core.training.losses.exclusion import exclusion
from core.training.losses.joint import gated, gates
from core.training.losses.supervision import distillation

__all__ = [
    "LOSSES",
    "Loss",
    "LossInputs",
    "assign_tags",
    "distillation",
    "exclusion",
    "gated",
    "gates",
    "in_full_precision",
    "mixtures",
]
