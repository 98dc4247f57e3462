"""The house: who may know of whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOORS = (
    *("__main__", "cli", "hub", "edge_cloud", "training", "deploy", "tuning", "analysis", "exits"),
    *("data", "networks", "foundation"),
)
"""The rooms of `core`, from the roof down: a room imports only from rooms below it."""

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files(package: str) -> dict[str, Path]:
    return {module_name(path): path for path in sorted((ROOT / package).rglob("*.py"))}


CORE = files("core")


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere; ``from a import b`` gives a and a.b."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inner(path: Path) -> set[str]:
    """The modules of `core` that a file imports."""
    return {name for name in imported(path) if name in CORE and name != "core"}


def room(module: str) -> str:
    return module.split(".")[1]


def inhabited() -> list[str]:
    return [module for module in CORE if module != "core"]


@pytest.mark.parametrize("module", inhabited())
def test_a_room_imports_only_from_itself_and_below(module: str) -> None:
    for other in inner(CORE[module]):
        assert FLOORS.index(room(other)) >= FLOORS.index(room(module)), f"{module} imports {other}"


def test_there_are_no_circles_between_files() -> None:
    knows = {module: inner(CORE[module]) - {module} for module in inhabited()}
    TopologicalSorter(knows).prepare()


@pytest.mark.parametrize("module", CORE)
def test_core_knows_neither_streamlit_nor_the_app(module: str) -> None:
    strangers = {name.split(".")[0] for name in imported(CORE[module])} & {"streamlit", "app"}
    assert not strangers


def test_tables_and_what_stands_on_them_know_no_torch() -> None:
    exits = ("table", "criteria", "policy", "routing", "report")
    for name in (*(f"exits.{name}" for name in exits), "hub.card", "hub.registry"):
        assert "torch" not in set(imported(CORE[f"core.{name}"]))


@pytest.mark.parametrize("path", files("app").values(), ids=files("app"))
def test_the_app_imports_only_what_core_has(path: Path) -> None:
    ours = {"core", "app", "tests", "benchmarks"}
    found = {name.split(".")[0] for name in imported(path)}
    assert found & ours <= {"core", "app"}


@pytest.mark.parametrize("package", ["core", "app", "tests"])
def test_no_file_has_a_vague_name(package: str) -> None:
    assert not {path.stem for path in files(package).values()} & VAGUE


QUICK = """
import sys
import core, core.cli.main
core.Policy, core.evaluate, core.list_models
for line in (["models"], ["tune", "eenet8-mnist", "--max-drop", "0.01"], ["train", "--help"], []):
    assert core.cli.main.main(line) == 0
print(sorted({"torch", "streamlit"} & set(sys.modules)), file=sys.stderr)
"""


def test_what_needs_no_torch_does_not_wait_for_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUICK], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"


LOOKING = """
import sys
import numpy as np
from core.analysis.saliency import SALIENCY
from core.hub.model import load
model = load("eenet8-mnist")
images = np.zeros((2, 28, 28, 1), np.uint8)
model.predict(images)
model.table(images)
for one in SALIENCY.values():
    one.function(model.network, model.normalised(images[:1]), 0, 1)
print(sorted({"torchvision", "torch._dynamo"} & set(sys.modules)))
"""


def test_looking_at_shipped_models_does_not_wait_for_torchvision() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOKING], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
