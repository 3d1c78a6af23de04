"""The three flavours of TensorRT that one builder serves, and which of them are installed.

All are driven through the subset of the API that they share; what differs is asked of the module with
``hasattr``. TensorRT for RTX (``rtx``) builds for GPUs that are not there. TensorRT 10 and 11 build for the
GPU that they run on, and no test of this project has run them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from v2v_plugins import trt_loader

from v2v_export.errors import BuildError

RTX_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""What TensorRT for RTX can target. Hopper (9.0) is not among them."""


@dataclass(frozen=True)
class Flavour:
    """One flavour.

    Attributes:
        name: as profiles write it.
        title: as people call it.
        distributions: those that carry its bindings, any one of which will do.
        package: its package, as ``v2v_plugins.trt_loader`` calls it.
        major: of its version, where several flavours share a package.
        install: what to do to have it.
        elsewhere: it builds for GPUs that this machine does not have.
    """

    name: str
    title: str
    distributions: tuple[str, ...]
    package: Literal["rtx", "full"]
    major: int | None
    install: str
    elsewhere: bool

    def version(self) -> str | None:
        """The installed version, from metadata: nothing is imported. None: it is not installed."""
        for distribution in self.distributions:
            try:
                found = version(distribution)
            except PackageNotFoundError:
                continue
            if self.major is None or found.partition(".")[0] == str(self.major):
                return found
        return None

    def load(self) -> Any:
        """The module.

        Raises:
            BuildError: it is not installed (V2V-E7201).
            BackendError: it is, and cannot be imported (V2V-E4701).
        """
        if self.version() is None:
            raise BuildError(
                "V2V-E7201",
                f"{self.title} is not installed",
                "",
                f"{self.install}, or choose backend onnxruntime in the profile",
            )
        return trt_loader.load(self.package)


def _full(major: int) -> Flavour:
    return Flavour(
        name=str(major),
        title=f"TensorRT {major}",
        distributions=("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
        package="full",
        major=major,
        install=f"install NVIDIA's tensorrt wheels, version {major}, on the machine with the GPU",
        elsewhere=False,
    )


FLAVOURS: Mapping[str, Flavour] = {
    "rtx": Flavour(
        name="rtx",
        title="TensorRT for RTX",
        distributions=("tensorrt-rtx", "tensorrt-rtx-cu12-bindings", "tensorrt-rtx-cu13-bindings"),
        package="rtx",
        major=None,
        install="install v2v-export[rtx]",
        elsewhere=True,
    ),
    "11": _full(11),
    "10": _full(10),
}
"""Name -> flavour, the first installed one gives the builder's version."""
