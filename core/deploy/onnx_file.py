"""From modules to ONNX files."""

import importlib.util
import re
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from core.foundation.errors import UserError

OPSET = 18
EXTRA = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino",)}
"""Packages of each optional extra."""

_ONE_AT_A_TIME = threading.Lock()
"""The exporter keeps its settings in globals."""


def require(extra: str, purpose: str) -> None:
    """Raise `UserError` unless the packages of an extra are installed.

    Args:
        extra: a key of `EXTRA`.
        purpose: completes "expected … to be installed".
    """
    missing = [name for name in EXTRA[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"expected {' and '.join(missing)} to be installed {purpose}, but "
            f"{'they are' if len(missing) > 1 else 'it is'} not: pip install {' '.join(missing)}, "
            f"or early-exit-explorer[{extra}]."
        )


def write_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    path: Path,
    outputs: Sequence[str],
    static: bool = False,
) -> None:
    """Write a module in eval mode as an ONNX file whose batch may have any size.

    Args:
        module: maps tensors (B, …) to a tuple of tensors (B, …).
        inputs: examples of what it reads, by name, in order.
        path: of the file.
        outputs: names of what it writes.
        static: whether the batch keeps the size of the examples.

    Raises:
        UserError: ONNX lacks an operation of the module.
    """
    require("onnx", "for ONNX")
    axes = None if static else {name: {0: "batch"} for name in (*inputs, *outputs)}
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer: shapes do not change but for the batch
        fused_attention = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # ONNX has no such operation
        try:
            # The exporter by torch.export takes 20 times as long, and folds no norms.
            torch.onnx.export(
                module,
                tuple(inputs.values()),
                path,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError) as error:
            found = re.search(r"operator '([^']+)'", str(error))
            what = f"the operation {found[1]}" if found else str(error).strip().splitlines()[0]
            raise UserError(
                f"expected a network of operations that ONNX (opset {OPSET}) has, but it cannot "
                f"write {what}: replace that layer."
            ) from None
        finally:
            torch.backends.mha.set_fastpath_enabled(fused_attention)
