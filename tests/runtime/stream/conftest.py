"""Bundles of the synthetic programs, written once per run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from conformance.programs import PROGRAMS
from conformance.programs.base import Synthetic
from v2v_runtime.bundle import Bundle


@dataclass(frozen=True)
class Written:
    """A synthetic program and the bundle of it."""

    synthetic: Synthetic
    bundle: Bundle


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Written]:
    made: dict[str, Written] = {}

    def write(name: str) -> Written:
        if name not in made:
            synthetic = PROGRAMS[name]()
            folder = tmp_path_factory.mktemp("bundles") / name
            made[name] = Written(synthetic, synthetic.write(folder))
        return made[name]

    return write
