"""The router as a Triton model (Python backend, business logic scripting): `model.py` there."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.insert(0, str(Path(__file__).parent))
from run import BundleError, Router, Stage, read_manifest


class TritonPythonModel:
    """Runs each stage, a model of its own, only for the images that are still inside."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the manifest beside this file."""
        manifest = read_manifest(Path(__file__).parent)
        stages = [self._stage(facts) for facts in manifest["stages"]]
        self.router = Router(manifest, stages)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests of one or several images each, all in one batch."""
        images = [
            pb_utils.get_input_tensor_by_name(request, "images").as_numpy() for request in requests
        ]
        try:
            answers = self.router.predict(np.concatenate(images), sum(map(len, images)))
        except BundleError as error:
            refusal = pb_utils.TritonError(str(error))
            return [pb_utils.InferenceResponse([], error=refusal) for _ in requests]
        columns = {
            "label": answers.labels[:, None],
            "exit_index": answers.exits[:, None],
            "relative_cost": answers.costs[:, None],
            "probabilities": answers.probabilities,
        }
        ends = np.cumsum([len(part) for part in images])[:-1]
        parts = {name: np.split(column, ends) for name, column in columns.items()}
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(name, part[place]) for name, part in parts.items()]
            )
            for place in range(len(requests))
        ]

    def _stage(self, facts: dict[str, Any]) -> Stage:
        (read,), names = facts["inputs"], list(facts["outputs"])

        def run(features: Any) -> dict[str, Any]:
            response = pb_utils.InferenceRequest(
                model_name=facts["model"],
                requested_output_names=names,
                inputs=[pb_utils.Tensor(read, np.ascontiguousarray(features))],
                preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU),
            ).exec()
            if response.has_error():
                raise pb_utils.TritonModelException(response.error().message())
            found = (pb_utils.get_output_tensor_by_name(response, name) for name in names)
            return {name: one.as_numpy() for name, one in zip(names, found, strict=True)}

        return run
