"""A bundle that is right in everything."""

from __future__ import annotations

import pytest
from support.toy_system import ToyModel, toy_bundle
from v2v_runtime.bundle import Bundle


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return toy_bundle(tmp_path_factory.mktemp("sound") / "toy.v2v", ToyModel())
