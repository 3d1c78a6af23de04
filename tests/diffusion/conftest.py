"""Narrow networks of diffusers, in float32, as the judges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from v2v_export.diffusion.configs import ARCHITECTURES, build
from v2v_export.diffusion.random_weights import random_state


@pytest.fixture(autouse=True)
def _no_gradients() -> Any:
    with torch.no_grad():
        yield


@pytest.fixture
def literal() -> Callable[..., Any]:
    """Makes diffusers' or transformers' own network of an architecture, with ``random:SEED`` in float32."""

    def make(name: str, seed: int = 0) -> Any:
        of = ARCHITECTURES[name]
        network = build(of, "cpu")
        network.load_state_dict({key: item.float() for key, item in random_state(of, seed).items()})
        return network

    return make
