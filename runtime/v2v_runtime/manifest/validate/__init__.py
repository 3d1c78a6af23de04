"""Checks what types cannot say: one file per family of rules, run in a fixed order.

Names are checked in the order of their code points, wherever they stand in the file: of several mistakes
every reader, in any language, tells the same one.
"""

from __future__ import annotations

from v2v_runtime.manifest.model import Manifest
from v2v_runtime.manifest.validate.bindings import bind_phase
from v2v_runtime.manifest.validate.emission import check_emission
from v2v_runtime.manifest.validate.features import check_calls
from v2v_runtime.manifest.validate.files import blob_types, check_files, validate_target
from v2v_runtime.manifest.validate.params import check_changed, check_limits
from v2v_runtime.manifest.validate.schedule import check_phase_order, check_schedule
from v2v_runtime.manifest.validate.scope import check_graphs, check_one_stream, declare
from v2v_runtime.manifest.validate.usage import check_max_frames, check_usage
from v2v_runtime.manifest.validate.variants import check_overrides, check_selftest, check_variant_graphs

__all__ = ["blob_types", "validate", "validate_target"]


def validate(manifest: Manifest) -> None:
    """Checks a manifest whose types are right.

    Raises:
        ManifestError: the first mistake found, V2V-E2021 and above.
    """
    program = manifest.program
    check_one_stream(program)
    check_files(manifest)
    check_variant_graphs(manifest)
    check_selftest(manifest)
    check_graphs(manifest.graphs)
    declared = declare(manifest)
    check_limits(program)
    check_phase_order(program)
    scopes = [bind_phase(manifest, index, declared) for index in range(len(program.phases))]
    for scope in scopes:
        check_calls(scope)
        check_schedule(scope)
    check_changed(scopes)
    check_overrides(manifest, scopes)
    check_max_frames(manifest, [check_emission(scope) for scope in scopes])
    check_usage(manifest, scopes)
