"""From a module to the graph of what it computes, with the names of its children."""

import inspect
import math
import operator
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from core.foundation.errors import UserError

OUT_OF_PLACE: dict[Any, Callable[..., Any]] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    operator.imatmul: operator.matmul,
    operator.ipow: operator.pow,
}
CONTAINERS = ("torch.nn.modules.module", "torch.nn.modules.container")

_ONE_AT_A_TIME = threading.Lock()
"""torch.fx patches `nn.Module` while it traces; two traces at once would undo each other's."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What a module computes in eval mode.

    Attributes:
        graph: nothing in it works in place; dropout follows the mode of the module that runs it.
        outputs: by node, paths of the modules whose output it is, innermost first.
        calls: how often the module of each path is called.
        opaque: by the path of a module that cannot be traced and is run as a whole, the reason.
    """

    graph: fx.Graph
    outputs: dict[fx.Node, list[str]]
    calls: dict[str, int]
    opaque: dict[str, str]


def trace(module: nn.Module) -> Trace:
    """Trace a module in eval mode. Children that cannot be traced are run as a whole.

    Raises:
        UserError: the module's own forward method cannot be traced.
    """
    whole: set[type] = set()
    opaque: dict[str, str] = {}
    while True:
        tracer = _Tracer(whole)
        try:
            with _ONE_AT_A_TIME:
                graph = tracer.trace(module)
        except Exception as error:
            if tracer.failed is None or type(tracer.failed[1]) in whole:
                raise UserError(
                    f"expected `module` to be traceable by torch.fx, but the forward method of "
                    f"{type(module).__name__} is not ({_reason(error)}): move what depends on the "
                    "values of tensors into a child module, which is then run as a whole, or "
                    "build core.networks.trunk.Trunk by hand."
                ) from None
            path, child = tracer.failed
            whole.add(type(child))
            opaque[path] = _reason(error)
            continue
        _make_out_of_place(module, graph)
        _allow_any_memory_format(graph)
        _follow_mode(graph)
        return Trace(graph, tracer.outputs, tracer.num_calls, opaque)


class _Tracer(fx.Tracer):
    def __init__(self, whole: set[type]) -> None:
        timm = sys.modules.get("timm.layers")  # its modules cannot be there unless it is
        functions = [f for f in timm.get_notrace_functions() if callable(f)] if timm else []
        import torchvision  # takes seconds

        super().__init__((math, torchvision.ops), tuple(functions))  # type: ignore[arg-type]
        self.whole = tuple(whole | set(timm.get_notrace_modules() if timm else ()))
        self.thread = threading.get_ident()
        self.outputs: dict[fx.Node, list[str]] = {}
        self.failed: tuple[str, nn.Module] | None = None

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        """Ask for the images alone: what else a forward method takes keeps its default."""
        return root_fn, [self.root, self.create_proxy("placeholder", "images", (), {})]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Keep whole: layers of PyTorch (and what derives from them), and what has no children."""
        if isinstance(m, self.whole) or not any(True for _ in m.children()):
            return True
        return type(m) is not nn.TransformerEncoder and any(
            base.__module__.startswith("torch.nn.") and base.__module__ not in CONTAINERS
            for base in type(m).__mro__
        )

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: Any
    ) -> Any:
        """Record a call. Other threads call their modules as if nothing were."""
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        if type(m) is nn.TransformerEncoder and len(args) == 1 and not kwargs:
            forward = partial(_one_layer_after_another, m)
        path = self.path_of_module(m)
        try:
            output = super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = self.failed or (path, m)
            raise
        if isinstance(output, fx.Proxy):
            self.outputs.setdefault(output.node, []).append(path)
        return output

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Record the use of a parameter, in the thread that traces."""
        if threading.get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def _one_layer_after_another(encoder: nn.TransformerEncoder, tokens: Any) -> Any:
    """Compute what an encoder does without masks; its own forward method has control flow."""
    for layer in encoder.layers:
        tokens = layer(tokens)
    return tokens if encoder.norm is None else encoder.norm(tokens)


def _reason(error: Exception) -> str:
    """Return in one line where in the user's code tracing failed, and why."""
    ours = (str(Path(torch.__file__).parent), __file__)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(ours)
    ]
    where = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: " if frames else ""
    what = (str(error) or type(error).__name__).splitlines()[0]
    return f"{where}{what}"


def _make_out_of_place(module: nn.Module, graph: fx.Graph) -> None:
    """Replace in-place operations, which attribution and early exits cannot do with."""
    for node in graph.nodes:
        if not _goes_out_of_place(module, node):
            continue
        # What is read after it was changed in place is the result.
        changed = node.args[0] if node.args else None
        later = node.next
        while isinstance(changed, fx.Node) and later.op != "root":
            later.replace_input_with(changed, node)
            later = later.next
    for layer in module.modules():
        if getattr(layer, "inplace", False):
            layer.inplace = False  # type: ignore[assignment]


def _goes_out_of_place(module: nn.Module, node: fx.Node) -> bool:
    """Replace an operation that works in place. Return whether it was one."""
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
    if node.op == "call_method":
        out_of_place = str(node.target)[:-1]
        if f"{out_of_place}_" == node.target and hasattr(torch.Tensor, out_of_place):
            node.target = out_of_place
            return True
    elif node.op == "call_function":
        name = node.target.__name__  # type: ignore[union-attr]
        if node.target in OUT_OF_PLACE:
            node.target = OUT_OF_PLACE[node.target]
            return True
        if name.endswith("_") and hasattr(torch, name[:-1]):
            node.target = getattr(torch, name[:-1])
            return True
        if _argument(node, "inplace") is True:
            _set_argument(node, "inplace", False)
            return True
    return False


def _allow_any_memory_format(graph: fx.Graph) -> None:
    """Let tensors whose channels come last in memory be flattened, which `view` refuses."""
    for node in graph.nodes:
        as_type = any(isinstance(argument, torch.dtype) for argument in node.args)
        if node.op == "call_method" and node.target == "view" and not as_type:
            node.target = "reshape"


def _follow_mode(graph: fx.Graph) -> None:
    """Undo what tracing in eval mode has fixed: ``training=False`` becomes ``self.training``."""
    for node in graph.nodes:
        if node.op == "call_function" and _argument(node, "training") is False:
            with graph.inserting_before(node):
                _set_argument(node, "training", graph.get_attr("training"))


def _parameters(node: fx.Node) -> list[str]:
    try:
        return list(inspect.signature(node.target).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # built in
        return []


def _argument(node: fx.Node, name: str) -> Any:
    """Return the argument of that name in a function's call, None if it is not given."""
    if node.op != "call_function":
        return None
    given = dict(zip(_parameters(node), node.args, strict=False)) | node.kwargs
    return given.get(name)


def _set_argument(node: fx.Node, name: str, value: Any) -> None:
    if name in node.kwargs:
        node.update_kwarg(name, value)
    else:
        node.update_arg(_parameters(node).index(name), value)
