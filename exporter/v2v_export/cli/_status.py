"""What is said of a target's status, in every command that shows targets."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from v2v_runtime.bundle import Bundle
    from v2v_runtime.manifest.model import Target


def status_words(target: Target) -> str:
    """``built, not run here`` is what a comparison came to; without one it is ``built, not verified``."""
    if target.status == "verified":
        return "verified here"
    return "built, not run here" if "verdict" in target.verification else "built, not verified"


def trust_hash(bundle: Bundle, target: Target) -> str:
    """The hash that stands for all engines of a target (``v2v_runtime.trust``)."""
    return hashlib.sha256(bundle.target_document(target)).hexdigest()
