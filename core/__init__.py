"""Early-exit networks for images: exact, really skipping, and easy to look into.

Names are loaded when they are first used, so that what needs no torch does not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.errors import UserError
    from core.models import Model, load
    from core.policy import Policy
    from core.report import Report, evaluate
    from core.shelf import list_models
    from core.table import ExitTable

__all__ = ["ExitTable", "Model", "Policy", "Report", "UserError", "evaluate", "list_models", "load"]

_HOMES = {
    "UserError": "core.errors",
    "ExitTable": "core.table",
    "Policy": "core.policy",
    "Report": "core.report",
    "evaluate": "core.report",
    "Model": "core.models",
    "list_models": "core.shelf",
    "load": "core.models",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'core' has no attribute {name!r}")
