"""A Triton model repository: its configurations parse, and its router answers as the model does."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from google.protobuf import text_format

from core.data.samples import load_samples
from core.deploy.export import export
from core.exits.policy import Policy
from core.hub.model import load

DIGITS = load_samples("mnist").images[::50]
POLICY = Policy("patience", (0.5, 0.6))
NAME = "jeidnn8-mnist"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("triton") / "bundle"
    export(load(NAME), POLICY, folder, DIGITS, triton=True)
    return folder / "triton"


def module(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def configuration(path: Path) -> Any:
    """A parsed config.pbtxt, by the schema of Triton's own client."""
    client = importlib.util.find_spec("tritonclient")
    assert client is not None
    assert client.origin is not None
    schema = Path(client.origin).parent / "grpc" / "model_config_pb2.py"  # without grpc itself
    parsed = module(schema, "model_config_pb2").ModelConfig()
    return text_format.Parse((path / "config.pbtxt").read_text(), parsed)


def test_the_configurations_parse_and_fit_the_files(repository: Path) -> None:
    folders = sorted(repository.iterdir())
    assert [folder.name for folder in folders] == [
        NAME,
        *(f"{NAME}-stage-{number}" for number in (1, 2, 3)),
    ]
    assert configuration(folders[0]).backend == "python"
    for folder in folders[1:]:
        parsed = configuration(folder)
        assert (parsed.name, parsed.backend) == (folder.name, "onnxruntime")
        session = onnxruntime.InferenceSession(folder / "1" / "model.onnx")
        for declared, real in (
            (parsed.input, session.get_inputs()),
            (parsed.output, session.get_outputs()),
        ):
            shapes = {
                one.name: [] if one.HasField("reshape") else list(one.dims) for one in declared
            }
            assert shapes == {one.name: one.shape[1:] for one in real}


class Tensor:
    """As in Triton's Python backend."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self.array = name, array

    def as_numpy(self) -> np.ndarray:
        return self.array


class Response:
    def __init__(self, tensors: list[Tensor], error: object = None) -> None:
        self.tensors, self.failure = {one.name: one for one in tensors}, error

    def has_error(self) -> bool:
        return self.failure is not None


@pytest.fixture
def model(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The router's model, on a server of which only the calls between models are there."""

    class Request:
        def __init__(
            self,
            model_name: str,
            requested_output_names: list[str],
            inputs: list[Tensor],
            preferred_memory: object,
        ) -> None:
            self.model_name, self.names, self.inputs = model_name, requested_output_names, inputs

        def exec(self) -> Response:
            path = repository / self.model_name / "1" / "model.onnx"
            feeds = {one.name: one.array for one in self.inputs}
            found = onnxruntime.InferenceSession(path).run(self.names, feeds)
            return Response([Tensor(*pair) for pair in zip(self.names, found, strict=True)])

    server: Any = ModuleType("triton_python_backend_utils")
    server.Tensor, server.InferenceResponse, server.InferenceRequest = Tensor, Response, Request
    server.TritonError, server.PreferredMemory = str, int
    server.TRITONSERVER_MEMORY_CPU = 0
    server.get_input_tensor_by_name = server.get_output_tensor_by_name = lambda one, name: (
        one.tensors[name]
    )
    monkeypatch.setitem(sys.modules, server.__name__, server)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "run", raising=False)
    served = module(repository / NAME / "1" / "model.py", "model").TritonPythonModel()
    served.initialize({})
    return served


def test_the_router_answers_several_requests_as_the_model_does(model: Any) -> None:
    expected = load(NAME).predict(DIGITS, POLICY)
    assert len(set(expected.exits)) > 1
    parts = np.split(DIGITS, [1, 20])
    answers = model.execute([Response([Tensor("images", part)]) for part in parts])
    assert [len(one.tensors["label"].array) for one in answers] == [1, 19, 80]
    for name, values in (
        ("label", expected.labels[:, None]),
        ("exit_index", expected.exits[:, None]),
        ("relative_cost", expected.costs[:, None]),
    ):
        got = np.concatenate([one.tensors[name].array for one in answers])
        np.testing.assert_array_equal(got, values)
    probabilities = np.concatenate([one.tensors["probabilities"].array for one in answers])
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-5)


def test_images_of_another_shape_are_refused_in_a_sentence(model: Any) -> None:
    (answer,) = model.execute([Response([Tensor("images", DIGITS[:2, :20])])])
    assert "uint8 of shape" in answer.failure
