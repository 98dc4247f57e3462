"""The places where a network can be cut in two, and the cutting."""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

import torch
from torch import Tensor, fx, nn

from core.foundation.errors import UserError
from core.networks.cost import counted
from core.networks.heads import HeadOutput
from core.networks.layout import Kind, Layout, layout_of
from core.networks.network import ExitNetwork
from core.networks.trace import Trace, trace
from core.networks.trunk import Block, Trunk

Shape = tuple[int, int, int]
PLACE = re.compile(r"trunk\.blocks\.[^.]+\.|heads\.final\.module\.")


@dataclass(frozen=True)
class CutPoint:
    """A place through which everything flows as one tensor, where an early exit may stand.

    Attributes:
        name: path of the outermost module that ends there ("layer1", "features.8").
        aliases: paths of other modules that end there.
        share: of the plain network's MACs, how many come before it.
        shape: (C, H, W) of the features as a head reads them.
        layout: how the module keeps them.
    """

    name: str
    aliases: tuple[str, ...]
    share: float
    shape: Shape
    layout: Kind


class OwnClassifier(nn.Module):
    """A final head made of what a module does after the last place.

    Attributes:
        unused: names of the module's tensors that it does not use in eval mode.
    """

    def __init__(self, module: nn.Module, unused: frozenset[str]) -> None:
        super().__init__()
        self.module = module
        self.unused = unused

    def forward(self, features: Tensor) -> HeadOutput:
        """Map the trunk's features, laid out as the module has them, to logits (B, K)."""
        return HeadOutput(self.module(features), None)


def cut(
    module: nn.Module, example: Tensor, num_classes: int | None = None
) -> tuple[Trunk, tuple[CutPoint, ...]]:
    """Cut a module at every place into a trunk and its own classifier.

    Args:
        module: in eval mode; its layers become the trunk's.
        example: square images (B, C, H, W) on the module's device.
        num_classes: K; where the module has another, it gets a fresh classifier.

    Returns:
        The trunk, whose blocks are called after the places where they end, and the places where
        an early exit may stand: all but the last.

    Raises:
        UserError: the module cannot be traced, does not accept the example, does not answer with
            one tensor (B, K), or has fewer than two places.
    """
    traced = trace(module)
    run = _Run(module, traced.graph, example)
    if num_classes is not None and num_classes != run.num_classes:
        _replace_classifier(module, traced.graph, run.num_classes, num_classes)
        run = _Run(module, traced.graph, example)
    places = _places(module, traced, run)
    if len(places) < 2:  # the final head stands at the last
        raise UserError(
            "expected `module` to have places before its classifier through which everything "
            f"flows as one tensor, but {type(module).__name__} has {len(places)}{_opaque(traced)}: "
            "build core.networks.trunk.Trunk by hand."
        )
    *pieces, rest = _pieces(module, traced.graph, [place.node for place in places])
    used = {name for piece in (*pieces, rest) for name in piece.state_dict()}
    own = OwnClassifier(rest, frozenset(module.state_dict().keys() - used))
    blocks = [
        Block(place.name, piece, layout=place.layout, aliases=place.aliases)
        for place, piece in zip(places, pieces, strict=True)
    ]
    points = [
        CutPoint(place.name, place.aliases, place.macs / run.total, place.shape, place.layout.kind)
        for place in places
    ]
    return Trunk(blocks, lambda shape, num_classes: own, initialise=False), tuple(points[:-1])


def answer(function: Callable[[Tensor], object], example: Tensor) -> Tensor:
    """Return a module's logits (B, K) of images (B, C, H, W).

    Raises:
        UserError: it fails on them, or returns something else.
    """
    try:
        with torch.no_grad():
            logits = function(example)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(
            "expected images of the channels and size that the module takes, but it fails on "
            f"(C, H, W) = {tuple(example.shape[1:])} ({reason}): choose others."
        ) from None
    if isinstance(logits, Tensor) and logits.dim() == 2 and len(logits) == len(example):
        return logits
    got = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
    raise UserError(
        f"expected `module` to answer with one tensor of logits (B, K) in eval mode, but got {got}"
        f" for {len(example)} images: wrap it in a module that returns the logits alone."
    )


