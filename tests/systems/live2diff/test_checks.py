"""What the recipe alone says wrong is told at once: no weights are looked at, and torch is not imported."""

from __future__ import annotations

import subprocess
import sys

import pytest
from v2v_export.errors import ModelError
from v2v_export.system import FrameSize
from v2v_export.systems.live2diff import SYSTEM
from v2v_export.systems.live2diff.options import Live2DiffOptions

SIZE = FrameSize(512, 512)
NOWHERE = {"base": "/nowhere", "live2diff": "/nowhere", "depth": "/nowhere"}

LOAD = """
import sys
from v2v_export.errors import ModelError
from v2v_export.system import FrameSize
from v2v_export.systems.live2diff import SYSTEM
from v2v_export.systems.live2diff.options import Live2DiffOptions
try:
    SYSTEM.load({weights}, Live2DiffOptions({options}), FrameSize({size}))
except ModelError as error:
    print(error.code, [name for name in ("torch", "diffusers", "transformers") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("weights", "options", "size", "code"),
    [
        (NOWHERE, "rows=3", "512, 512", "V2V-E6271"),
        (NOWHERE, "noise_frames=1", "512, 512", "V2V-E6275"),
        (NOWHERE, "strength=0.01", "512, 512", "V2V-E6150"),
        (NOWHERE, "", "500, 512", "V2V-E6121"),
        ({**NOWHERE, "prompt": "/nowhere"}, "", "512, 512", "V2V-E6277"),
    ],
    ids=["rows", "range", "strength", "size", "prompt"],
)
def test_torch_is_not_imported_to_refuse(weights: dict[str, str], options: str, size: str, code: str) -> None:
    run = LOAD.format(weights=weights, options=options, size=size)
    told = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == f"{code} []"


def test_embeddings_that_nothing_reads() -> None:
    weights = {**NOWHERE, "prompt": "cat.safetensors"}
    with pytest.raises(ModelError) as refused:
        SYSTEM.load(weights, Live2DiffOptions(prompt="tokens"), SIZE)
    assert refused.value.code == "V2V-E6277"
    assert 'prompt = "embeddings"' in refused.value.fix
    # With the form that reads them, they are no reason: what is looked at next is the weights.
    with pytest.raises(ModelError) as refused:
        SYSTEM.load(weights, Live2DiffOptions(prompt="embeddings"), SIZE)
    assert refused.value.code == "V2V-E6101"
