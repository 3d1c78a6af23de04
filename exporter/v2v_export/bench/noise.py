"""Whether the machine was fit to measure on, by its own count of processor time and never by the figures."""

from __future__ import annotations

import time

from v2v_export.bench.host import FOREIGN, HostSpan, HostWatch


class NoiseWatch:
    """Watches the machine from its making to ``stop``, while this process measures."""

    def __init__(self) -> None:
        self._host, self._own = HostWatch(), time.process_time()

    def stop(self) -> tuple[str, ...]:
        """Why no verdict can be had from what was measured since; empty if nothing is known against it."""
        return noise_of(self._host.stop(time.process_time() - self._own))


def noise_of(span: HostSpan, limit: float = FOREIGN) -> tuple[str, ...]:
    """What disturbs a measurement, in words.

    Args:
        limit: cores' worth of other processes' work that is still no disturbance.
    """
    crowd = []
    if span.foreign is not None and span.foreign > limit:
        crowd.append(f"other processes use {span.foreign:.2f} cores (limit {limit:.2f})")
    return (*crowd, *span.throttled)
