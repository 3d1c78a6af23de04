"""What is measured: Shortcut-V2V at the paper's size, random weights of fixed seeds, and smaller copies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from v2v_export.profiles import Profile, load_profile
from v2v_export.profiles.model import Choice
from v2v_export.registry import find_system

SCHEDULES = ("shortcut", "teacher")
"""What a refreshing frame shows; both refresh on every ``interval``-th frame."""

FORMS: tuple[str, ...] = tuple(find_system("shortcut_v2v").lowerings["deform"])
"""Every form of the local sampling."""

HALF_FORMS = ("gather", "gridsample")
"""The forms that GPU variants use; DeformConv in float16 has no kernel on the CPU."""

GPU = "rtx4090"
"""The profile whose engines are built and whose other lowerings the float16 graphs have."""


@dataclass(frozen=True)
class Case:
    """One size of the system.

    Attributes:
        height, width: of the frames.
        ngf, n_blocks: the teacher's width and residual blocks.
        hidden: the block's width h.
        level: dependence level.
        interval: alpha, at least 3: the speed part tells plain shortcut frames from those after a refresh.
        frames: frames of the clip that parity plays.
        blocks: turns of each side in the speed part.
        threads: threads of ONNX Runtime and of torch.
    """

    height: int = 256
    width: int = 512
    ngf: int = 64
    n_blocks: int = 6
    hidden: int = 64
    level: str = "medium"
    interval: int = 3
    frames: int = 64
    blocks: int = 12
    threads: int = 2

    @property
    def forced_frames(self) -> int:
        """Frames that are played teacher-forced: the first one, two intervals, and one more step."""
        return min(self.frames, 2 * self.interval + 2)

    def recipe(self, name: str, schedule: str, verify: str = "") -> str:
        """The recipe as TOML; ``verify`` is the content of its ``[verify]``."""
        return (
            f'name = "{name}"\nsystem = "shortcut_v2v"\n'
            f"[frame]\nheight = {self.height}\nwidth = {self.width}\n"
            '[weights]\nteacher = "random:0"\nshortcut = "random:0"\n'
            f'[options]\nlevel = "{self.level}"\ninterval = {self.interval}\nschedule = "{schedule}"\n'
            f"ngf = {self.ngf}\nn_blocks = {self.n_blocks}\nhidden = {self.hidden}\n"
            f"[verify]\n{verify}\n"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**dataclasses.asdict(self), "weights": {"teacher": "random:0", "shortcut": "random:0"}}


def cpu_form() -> str:
    """The form of the local sampling that the ``cpu`` profile chooses."""
    return load_profile("cpu").forms()["deform"]


def cpu_profile(case: Case, form: str) -> Profile:
    """The ``cpu`` profile with another form of the local sampling, as ``cpu-<form>``."""
    return _profile(case, f"cpu-{form}", load_profile("cpu"), form)


def half_profile(case: Case, form: str) -> Profile:
    """A GPU's graphs (float16, its lowerings but for the local sampling) on the CPU provider."""
    return dataclasses.replace(
        _profile(case, f"half-{form}", load_profile(GPU), form),
        precision="fp16",
        title=f"the float16 graphs of {GPU}, played on a CPU",
    )


def _profile(case: Case, name: str, forms_of: Profile, form: str) -> Profile:
    cpu = load_profile("cpu")
    lowering: Mapping[str, Choice] = {
        **forms_of.lowering[forms_of.backend],
        "deform": Choice(form, "every form is measured"),
    }
    options: Mapping[str, Any] = {**cpu.options.get("onnxruntime", {}), "threads": case.threads}
    return dataclasses.replace(
        cpu,
        name=name,
        note="",
        options={"onnxruntime": options},
        lowering={"onnxruntime": lowering},
    )
