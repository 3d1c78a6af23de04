from __future__ import annotations

import pytest
from support.micro_stream import Bundles


@pytest.fixture(scope="package")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """Exported once for the whole folder."""
    return Bundles(tmp_path_factory.mktemp("bundles"))
