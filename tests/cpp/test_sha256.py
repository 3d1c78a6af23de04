"""Hashing where OpenSSL refuses it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

MANIFEST = Path(__file__).parents[1] / "conformance" / "manifests" / "valid" / "minimal.json"
ONLY_THE_NULL_PROVIDER = """openssl_conf = init
[init]
providers = providers
[providers]
null = active
[active]
activate = 1
"""


def test_a_refusal_of_openssl_is_told_as_one(cpp_build: Path, tmp_path: Path) -> None:
    """A configuration without OpenSSL's own provider; it is no lack of memory."""
    config = tmp_path / "openssl.cnf"
    config.write_text(ONLY_THE_NULL_PROVIDER)
    done = subprocess.run(
        [cpp_build / "v2v_driver"],
        input=f"manifest {MANIFEST}\n",
        env={**os.environ, "OPENSSL_CONF": str(config)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["code"] == "V2V-E3105"
    assert "OpenSSL refuses SHA-256" in answer["message"]
