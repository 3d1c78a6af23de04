"""Proof: the exported graphs and the stream they make, against torch and the literal reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from v2v_export.verify.request import Parity, ParityRequest


def build_parity(request: ParityRequest) -> Parity:
    """Parity as a stage of the build: what ``v2v_export.build`` calls for each target.

    Raises:
        VerdictError: a tensor left its tolerance; the first graph, step and tensor are named (V2V-E8001 to
            V2V-E8006).
    """
    from v2v_export.verify.parity import ParityJob, verify_target
    from v2v_export.verify.request import Parity

    report = verify_target(
        ParityJob(
            bundle=request.bundle,
            target=request.target,
            model=request.model,
            options=request.options,
            verify=request.recipe.verify,
            progress=request.progress.step,
            release=request.release,
            scratch=request.scratch,
        )
    )
    if report.miss is not None:
        raise report.miss.error(request.target)
    return Parity("verified" if report.ran else "built", report.as_dict())
