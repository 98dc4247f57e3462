"""Early-exit networks for images: attach exits, train them, choose thresholds, run and skip.

Names are imported when they are first used, so that code without torch starts at once.
"""

from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.data.hold_out import hold_out as hold_out
    from core.data.prepared import ImageSet as ImageSet
    from core.data.sources import DATASETS
    from core.data.transform import EvaluationTransform as EvaluationTransform
    from core.exits.criteria import criterion as criterion
    from core.exits.policy import Policy as Policy
    from core.exits.report import Report as Report
    from core.exits.report import evaluate as evaluate
    from core.exits.table import ExitTable as ExitTable
    from core.foundation.errors import UserError as UserError
    from core.hub.model import Model as Model
    from core.hub.model import load as load
    from core.hub.registry import list_models as list_models
    from core.networks.attach import attach as attach
    from core.networks.attach import cut_points as cut_points
    from core.networks.heads import HEADS
    from core.networks.trunk import TRUNKS
    from core.training.fit import fit as fit
    from core.training.losses import LOSSES
    from core.tuning.hold_cost import hold_cost as hold_cost
    from core.tuning.tune import tune as tune

    backbone, dataset = TRUNKS.register, DATASETS.register
    head, loss = HEADS.register, LOSSES.register

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
    "hold_cost": "tuning.hold_cost:hold_cost",
    "hold_out": "data.hold_out:hold_out",
    "list_models": "hub.registry:list_models",
    "load": "hub.model:load",
    "loss": "training.losses:LOSSES.register",
    "tune": "tuning.tune:tune",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, _, attribute = _HOMES[name].partition(":")
        return attrgetter(attribute)(import_module(f"core.{module}"))
    raise AttributeError(f"module 'core' has no attribute {name!r}")
