"""The exact gate on real engines for an RTX 4090: an attention that is split so that it no longer fuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.attention import built_bundle
from v2v_export.cli import main
from v2v_export.targets.tensorrt import BUILDER

pytestmark = pytest.mark.skipif(not BUILDER.available().ok, reason=BUILDER.available().reason)


def test_a_split_attention_fails_the_gate_without_a_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = built_bundle(tmp_path / "whole.v2v", tmp_path / "1", split=False)
    split = built_bundle(tmp_path / "split.v2v", tmp_path / "2", split=True)
    file = tmp_path / "v2v-budgets.toml"
    assert main(["budgets", str(whole), "-f", str(file), "--write"]) == 0
    assert main(["budgets", str(whole), "-f", str(file)]) == 0
    capsys.readouterr()

    assert main(["budgets", str(split), "-f", str(file)]) == 3
    told = capsys.readouterr().out
    # Graph, counter, the old number and the new one.
    assert "rtx4090.tensorrt.look: attentions_fused was 2, is 1 (-1, -50.0%)" in told
    assert re.search(r"rtx4090\.tensorrt\.look: kernels was \d+, is \d+ \(\+\d+, ", told)
    assert "rtx4090.tensorrt.look: kernels_by_type/gemm is 3 and has no budget" in told
    assert "`--write` puts them into the file" in told

    assert main(["budgets", str(split), "-f", str(file), "--write"]) == 0, "a change is a line in the file"
    assert "attentions_fused = 1" in file.read_text()
    assert main(["budgets", str(split), "-f", str(file)]) == 0


def test_a_budget_for_a_graph_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = built_bundle(tmp_path / "whole.v2v", tmp_path / "1", split=False)
    file = tmp_path / "v2v-budgets.toml"
    assert main(["budgets", str(whole), "-f", str(file), "--write"]) == 0
    gone = file.read_text().replace('"rtx4090.tensorrt.look"', '"rtx4090.tensorrt.stare"')
    assert gone != file.read_text()
    file.write_text(gone)
    capsys.readouterr()
    assert main(["budgets", str(whole), "-f", str(file)]) == 3
    told = capsys.readouterr().out
    assert "rtx4090.tensorrt.stare has budgets, and the bundle has no such target or graph" in told
    assert main(["budgets", str(whole), "-f", str(file), "--write"]) == 0
    assert "stare" not in file.read_text()
