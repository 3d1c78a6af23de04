"""Functions appear for the ops that a model uses, in the lowering that was chosen, and for nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import v2v_plugins
from onnx import defs, helper, parser
from plugins.ada_bd.cases import bare_model, make
from v2v_plugins.errors import PluginError


def model_of_three(kind: str = "AdaBD") -> onnx.ModelProto:
    """A node at the top, one inside an If, and one inside somebody else's function."""
    return parser.parse_model(
        f"""<ir_version: 7, opset_import: ["": 19, "v2v": 1, "theirs": 1]>
        nested (bool c, float[1,4,8,8] T, float[1,18,8,8] p, float[1,9,8,8] m, float[4,4,3,3] w)
          => (float[1,4,8,8] Y) {{
          Y = If (c) <then_branch = a () => (float[1,4,8,8] y) {{ y = v2v.{kind} (T, T, p, m, w) }},
                      else_branch = b () => (float[1,4,8,8] z) {{ z = theirs.Twice (T, p, m, w) }}>
        }}
        <domain: "theirs", opset_import: ["": 19, "v2v": 1]>
        Twice (T, p, m, w) => (Z) {{
          X = v2v.{kind} (T, T, p, m, w)
          Z = Add (X, X)
        }}"""
    )


def functions(model: onnx.ModelProto) -> dict[tuple[str, str], str]:
    return {(item.domain, item.name): item.doc_string for item in model.functions}


@pytest.mark.parametrize(
    ("lowering", "chosen"),
    [
        ("scan", "scan"),
        ({"deform": "gridsample", "norm": "x"}, "gridsample"),
        ({"deform": "gridsample", "AdaBD": "deformconv"}, "deformconv"),
        ({}, "gather"),
    ],
)
def test_the_choice_is_by_name_then_family_then_default(lowering: str | dict[str, str], chosen: str) -> None:
    model = bare_model(make("smallest"))
    assert v2v_plugins.attach_bodies(model, lowering) == ["AdaBD"]
    assert functions(model) == {("v2v", "AdaBD"): f"v2v::AdaBD, lowering {chosen}"}


def test_a_second_body_takes_the_first_ones_place() -> None:
    model, fresh = bare_model(make("smallest")), bare_model(make("smallest"))
    v2v_plugins.attach_bodies(model, "gather")
    v2v_plugins.attach_bodies(model, "scan")
    v2v_plugins.attach_bodies(fresh, "scan")
    assert model.SerializeToString(deterministic=True) == fresh.SerializeToString(deterministic=True)


def test_nodes_in_branches_and_functions_are_found() -> None:
    model = model_of_three()
    assert v2v_plugins.attach_bodies(model, "gather") == ["AdaBD"]
    assert set(functions(model)) == {("theirs", "Twice"), ("v2v", "AdaBD")}
    assert model.ir_version == 8  # the first with functions
    onnx.checker.check_model(model)


def test_a_model_without_our_ops_is_left_alone() -> None:
    model = parser.parse_model(
        '<ir_version: 7, opset_import: ["": 17]> g (float[1] x) => (float[1] y) { y = Relu(x) }'
    )
    before = model.SerializeToString()
    assert v2v_plugins.attach_bodies(model, "no such lowering") == []
    assert model.SerializeToString() == before


def test_the_domain_is_imported_where_it_was_not() -> None:
    model = bare_model(make("smallest"))
    del model.opset_import[1]
    v2v_plugins.attach_bodies(model, "gather")
    assert {item.domain: item.version for item in model.opset_import} == {"": 19, "v2v": 1}


@pytest.mark.parametrize(
    ("code", "model", "lowering", "words"),
    [
        ("V2V-E7701", model_of_three("AdaBC"), "gather", "v2v::AdaBC"),
        ("V2V-E7702", bare_model(make("smallest")), {"deform": "griddsample"}, "griddsample"),
        ("V2V-E7703", bare_model(make("smallest"), opset=18), "deformconv", "from 19 to 26"),
        ("V2V-E7703", bare_model(make("smallest"), opset=20), "gridsample", "GridSample-20"),
        (
            "V2V-E7704",
            helper.make_model(bare_model(make("smallest")).graph, opset_imports=[]),
            "gather",
            "damaged",
        ),
    ],
)
def test_refusals_leave_the_model_alone(
    code: str, model: onnx.ModelProto, lowering: str | dict[str, str], words: str
) -> None:
    if code == "V2V-E7704":
        del model.opset_import[:]
    before = model.SerializeToString(deterministic=True)
    with pytest.raises(PluginError, match=words) as caught:
        v2v_plugins.attach_bodies(model, lowering)
    assert caught.value.code == code
    assert model.SerializeToString(deterministic=True) == before


def test_schemas_register_once_and_check_nodes() -> None:
    v2v_plugins.register_schemas()
    v2v_plugins.register_schemas()
    schema = defs.get_schema("AdaBD", 1, "v2v")
    assert [item.name for item in schema.inputs] == ["T", "F_star", "offset", "mask", "weight"]
    model = bare_model(make("smallest"))
    del model.graph.node[0].input[4]
    with pytest.raises(onnx.checker.ValidationError, match="AdaBD"):
        onnx.checker.check_model(model)


def test_every_folder_with_an_op_is_found() -> None:
    root = Path(v2v_plugins.__file__).parent
    folders = sorted(path.parent.name for path in root.glob("*/schema.py"))
    assert [op.package.split(".")[-1] for op in v2v_plugins.OPS.values()] == folders
    for op in v2v_plugins.OPS.values():
        assert op.schema.name == op.name
        assert op.schema.domain == v2v_plugins.DOMAIN
        here = {path.name for path in (root / op.package.split(".")[-1]).glob("*.py")}
        assert here >= {"__init__.py", "schema.py", "body.py", "reference.py", "torch_op.py", "tensorrt.py"}


def test_importing_the_ops_imports_neither_torch_nor_onnx() -> None:
    script = (
        "import sys, v2v_plugins; assert v2v_plugins.OPS; assert not {'torch', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
