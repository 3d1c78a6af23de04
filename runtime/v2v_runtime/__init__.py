"""v2v-runtime: plays a bundle as a stateful stream, without torch.

>>> import v2v_runtime
>>> bundle = v2v_runtime.Bundle.open("my.bundle")
>>> with v2v_runtime.Stream(bundle) as stream:
...     for frame in frames:  # uint8 [H, W, 3], RGB
...         for shown in stream.push(frame):
...             show(shown.rgb8, shown.timestamp)
"""

from __future__ import annotations

from v2v_runtime.bundle import Bundle
from v2v_runtime.counters import Counters
from v2v_runtime.errors import BackendError, BundleError, ManifestError, MediaError, StreamError, V2VError
from v2v_runtime.frames import OutputFrame
from v2v_runtime.selftest import SelfTestReport
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
    "Snapshot",
    "Stream",
    "StreamError",
    "V2VError",
    "__version__",
]

__version__ = "0.1.0"
