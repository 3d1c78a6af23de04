"""What a plugin tells the builder, by the op's description; against a stand-in, and the real classes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import v2v_plugins
from v2v_plugins import trt_loader
from v2v_plugins.errors import BackendError

OPS = sorted(v2v_plugins.OPS)


TRT = SimpleNamespace(
    IPluginV3=type("IPluginV3", (), {}),
    IPluginV3OneCore=type("IPluginV3OneCore", (), {}),
    IPluginV3OneBuild=type("IPluginV3OneBuild", (), {}),
    IPluginV3OneRuntime=type("IPluginV3OneRuntime", (), {}),
    IPluginCreatorV3One=type("IPluginCreatorV3One", (), {}),
    PluginFieldCollection=list,
    DimsExprs=lambda rank: [None] * rank,
    DataType=SimpleNamespace(FLOAT="float", HALF="half", BOOL="bool"),
    TensorFormat=SimpleNamespace(LINEAR="linear"),
)

# Inputs and then the output, as each op's docstring gives them.
TAKEN = {
    "AdaBD": {
        "float half half half half half": False,
        "half half half half half half": True,
        "float float float float float float": True,
        "half half float half half half": True,
        "half half half float half half": False,
        "half half half half half float": False,
        "bool bool bool bool bool bool": False,
    },
    "WindowAttention": {
        "half half half half half bool half": True,
        "float float float float float bool float": True,
        "half half half half half half half": False,
        "half half half half float bool half": False,
        "half half half half half bool float": False,
    },
}
"""Op -> types of its tensors -> whether it takes them together."""

SHAPES = {
    "AdaBD": ("N h H W,N h H W,N 18 H W,N 9 H W,o h 3 3", "N o H W"),
    "WindowAttention": ("T P n d,T P 2 n d,T 8 P 2 n d,8 T P 2 n d,9 T 2 n d,9 T", "T P n d"),
}
"""Op -> shapes of its inputs and of its output."""


def plugin_of(op: str) -> Any:
    return v2v_plugins.OPS[op].tensorrt_creator(TRT).create_plugin("node", [], None)


def takes(plugin: Any, types: list[str], layout: str = "linear") -> bool:
    """Asked as the builder asks: each tensor in turn, with what stands before it."""
    tensors = [SimpleNamespace(desc=SimpleNamespace(type=item, format=layout)) for item in types]
    return all(plugin.supports_format_combination(at, tensors, len(types) - 1) for at in range(len(types)))


def test_every_op_is_tried() -> None:
    assert OPS == sorted(TAKEN) == sorted(SHAPES)


@pytest.mark.parametrize(("op", "types"), [(op, types) for op in OPS for types in TAKEN[op]])
def test_types_that_go_together(op: str, types: str) -> None:
    assert takes(plugin_of(op), types.split()) is TAKEN[op][types]


@pytest.mark.parametrize("op", OPS)
def test_other_layouts_and_other_numbers_of_inputs_are_refused(op: str) -> None:
    plugin = plugin_of(op)
    good = next(types for types, taken in TAKEN[op].items() if taken).split()
    assert takes(plugin, good)
    assert not takes(plugin, good, layout="chw32")
    assert not takes(plugin, good[:-1])


@pytest.mark.parametrize("op", OPS)
def test_the_output_has_the_schemas_shape_and_the_first_inputs_type(op: str) -> None:
    plugin = plugin_of(op).clone()
    inputs, output = SHAPES[op]
    assert plugin.get_output_shapes([shape.split() for shape in inputs.split(",")], [], None) == [
        output.split()
    ]
    assert plugin.get_output_data_types(["first", "second"]) == ["first"]


@pytest.mark.parametrize("op", OPS)
def test_the_inputs_are_the_schemas(op: str) -> None:
    """In order: TensorRT knows them by their places alone."""
    schema = v2v_plugins.OPS[op].schema
    described = v2v_plugins.OPS[op].tensorrt_plugin
    assert list(described.inputs) == [item.name for item in schema.inputs]
    allowed = {item.type_param_str: item.allowed_type_strs for item in schema.type_constraints}
    for item in schema.inputs:
        rule = described.inputs[item.name]
        assert (rule == "bool") is (set(allowed[item.type_str]) == {"tensor(bool)"})


@pytest.mark.skipif(trt_loader.find_tensorrt("rtx") is None, reason="TensorRT for RTX is not installed")
@pytest.mark.parametrize("op", OPS)
def test_running_a_plugin_says_that_it_has_no_kernel(op: str) -> None:
    trt = trt_loader.load("rtx")
    creator = v2v_plugins.OPS[op].tensorrt_creator(trt)
    assert (creator.name, creator.plugin_version, creator.plugin_namespace) == (op, "1", "")
    plugin = creator.create_plugin("node", trt.PluginFieldCollection([]), trt.TensorRTPhase.RUNTIME)
    with pytest.raises(BackendError, match=f"plugin {op} was run") as caught:
        plugin.clone().enqueue([], [], [], [], 0, 0)
    assert caught.value.code == "V2V-E4704"
