"""Early-exit networks for images: exact, really skipping, and easy to look into.

Names are loaded when they are first used, so that what needs no torch does not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.exits.policy import Policy
    from core.exits.report import Report, evaluate
    from core.exits.table import ExitTable
    from core.foundation.errors import UserError
    from core.hub.model import Model, load
    from core.hub.registry import list_models
    from core.tuning.tune import tune

__all__ = [
    "ExitTable",
    "Model",
    "Policy",
    "Report",
    "UserError",
    "evaluate",
    "list_models",
    "load",
    "tune",
]

_HOMES = {
    "UserError": "core.foundation.errors",
    "ExitTable": "core.exits.table",
    "Policy": "core.exits.policy",
    "Report": "core.exits.report",
    "evaluate": "core.exits.report",
    "Model": "core.hub.model",
    "list_models": "core.hub.registry",
    "load": "core.hub.model",
    "tune": "core.tuning.tune",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'core' has no attribute {name!r}")
