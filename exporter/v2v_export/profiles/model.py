"""The types of a profile. The field names are the keys of the TOML files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Backend = Literal["onnxruntime", "tensorrt"]


@dataclass(frozen=True)
class Figure:
    """One number with where it comes from.

    Attributes:
        value: positive and finite, in the unit that the field's name ends with.
        source: the vendor's document that prints it, or how it was found.
        approximate: True if no document prints it: computed from other figures, measured, or set by hand.
    """

    value: float
    source: str
    approximate: bool = False


@dataclass(frozen=True)
class Choice:
    """The form in which one family of operations is exported, and why this one."""

    form: str
    why: str


@dataclass(frozen=True)
class Profile:
    """What the toolchain knows of one machine that plays bundles.

    Attributes:
        name: what ``--gpu`` takes; the file's name without its suffix.
        title: one line for lists.
        backend: the default backend.
        precision: type of weights and activations; norms, softmax and sampling positions stay float32.
        memory_gib: memory that the device has.
        reserve_gib: the part of it that a stream never gets: driver, context, display, error correction.
        bandwidth_gbs: GB/s (1e9) between the device's memory and the chip, at most.
        fp32_tflops: TFLOP/s (1e12; a multiply-add is two) in float32, without TF32.
        l2_mib: last-level cache.
        fp16_tflops: dense tensor-core TFLOP/s with float16 inputs and float16 accumulation, the device's
            fastest float16 rate; None where float16 has no fast path.
        fp16_fp32acc_tflops: the same with float32 accumulation; GeForce boards run it at half the rate.
        compute_capability: CUDA compute capability such as ``8.9``; None for a CPU.
        workspace_mib: what a builder may give one layer as scratch; None: no cap. TensorRT for RTX compiles
            a network into few large layers whose scratch is all their activations: this caps those.
        fallbacks: other backends that can serve this profile, best first.
        options: backend -> what its builder and runtime are told, such as TensorRT's flavour.
        lowering: backend -> operation family -> choice.
        note: a word for the user where the default needs explaining.
    """

    name: str
    title: str
    backend: Backend
    precision: Literal["fp16", "fp32"]
    memory_gib: Figure
    reserve_gib: Figure
    bandwidth_gbs: Figure
    fp32_tflops: Figure
    l2_mib: Figure
    fp16_tflops: Figure | None = None
    fp16_fp32acc_tflops: Figure | None = None
    compute_capability: str | None = None
    workspace_mib: int | None = None
    fallbacks: tuple[Backend, ...] = ()
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lowering: Mapping[str, Mapping[str, Choice]] = field(default_factory=dict)
    note: str = ""

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The default backend, then the fallbacks."""
        return (self.backend, *self.fallbacks)

    @property
    def float_type(self) -> Literal["float16", "float32"]:
        """``precision`` in the manifest's words: what a variant for this profile calls float."""
        return "float16" if self.precision == "fp16" else "float32"

    @property
    def sm(self) -> str | None:
        """The compute capability as CUDA names it, such as ``SM89``; None for a CPU."""
        return None if self.compute_capability is None else "SM" + self.compute_capability.replace(".", "")

    def forms(self, backend: Backend | None = None) -> dict[str, str]:
        """Operation family -> form, for the default backend or another of ``backends``."""
        return {
            family: choice.form for family, choice in self.lowering.get(backend or self.backend, {}).items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Every field, resolved, as plain data: for engine keys, provenance and ``--json``."""
        return asdict(self)
