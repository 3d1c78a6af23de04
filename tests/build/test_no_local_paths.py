"""No artefact tells where it was built, or by whom."""

from __future__ import annotations

import getpass
import socket
import sys
from pathlib import Path
from typing import Any

import v2v_export
from v2v_export.build import build
from v2v_export.profiles import load_profile
from v2v_export.recipe import load_recipe
from v2v_export.store import Store


def test_no_file_of_a_bundle_holds_a_local_path(
    warm: Any, warm_store: Store, recipe_path: Path, tmp_path: Path
) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    shapes = {
        "encode.weight": (16, 3, 3, 3),
        "encode.bias": 16,
        "decode.weight": (3, 16, 3, 3),
        "decode.bias": 3,
    }
    tensors = {name: np.full(shape, 0.1, np.float32) for name, shape in shapes.items()}
    save_file(tensors, recipe_path.parent / "net.safetensors")
    recipe_path.write_text(recipe_path.read_text().replace("random:7", "net.safetensors"))
    out = tmp_path / "out.v2v"
    build(load_recipe(recipe_path), out, [load_profile("cpu")], store=warm_store, verify=False)
    package = Path(v2v_export.__file__).resolve()
    secrets = {
        "the sources": package.parents[2],
        "the sources' folder": package.parent,
        "the tests": Path(__file__).resolve().parent,
        "home": Path.home(),
        "the interpreter": Path(sys.prefix),
        "the recipe": recipe_path.parent,
        "the temporary folder": tmp_path.parent,
        "the store": warm_store.root,
    }
    for bundle in (out, warm.bundle):
        files = [path for path in bundle.rglob("*") if path.is_file()]
        assert len(files) >= 9
        for path in files:
            data = path.read_bytes()
            for what, secret in secrets.items():
                assert str(secret).encode() not in data, f"{path.name} holds the path of {what}"
            if path.suffix == ".json":
                text = data.decode()
                assert socket.gethostname() not in text
                assert f'"{getpass.getuser()}"' not in text
                assert "/tmp" not in text
            if path.suffix == ".onnx":
                assert b"stack_trace" not in data
                assert b"name_scopes" in data, "nodes still tell their modules"
