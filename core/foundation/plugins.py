"""Python files of the user: plugins that register methods, and functions that make networks.

Only files that the user names are ever run, never one that a card names.
"""

import hashlib
import importlib.util
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from core.foundation.errors import UserError, nearest

PLUGINS = "EENET_PLUGINS"
"""Environment variable: plugins to load, separated as in `$PATH`."""
FACTORY = "EENET_FACTORY"
"""Environment variable: ``FILE.py:FUNCTION`` that makes the module of a user's own network."""
_FAILURE = "__failure__"
_importing = threading.Lock()


def load_plugins(files: Sequence[str | Path] = ()) -> None:
    """Run the named files and those in `$EENET_PLUGINS`, each once; child processes do so, too.

    Raises:
        UserError: a file is missing or raises; names the line.
    """
    known = [file for file in os.environ.get(PLUGINS, "").split(os.pathsep) if file]
    wanted = dict.fromkeys([*known, *(str(Path(file).absolute()) for file in files)])
    for file in wanted:
        import_file(Path(file), "the plugin")
    if wanted:
        os.environ[PLUGINS] = os.pathsep.join(wanted)


def load_function(reference: str) -> Callable[..., Any]:
    """Return the function that ``FILE.py:FUNCTION`` names.

    Raises:
        UserError: the file is missing or raises, or has no such function.
    """
    file, _, name = reference.rpartition(":")
    if not file or not name.isidentifier():
        raise UserError(f"expected FILE.py:FUNCTION, but got {reference!r}.")
    module = import_file(Path(file), "the file")
    function = getattr(module, name, None)
    if not callable(function):
        functions = [key for key, value in vars(module).items() if callable(value)]
        raise UserError(
            f"expected a function {name!r} in {file}, but it has none.{nearest(name, functions)}"
        )
    loaded: Callable[..., Any] = function
    return loaded


def set_factory(reference: str) -> None:
    """Make `own_factory` return this function, here and in child processes.

    Raises:
        UserError: as `load_function`.
    """
    file, _, name = reference.rpartition(":")
    load_function(reference)
    os.environ[FACTORY] = f"{Path(file).absolute()}:{name}"


def own_factory() -> Callable[[], Any] | None:
    """Return the function that `$EENET_FACTORY` names, if any.

    Raises:
        UserError: as `load_function`.
    """
    reference = os.environ.get(FACTORY)
    return load_function(reference) if reference else None


def import_file(path: Path, what: str) -> ModuleType:
    """Run a Python file as a module, once in a process; return the module.

    Args:
        path: of the file.
        what: its description in error messages.

    Raises:
        UserError: the file is missing, or raises; names the line.
    """
    path = path.resolve()
    name = f"{path.stem}_{hashlib.sha256(bytes(path)).hexdigest()[:12]}"
    with _importing:
        if name in sys.modules:
            module = sys.modules[name]
            if hasattr(module, _FAILURE):
                raise UserError(getattr(module, _FAILURE))
            return module
        spec = importlib.util.spec_from_file_location(name, path)
        if not path.is_file() or spec is None or spec.loader is None:
            raise UserError(f"expected {what} {path} to be a Python file, but there is none.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look up their module there
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            # Never run again: the names that it registered before it failed are taken.
            setattr(module, _FAILURE, _failure(path, what, error))
            raise UserError(getattr(module, _FAILURE)) from None
        return module


def _failure(path: Path, what: str, error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"expected {what} {path} to load, but its line {line} fails with {kind}{message}"
