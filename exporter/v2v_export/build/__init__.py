"""From a recipe to a published bundle."""

from __future__ import annotations

from v2v_export.build._build import BuildResult, build
from v2v_export.build.context import StageResult
from v2v_export.verify.request import Parity, ParityRequest, Verify

__all__ = ["BuildResult", "Parity", "ParityRequest", "StageResult", "Verify", "build"]
