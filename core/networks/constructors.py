"""Modules that can be made again by the name of their constructor."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from core.foundation.errors import UserError, nearest
from core.foundation.plugins import own_factory
from core.networks.spec import NetworkSpec

TORCHVISION = "torchvision-"
TIMM = "timm-"
FACTORY = "factory"

AUXILIARY = ("aux1", "aux2", "AuxLogits")
"""Classifiers of GoogLeNet and Inception that only train."""
PASSING = ("training", "inplace", "num_classes", "aux_logits")
"""Attributes that tell nothing about what a module computes in eval mode."""

NEAREST = 4
"""Of a family's constructors, so many are tried: those of about as many parameters."""

Factory = Callable[[], nn.Module]
"""Makes a module of the user's own, with fresh or trained weights."""


class Weightless(TorchFunctionMode):
    """While this is in use, modules are made without memory and without random numbers."""

    SIZED = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Put what has a size and no meaning on the device "meta", unless told where."""
        options = kwargs or {}
        if func in self.SIZED and options.get("device") is None:
            options = options | {"device": "meta"}
        return func(*args, **options)


def make(spec: NetworkSpec, factory: Factory | None = None) -> nn.Module:
    """Make the module that a specification names, in eval mode and with fresh weights.

    Args:
        spec: its backbone is "torchvision-…", "timm-…" or "factory".
        factory: makes the module for the backbone "factory"; by default the one that
            `$EENET_FACTORY` names. It is never one that a card names.

    Raises:
        UserError: no such constructor, timm is not installed, no factory, or one that raises.
    """
    if spec.backbone.startswith(TORCHVISION):
        module = _torchvision(spec, spec.backbone.removeprefix(TORCHVISION))
    elif spec.backbone.startswith(TIMM):
        module = _timm(spec, spec.backbone.removeprefix(TIMM))
    else:
        module = _own(spec, factory)
    if any(tensor.is_meta for tensor in module.parameters()):
        module.to("meta")
    return module.eval()


def recognise(module: nn.Module, spec: NetworkSpec) -> str | None:
    """Return the backbone whose constructor makes a module like this one, None if none does.

    Args:
        module: of torchvision, of timm or of the user's own.
        spec: for so many classes and channels, and this image size.
    """
    for backbone in _candidates(module):
        try:
            with Weightless():
                other = make(spec.model_copy(update={"backbone": backbone}))
        except UserError:
            continue
        if _description(other) == _description(module):
            return backbone
    return None


def _candidates(module: nn.Module) -> list[str]:
    if type(module).__module__.startswith("torchvision.models."):
        import torchvision

        parameters = sum(parameter.numel() for parameter in module.parameters())
        names = [
            name
            for name in torchvision.models.list_models(module=torchvision.models)
            if torchvision.models.get_model_builder(name).__module__ == type(module).__module__
        ]
        names.sort(key=lambda name: abs(_published_parameters(name) - parameters))
        return [TORCHVISION + name for name in names[:NEAREST]]
    facts = getattr(module, "pretrained_cfg", None)
    if isinstance(facts, dict) and "architecture" in facts:
        return [f"{TIMM}{facts['architecture']}"]
    return []


def _published_parameters(name: str) -> int:
    import torchvision

    count: int = next(iter(torchvision.models.get_model_weights(name))).meta["num_params"]
    return count


def _description(module: nn.Module) -> list[object]:
    """Return all that determines what a module computes, except the values of its tensors."""
    return [
        (
            path,
            type(layer),
            {name: tensor.shape for name, tensor in layer.named_parameters(recurse=False)},
            {
                name: value
                for name, value in vars(layer).items()
                if isinstance(value, bool | int | float | str | tuple) and name not in PASSING
            },
        )
        for path, layer in module.named_modules()
        if not path.startswith(AUXILIARY)
    ]


def _torchvision(spec: NetworkSpec, name: str) -> nn.Module:
    import torchvision  # takes seconds

    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        raise UserError(
            f"expected a classifier of torchvision's after {TORCHVISION!r}, but got {name!r}."
            f"{nearest(name, names)}"
        )
    size = spec.image_size
    options: dict[str, Any] = {"num_classes": spec.num_classes}
    if name in ("googlenet", "inception_v3"):  # as those are that torchvision has weights of
        options |= {"aux_logits": False, "transform_input": True, "init_weights": False}
    elif name.startswith("vit_"):
        options["image_size"] = size
    elif name.startswith("maxvit"):
        options["input_size"] = (size, size)
    with _one_sentence(spec):
        module: nn.Module = torchvision.models.get_model(name, **options)
    if spec.in_channels != 3:
        _replace_stem(module, spec.in_channels)
    return module


def _replace_stem(module: nn.Module, in_channels: int) -> None:
    path, stem = next(
        (path, layer) for path, layer in module.named_modules() if isinstance(layer, nn.Conv2d)
    )
    fresh = nn.Conv2d(
        in_channels,
        stem.out_channels,
        stem.kernel_size,  # type: ignore[arg-type]
        stem.stride,  # type: ignore[arg-type]
        stem.padding,  # type: ignore[arg-type]
        stem.dilation,  # type: ignore[arg-type]
        bias=stem.bias is not None,
    )
    module.set_submodule(path, fresh)


def _timm(spec: NetworkSpec, name: str) -> nn.Module:
    try:
        timm = import_module("timm")
    except ImportError:
        raise UserError(
            f"expected timm to be installed for the backbone {spec.backbone}, but it is not: "
            "install it with pip install timm."
        ) from None
    if not timm.is_model(name):
        raise UserError(
            f"expected a model of timm's after {TIMM!r}, but got {name!r}."
            f"{nearest(name, timm.list_models())}"
        )
    options = {"num_classes": spec.num_classes, "in_chans": spec.in_channels}
    with _one_sentence(spec):
        try:  # models with a fixed image size
            module: nn.Module = timm.create_model(name, **options, img_size=spec.image_size)
        except TypeError:
            module = timm.create_model(name, **options)
    return module


def _own(spec: NetworkSpec, factory: Factory | None) -> nn.Module:
    factory = factory or own_factory()
    if factory is None:
        raise UserError(
            f"expected a factory that makes the network's own module ({spec.factory}), but got "
            "none: pass factory=…, or --factory my_nets.py:make on the command line."
        )
    with _one_sentence(spec):
        module = factory()
    if not isinstance(module, nn.Module):
        raise UserError(
            f"expected the factory to return an nn.Module, but got {type(module).__name__}."
        )
    return module


@contextlib.contextmanager
def _one_sentence(spec: NetworkSpec) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(
            f"the backbone {spec.backbone} cannot be made for images of {spec.image_size} pixels, "
            f"{spec.in_channels} channels and {spec.num_classes} classes "
            f"({type(error).__name__}: {reason}): correct it or choose another."
        ) from None
