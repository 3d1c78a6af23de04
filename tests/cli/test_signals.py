"""A signal that comes in a callback, from which nothing can be raised, ends the command all the same."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys, time, weakref
from v2v_export.cli._signals import ended_by_signals

class Thing:
    pass

def finalised(reference):
    os.kill(os.getpid(), NUMBER)
    for _ in range(100):
        pass  # the interpreter raises here, and goes no further than this function

NUMBER, reached = int(sys.argv[1]), False
try:
    with ended_by_signals(143):
        thing = Thing()
        kept = weakref.ref(thing, finalised)
        del thing
        reached = True
        for _ in range(1000):
            time.sleep(0.01)
        print("went on")
except BaseException as error:
    print(type(error).__name__, getattr(error, "code", None), reached)
"""


@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGTERM, "Terminated 143 True"), (signal.SIGINT, "KeyboardInterrupt None True")],
)
def test_a_signal_that_got_lost_is_sent_again(number: signal.Signals, told: str) -> None:
    """``reached``: it did get lost at first."""
    command = [sys.executable, "-c", SCRIPT, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == told
    assert done.stderr == ""


def test_other_errors_of_callbacks_are_told_as_before() -> None:
    script = SCRIPT.replace("os.kill(os.getpid(), NUMBER)", "raise ValueError('of a callback')")
    script = script.replace("range(1000)", "range(10)")
    done = subprocess.run([sys.executable, "-c", script, "0"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "went on"
    assert "ValueError: of a callback" in done.stderr
