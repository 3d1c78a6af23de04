"""A copy of a bundle, for a while, that shows its taps: one variant, one target, a slot for each tap.

A tap is an inner value of a graph (the picture before it becomes uint8, say) that a playing engine does not
hand out. Here each call writes its taps to slots of their own, which outlive the step and even its phase.
Graphs are loaded with the phases that call them: judging is in no hurry, and two UNets in float32 are more
than many machines hold. Attention over many samples runs one sample at a time, for the same reason (see
``attention``). Nothing else of the program is changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import onnx
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import Source, write_bundle, write_target
from v2v_runtime.manifest.model import Call, Manifest, Phase, Slot, Target, TensorSpec, Variant

from v2v_export.export.taps import surface
from v2v_export.verify.attention import sample_by_sample


class HasTaps(Protocol):
    """What is asked of a graph here; ``v2v_export.system.GraphSpec`` has it."""

    @property
    def name(self) -> str: ...
    @property
    def outputs(self) -> Mapping[str, TensorSpec]: ...
    @property
    def taps(self) -> Mapping[str, TensorSpec]: ...
    @property
    def dynamic_rows(self) -> Collection[str]: ...


@dataclass(frozen=True)
class TapSpec:
    """A graph's ports and taps as plain data, for a process without torch; see ``GraphSpec``."""

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    taps: Mapping[str, TensorSpec] = field(default_factory=dict)
    dynamic_rows: tuple[str, ...] = ()


def picture_taps(spec: HasTaps) -> dict[str, str]:
    """uint8 output port -> the tap with the float picture in [-1, 1] that it is made from.

    That is the tap ``<port>_float``, or else the graph's only tap of shape [E, 3, H, W].
    """
    found = {}
    for port, kind in spec.outputs.items():
        if kind.dtype != "uint8" or len(kind.shape) != 4:
            continue
        count, height, width, channels = kind.shape
        fitting = [tap for tap, of in spec.taps.items() if of.shape == (count, channels, height, width)]
        if f"{port}_float" in spec.taps:
            found[port] = f"{port}_float"
        elif len(fitting) == 1:
            found[port] = fitting[0]
    return found


@dataclass(frozen=True)
class Tapped:
    """The copy.

    Attributes:
        root: its folder.
        target: the name of its only target.
        graphs: graph -> the ONNX file with its taps as outputs.
        taps: (phase, call, tap) -> the slot that holds it.
        pictures: graph -> ``picture_taps``.
    """

    root: Path
    target: str
    graphs: Mapping[str, Path]
    taps: Mapping[tuple[str, str, str], str]
    pictures: Mapping[str, Mapping[str, str]]

    def picture(self, phase: Phase, calls: Sequence[str]) -> str | None:
        """The slot with the float picture that a step emitted; None where no tap shows it.

        Args:
            calls: the calls that ran in the step.
        """
        if phase.emit is None:
            return None
        for call in phase.calls:
            if call.name in calls:
                for port, binding in call.outputs.items():
                    if binding == phase.emit.tensor:
                        tap = self.pictures[call.graph].get(port, "")
                        return self.taps.get((phase.name, call.name, tap))
        return None


def tapped_copy(bundle: Bundle, target: Target, specs: Sequence[HasTaps], root: Path) -> Tapped:
    """Writes the copy: the variant that ``target`` plays, and ``target`` without engines.

    Args:
        target: need not lie in the bundle; every graph runs from its ONNX file.
        specs: the graphs, whose ``taps`` are surfaced.
        root: a folder that does not exist.
    """
    manifest = bundle.manifest
    taps = {spec.name: spec.taps for spec in specs}
    sources: dict[str, Source] = {}
    for graph, path in manifest.variants[target.variant].graphs.items():
        model = onnx.load_model(bundle.root / path, load_external_data=False)
        shown = surface(model, list(taps[graph]))
        sample_by_sample(shown)
        sources[path] = shown.SerializeToString(deterministic=True)
        for location in _external(model):
            data = Path(path).parent / location
            sources[data.as_posix()] = bundle.root / data
    for entry in manifest.files:
        if entry.path.startswith("blobs/"):
            sources[entry.path] = bundle.root / entry.path
    changed, names = _with_taps(manifest, target.variant, specs)
    write_bundle(root, changed, graphs=sources)
    plain = dataclasses.replace(target, status="built", files=(), engines={}, engine_key={}, counters={})
    write_target(root, plain)
    pictures = {spec.name: picture_taps(spec) for spec in specs}
    paths = {name: root / path for name, path in changed.variants[target.variant].graphs.items()}
    return Tapped(root, f"{target.profile}.{target.backend}", paths, names, pictures)


def _with_taps(
    manifest: Manifest, variant: str, specs: Sequence[HasTaps]
) -> tuple[Manifest, dict[tuple[str, str, str], str]]:
    taps = {
        # A tap with a row bucket has no whole value to look at.
        spec.name: {tap: kind for tap, kind in spec.taps.items() if tap not in spec.dynamic_rows}
        for spec in specs
    }
    names: dict[tuple[str, str, str], str] = {}
    added: dict[str, Slot] = {}

    def tapped(phase: Phase, call: Call) -> Call:
        outputs = dict(call.outputs)
        for tap, kind in taps[call.graph].items():
            name = f"verify_tap_{len(names)}"
            names[phase.name, call.name, tap] = name
            added[name] = Slot(kind.dtype, kind.shape)
            outputs[tap] = name
        return dataclasses.replace(call, outputs=outputs)

    phases = tuple(
        dataclasses.replace(phase, calls=tuple(tapped(phase, call) for call in phase.calls))
        for phase in manifest.program.phases
    )
    slots = {**manifest.program.slots, **added}
    program = dataclasses.replace(manifest.program, phases=phases, slots=slots)
    graphs = {
        name: dataclasses.replace(graph, outputs={**graph.outputs, **taps[name]}, resident="phase")
        for name, graph in manifest.graphs.items()
    }
    kept: dict[str, Variant] = {variant: manifest.variants[variant]}
    changed = dataclasses.replace(
        manifest, program=program, graphs=graphs, variants=kept, selftest=None, provenance={}
    )
    return changed, names


def _external(model: onnx.ModelProto) -> set[str]:
    """The files that hold a model's external weights, relative to it."""
    return {
        entry.value
        for tensor in model.graph.initializer
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
