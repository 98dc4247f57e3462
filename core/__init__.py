"""Early-exit networks for images: attach exits, train them, choose thresholds, run and skip.

Names are imported when they are first used, so that code without torch starts at once.
"""

from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.data.prepared import ImageSet
    from core.data.sources import DATASETS
    from core.data.transform import EvaluationTransform
    from core.exits.criteria import criterion
    from core.exits.policy import Policy
    from core.exits.report import Report, evaluate
    from core.exits.table import ExitTable
    from core.foundation.errors import UserError
    from core.hub.model import Model, load
    from core.hub.registry import list_models
    from core.networks.attach import attach, cut_points
    from core.networks.heads import HEADS
    from core.networks.trunk import TRUNKS
    from core.training.fit import fit
    from core.training.losses import LOSSES
    from core.tuning.tune import tune

    backbone, dataset = TRUNKS.register, DATASETS.register
    head, loss = HEADS.register, LOSSES.register

__all__ = [
    "EvaluationTransform",
    "ExitTable",
    "ImageSet",
    "Model",
    "Policy",
    "Report",
    "UserError",
    "attach",
    "backbone",
    "criterion",
    "cut_points",
    "dataset",
    "evaluate",
    "fit",
    "head",
    "list_models",
    "load",
    "loss",
    "tune",
]

_HOMES = {
    "EvaluationTransform": "data.transform:EvaluationTransform",
    "ExitTable": "exits.table:ExitTable",
    "ImageSet": "data.prepared:ImageSet",
    "Model": "hub.model:Model",
    "Policy": "exits.policy:Policy",
    "Report": "exits.report:Report",
    "UserError": "foundation.errors:UserError",
    "attach": "networks.attach:attach",
    "backbone": "networks.trunk:TRUNKS.register",
    "criterion": "exits.criteria:criterion",
    "cut_points": "networks.attach:cut_points",
    "dataset": "data.sources:DATASETS.register",
    "evaluate": "exits.report:evaluate",
    "fit": "training.fit:fit",
    "head": "networks.heads:HEADS.register",
    "list_models": "hub.registry:list_models",
    "load": "hub.model:load",
    "loss": "training.losses:LOSSES.register",
    "tune": "tuning.tune:tune",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, _, attribute = _HOMES[name].partition(":")
        return attrgetter(attribute)(import_module(f"core.{module}"))
    raise AttributeError(f"module 'core' has no attribute {name!r}")
