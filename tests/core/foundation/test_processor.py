import platform
from pathlib import Path

import pytest

from core.foundation import processor


def test_the_system_names_the_processor_else_its_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "CPUINFO", cpuinfo)
    architecture = platform.processor() or platform.machine()
    assert processor.processor() == architecture
    cpuinfo.write_text("processor\t: 0\nfeatures\t: fp\n")
    assert processor.processor() == architecture
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A CPU: fast\n")
    assert processor.processor() == "A CPU: fast"