def _replace_classifier(module: nn.Module, graph: fx.Graph, old: int, new: int) -> None:
    """Put a fresh layer for ``new`` classes in the place of the last one with ``old`` outputs.

    Raises:
        UserError: there is no linear layer or 1×1 convolution of so many.
    """
    for node in reversed(graph.nodes):
        layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        bias = getattr(layer, "bias", None) is not None
        fresh: nn.Module
        if isinstance(layer, nn.Linear) and layer.out_features == old:
            fresh = nn.Linear(layer.in_features, new, bias)
        elif isinstance(layer, nn.Conv2d) and layer.weight.shape == (old, layer.in_channels, 1, 1):
            fresh = nn.Conv2d(layer.in_channels, new, 1, bias=bias)
        else:
            continue
        module.set_submodule(str(node.target), fresh.to(layer.weight.device))
        return
    raise UserError(
        f"expected {type(module).__name__} to end in a linear layer or 1×1 convolution with {old} "
        f"outputs, one per class, but it does not: put a classifier for {new} classes in yourself."
    )


def original_names(network: ExitNetwork) -> tuple[dict[str, str], frozenset[str]]:
    """Return a network's names of tensors by those in the module that it was cut from.

    "layer1.0.conv1.weight" becomes "trunk.blocks.layer1/0.layer1.0.conv1.weight".

    Returns:
        The names, none for a network that was not cut from a module; and the names of those
        tensors of the module that the network has no use for.
    """
    final = network.heads["final"]
    if not isinstance(final, OwnClassifier):
        return {}, frozenset()
    names = {PLACE.sub("", name): name for name in network.state_dict() if PLACE.match(name)}
    return names, final.unused


def _opaque(traced: Trace) -> str:
    if not traced.opaque:
        return ""
    path, reason = next(iter(traced.opaque.items()))
    return f" ({path} cannot be traced and is run as a whole: {reason})"


class _Run(fx.Interpreter):
    """One run of a graph on two images.

    Attributes:
        shapes: of each node that is a floating tensor.
        macs: of one image, up to each node and including it.
        total: MACs of the whole.
        num_classes: K, how many logits come out.
    """

    def __init__(self, module: nn.Module, graph: fx.Graph, example: Tensor) -> None:
        super().__init__(module, graph=graph)
        self.shapes: dict[fx.Node, torch.Size] = {}
        self.macs: dict[fx.Node, int] = {}
        self.total = 0
        self.num_classes = answer(self.run, example[:1].repeat(2, 1, 1, 1)).shape[1]

    def run_node(self, n: fx.Node) -> Any:
        """Run a node and note what it does."""
        macs, value = counted(super().run_node, n)
        self.total += macs // 2  # two images
        self.macs[n] = self.total
        if isinstance(value, Tensor) and value.is_floating_point():
            self.shapes[n] = value.shape
        return value

    def seen_by_heads(self, node: fx.Node) -> tuple[Layout, Shape]:
        """Return how features lie, and their (C, H, W) as maps."""
        layout = layout_of(self.shapes[node][1:])
        assert layout is not None
        maps = layout.to_map(torch.empty(self.shapes[node], device="meta"))
        return layout, (maps.shape[1], maps.shape[2], maps.shape[3])


@dataclass(frozen=True, eq=False)
class _Place:
    node: fx.Node
    name: str
    aliases: tuple[str, ...]
    macs: int
    layout: Layout
    shape: Shape


def _places(module: nn.Module, traced: Trace, run: _Run) -> list[_Place]:
    """Return the places in order; of those with no compute in between, only one.

    It is the last one where a module with children ends, else the last one that holds a picture.
    """
    blocks = _blocks(module, run)
    free = [
        node
        for node in _bottlenecks(module, traced.graph, run)
        if 0 < run.macs[node] < run.total
        and layout_of(run.shapes[node][1:])
        and not any(
            kind in blocks and path not in traced.outputs.get(node, ())
            for path, kind in _stack(node)
        )
    ]
    places: list[_Place] = []
    for macs, group in groupby(free, key=run.macs.__getitem__):
        nodes = list(group)
        spatial = [node for node in nodes if run.seen_by_heads(node)[1][1:] != (1, 1)] or nodes
        ends = [
            node
            for node in spatial
            if any(_has_children(module, name) for name in _names(traced, node))
        ]
        node = (ends or spatial)[-1]
        name = _name(traced, node, places[-1].node if places else None)
        aliases = tuple(other for n in nodes for other in _names(traced, n) if other != name)
        places.append(_Place(node, name, aliases, macs, *run.seen_by_heads(node)))
    return places


