"""v2v-runtime: plays a bundle as a stateful stream, without torch.

>>> import v2v_runtime
>>> bundle = v2v_runtime.Bundle.open("my.bundle")
>>> with v2v_runtime.Stream(bundle) as stream:
...     for frame in frames:  # uint8 [H, W, 3], RGB
...         for shown in stream.push(frame):
...             show(shown.rgb8, shown.timestamp)

The names below are the public ones. Each is imported when it is first used, so that importing the package, or
one of its modules, costs no more than what is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from v2v_runtime.bundle import Bundle
    from v2v_runtime.counters import Counters
    from v2v_runtime.errors import (
        BackendError,
        BundleError,
        ManifestError,
        MediaError,
        StreamError,
        V2VError,
    )
    from v2v_runtime.frames import OutputFrame
    from v2v_runtime.selftest import SelfTestReport
    from v2v_runtime.session import Session
    from v2v_runtime.snapshot import Snapshot
    from v2v_runtime.stream import Stream

__all__ = [
    "BackendError",
    "Bundle",
    "BundleError",
    "Counters",
    "ManifestError",
    "MediaError",
    "OutputFrame",
    "SelfTestReport",
    "Session",
    "Snapshot",
    "Stream",
    "StreamError",
    "V2VError",
    "__version__",
]

__version__ = "0.1.0"

_MODULES = {
    "Bundle": "bundle",
    "Counters": "counters",
    "OutputFrame": "frames",
    "SelfTestReport": "selftest",
    "Session": "session",
    "Snapshot": "snapshot",
    "Stream": "stream",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
