"""Commands as a script calls them: with ``--json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from v2v_export.cli import main


def told(capsys: pytest.CaptureFixture[str], *argv: str | Path, status: int = 0) -> Any:
    """What a command says as JSON."""
    capsys.readouterr()
    assert main([*map(str, argv), "--json"]) == status
    return json.loads(capsys.readouterr().out)
