"""TensorRT plugins of the custom ops: everything that a build needs, made from an op's description.

TensorRT takes a plugin in the body's place where the ONNX parser's flag ENABLE_PLUGIN_OVERRIDE is set and its
creator is registered. No plugin has a GPU kernel yet: running an engine that holds one raises, so profiles
keep the bodies.

All tensors are linear. The first input is float32 or float16, and the output has its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from v2v_plugins.errors import BackendError

VERSION = "1"
NAMESPACE = ""

Rule = Literal["same", "wide", "bool"]
"""The type of an input: ``same`` as the first one's; ``wide``, that or float32; ``bool``."""


@dataclass(frozen=True)
class Plugin:
    """What TensorRT has to know of an op with one output and no attributes.

    Attributes:
        inputs: name -> rule of its type, in the schema's order; the first one is ``same``.
        output: each axis of the output as the input and axis that it is as long as.
    """

    inputs: Mapping[str, Rule]
    output: tuple[tuple[str, int], ...]


def make_creator(trt: Any, op: str, plugin: Plugin) -> Any:
    """The creator of the plugin of ``op``: an ``IPluginCreatorV3One`` of the TensorRT module ``trt``.

    Register it with ``trt.get_plugin_registry().register_creator(creator, NAMESPACE)`` and keep a reference
    to it for as long as builders, parsers and runtimes live.
    """
    made = _plugin_class(trt, op, plugin)

    # The base is known only when TensorRT is loaded, so it is untyped.
    class Creator(trt.IPluginCreatorV3One):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IPluginCreatorV3One.__init__(self)
            self.name, self.plugin_version, self.plugin_namespace = op, VERSION, NAMESPACE
            self.field_names = trt.PluginFieldCollection([])

        def create_plugin(self, name: str, fields: Any, phase: Any) -> Any:
            return made()

    return Creator()


def _plugin_class(trt: Any, op: str, plugin: Plugin) -> Any:
    bases = trt.IPluginV3, trt.IPluginV3OneCore, trt.IPluginV3OneBuild, trt.IPluginV3OneRuntime
    base, core, build, run = bases
    names, rules = list(plugin.inputs), list(plugin.inputs.values())

    # As above.
    class Made(base, core, build, run):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            # Each base is initialised by itself: pybind11 classes do not take part in super().
            for item in bases:
                item.__init__(self)
            self.plugin_name, self.plugin_version, self.plugin_namespace = op, VERSION, NAMESPACE
            self.num_outputs = 1
            self.timing_cache_id = ""

        def get_capability_interface(self, kind: Any) -> Any:
            return self

        def clone(self) -> Any:
            return Made()

        def get_output_data_types(self, input_types: list[Any]) -> list[Any]:
            return [input_types[0]]

        def get_output_shapes(self, inputs: list[Any], shape_inputs: list[Any], builder: Any) -> list[Any]:
            shape = trt.DimsExprs(len(plugin.output))
            for axis, (source, index) in enumerate(plugin.output):
                shape[axis] = inputs[names.index(source)][index]
            return [shape]

        def supports_format_combination(self, pos: int, in_out: list[Any], num_inputs: int) -> bool:
            if num_inputs != len(rules):
                return False
            this, first = in_out[pos].desc, in_out[0].desc
            if this.format != trt.TensorFormat.LINEAR:
                return False
            if pos == 0:
                return this.type in (trt.DataType.FLOAT, trt.DataType.HALF)
            rule = rules[pos] if pos < num_inputs else "same"
            if rule == "bool":
                return bool(this.type == trt.DataType.BOOL)
            return bool(this.type == first.type or (rule == "wide" and this.type == trt.DataType.FLOAT))

        def configure_plugin(self, inputs: list[Any], outputs: list[Any]) -> None:
            """Nothing to choose: one tactic, no workspace."""

        def on_shape_change(self, inputs: list[Any], outputs: list[Any]) -> None:
            """Nothing depends on the shape."""

        def attach_to_context(self, context: Any) -> Any:
            return self.clone()

        def get_fields_to_serialize(self) -> Any:
            """The op has no attributes: its plan holds name, version and namespace alone."""
            return trt.PluginFieldCollection([])

        def set_tactic(self, tactic: int) -> None:
            """One tactic."""

        def enqueue(
            self, input_desc: Any, output_desc: Any, inputs: Any, outputs: Any, workspace: int, stream: int
        ) -> None:
            raise BackendError(
                "V2V-E4704",
                f"an engine that holds the plugin {op} was run",
                "an engine built from the op's portable body: the plugin has no GPU kernel yet",
                "build the engine without ENABLE_PLUGIN_OVERRIDE",
            )

    return Made