def _has_children(module: nn.Module, path: str) -> bool:
    return next(module.get_submodule(path).children(), None) is not None


def _stack(node: fx.Node) -> Iterable[tuple[str, type]]:
    """Return paths and types of the modules in whose forward methods a node is, outermost first."""
    stack: dict[str, tuple[str, type]] = node.meta.get("nn_module_stack", {})
    return stack.values()


def _blocks(module: nn.Module, run: _Run) -> set[type]:
    """Return the kinds of module that are not cut inside.

    They are used more than once and compute something in a forward method of their own, beyond
    calling their children one after another: a residual block, a block of a transformer.
    """
    owners = {
        [*_stack(node)][-1][1]
        for node in run.shapes
        if node.op in ("call_function", "call_method") and _stack(node)
    }
    kinds = [type(child) for child in module.modules()]
    return {kind for kind in owners if kinds.count(kind) > 1}


def _bottlenecks(module: nn.Module, graph: fx.Graph, run: _Run) -> Iterator[fx.Node]:
    """Yield the nodes through which everything flows, as one floating tensor, batch first.

    Weights used on both sides hold the two sides together. Constants do not count, nor does the
    batch size, which the features tell as well.
    """
    spans: dict[object, list[int]] = {}  # of values and weights: first and last use
    for index, node in enumerate(graph.nodes):
        things: list[object] = [used for used in node.all_input_nodes if used in spans]
        if node.op == "get_attr":
            things += _weights(module, node)
        elif not _is_batch_size(node, run):
            things += [node, *_weights(module, node)]
        for thing in things:
            spans.setdefault(thing, [index, index])[1] = index
    changes = [0] * len(graph.nodes)
    for first, last in spans.values():
        changes[first] += 1
        changes[last] -= 1
    for index, (node, crossing) in enumerate(zip(graph.nodes, accumulate(changes), strict=True)):
        alone = crossing == 1 and node in spans and spans[node][1] > index
        if alone and node in run.shapes and run.shapes[node][0] == 2:
            yield node


def _weights(module: nn.Module, node: fx.Node) -> list[int]:
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        return [id(tensor) for tensor in (*layer.parameters(), *layer.buffers())]
    if node.op == "get_attr":
        value = operator.attrgetter(str(node.target))(module)
        return [id(value)] if isinstance(value, Tensor) else []
    return []


def _is_batch_size(node: fx.Node, run: _Run) -> bool:
    """Return whether a node is x.size(0), x.size()[0] or x.shape[0], with the batch first."""
    if node.args[1:] != (0,):
        return False
    source = node.args[0]
    if node.target is operator.getitem and isinstance(source, fx.Node):
        if source.target != "size" and source.args[1:] != ("shape",):
            return False
        source = source.args[0]
    elif node.target != "size":
        return False
    return isinstance(source, fx.Node) and run.shapes.get(source, (0,))[0] == 2


def _names(traced: Trace, node: fx.Node) -> list[str]:
    """Return paths of the modules that end at a node and nowhere else, outermost first."""
    return [path for path in reversed(traced.outputs.get(node, [])) if traced.calls[path] == 1]


def _name(traced: Trace, node: fx.Node, before: fx.Node | None) -> str:
    """Return the path of the outermost module that ends at a place, else of the last before it."""
    at = node
    while at is not before and at.op != "root":
        if names := _names(traced, at):
            return names[0]
        at = at.prev
    return node.name


def _pieces(module: nn.Module, graph: fx.Graph, ends: Sequence[fx.Node]) -> list[fx.GraphModule]:
    """Cut a graph after each of the nodes ``ends`` and at its own end."""
    pieces = []
    part = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    source = next(iter(graph.nodes))

    def copy_of(node: fx.Node) -> fx.Node:
        if node not in copies:  # it stands in an earlier piece, and is a constant or the batch size
            copies[node] = (
                part.node_copy(node)
                if node.op == "get_attr"
                else part.call_method("size", (copies[source], 0))
            )
        return copies[node]

    for node in graph.nodes:
        if node.op == "output":
            part.output(fx.node.map_arg(node.args[0], copy_of))
            pieces.append(fx.GraphModule(module, part))
        elif node.op != "get_attr":
            copies[node] = part.node_copy(node, copy_of)
        if node in ends:
            part.output(copies[node])
            pieces.append(fx.GraphModule(module, part))
            part, source = fx.Graph(), node
            copies = {node: part.placeholder("features")}
    return pieces
