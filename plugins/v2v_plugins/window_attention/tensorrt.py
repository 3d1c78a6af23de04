"""TensorRT plugin of ``v2v::WindowAttention``: everything that a build needs, and no GPU kernel yet.

TensorRT takes it in the body's place where the ONNX parser's flag ENABLE_PLUGIN_OVERRIDE is set and its
creator is registered. Running an engine that holds it raises, so profiles keep the body.

Types: all tensors of one type, float32 or float16, but ``opened``, which is bool. Linear layout.
"""

from __future__ import annotations

from typing import Any

from v2v_plugins.errors import BackendError

NAME = "WindowAttention"
VERSION = "1"
NAMESPACE = ""

INPUTS = ("query", "own", "sinks", "ring", "moves", "opened")


def creator(trt: Any) -> Any:
    """A plugin creator, an ``IPluginCreatorV3One`` of the TensorRT module ``trt``.

    Register it with ``trt.get_plugin_registry().register_creator(creator, NAMESPACE)`` and keep a reference
    to it for as long as builders, parsers and runtimes live.
    """
    base, core, build, run = (
        trt.IPluginV3,
        trt.IPluginV3OneCore,
        trt.IPluginV3OneBuild,
        trt.IPluginV3OneRuntime,
    )

    # The bases are known only when TensorRT is loaded, so they are untyped.
    class WindowAttentionPlugin(base, core, build, run):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            # Each base is initialised by itself: pybind11 classes do not take part in super().
            for item in (base, core, build, run):
                item.__init__(self)
            self.plugin_name, self.plugin_version, self.plugin_namespace = NAME, VERSION, NAMESPACE
            self.num_outputs = 1
            self.timing_cache_id = ""

        def get_capability_interface(self, kind: Any) -> Any:
            return self

        def clone(self) -> Any:
            return WindowAttentionPlugin()

        def get_output_data_types(self, input_types: list[Any]) -> list[Any]:
            return [input_types[0]]

        def get_output_shapes(self, inputs: list[Any], shape_inputs: list[Any], builder: Any) -> list[Any]:
            """The query's shape."""
            return [inputs[0]]

        def supports_format_combination(self, pos: int, in_out: list[Any], num_inputs: int) -> bool:
            if num_inputs != len(INPUTS):
                return False
            this, first = in_out[pos].desc, in_out[0].desc
            if this.format != trt.TensorFormat.LINEAR:
                return False
            if pos == 0:
                return this.type in (trt.DataType.FLOAT, trt.DataType.HALF)
            if pos == INPUTS.index("opened"):
                return bool(this.type == trt.DataType.BOOL)
            return bool(this.type == first.type)

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
                "an engine that holds the plugin WindowAttention was run",
                "an engine built from the op's portable body: the plugin has no GPU kernel yet",
                "build the engine without ENABLE_PLUGIN_OVERRIDE",
            )

    # As above.
    class WindowAttentionCreator(trt.IPluginCreatorV3One):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IPluginCreatorV3One.__init__(self)
            self.name, self.plugin_version, self.plugin_namespace = NAME, VERSION, NAMESPACE
            self.field_names = trt.PluginFieldCollection([])

        def create_plugin(self, name: str, fields: Any, phase: Any) -> Any:
            return WindowAttentionPlugin()

    return WindowAttentionCreator()
