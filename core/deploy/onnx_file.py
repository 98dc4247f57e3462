"""From modules to ONNX files."""

import importlib.util
import re
import threading
import warnings
from collections.abc import Sequence
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
    example: Tensor,
    path: Path,
    names: tuple[str, Sequence[str]],
    static: bool = False,
) -> None:
    """Write a module in eval mode as an ONNX file whose batch may have any size.

    Args:
        module: maps one tensor to a tuple of tensors.
        example: input of the module, (B, …).
        path: of the file.
        names: of the input, and of the outputs.
        static: whether the batch has the size of the example's.

    Raises:
        UserError: ONNX lacks an operation of the module.
    """
    require("onnx", "for ONNX")
    read, written = names
    axes = None if static else {name: {0: "batch"} for name in (read, *written)}
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer: shapes do not change but for the batch
        fused_attention = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # ONNX has no such operation
        try:
            # The exporter by torch.export takes 20 times as long, and folds no norms.
            torch.onnx.export(
                module,
                (example,),
                path,
                input_names=[read],
                output_names=list(written),
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
