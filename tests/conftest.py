"""What holds for all tests."""

from __future__ import annotations

import os
import signal

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them every process that
# they start to see what Ctrl-C does to it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests import ONNX Runtime themselves, and its first import decides: nothing is sent from them.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
