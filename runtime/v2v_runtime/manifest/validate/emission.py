"""What a phase hands over, and when it repeats its last frame instead."""

from __future__ import annotations

from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.codes import Code
from v2v_runtime.manifest.model import FrameSpec, Skip, TensorSpec
from v2v_runtime.manifest.reader import nearest
from v2v_runtime.manifest.validate.schedule import check_made
from v2v_runtime.manifest.validate.scope import A_KIND, PhaseScope, bound_name, writes


def check_emission(scope: PhaseScope) -> int:
    """Checks ``resets``, ``emit`` and ``skip`` of one phase.

    Returns:
        The most frames that one step of the phase hands over.

    Raises:
        ManifestError: V2V-E2040, E2044, E2063, E2068, E2076, E2077.
    """
    _check_resets(scope)
    frames = _check_emit(scope)
    if scope.phase.skip is not None:
        _check_skip(scope, scope.phase.skip, frames)
    return frames


def _check_resets(scope: PhaseScope) -> None:
    resets = scope.phase.resets
    for i, name in enumerate(resets):
        path = f"{scope.path}.resets[{i}]"
        if name not in scope.program.slots:
            raise ManifestError(
                Code.UNKNOWN_NAME, path, f"there is no slot {name!r}", "", nearest(name, scope.program.slots)
            )
        if name in resets[:i]:
            raise ManifestError(Code.NAME_TAKEN, path, f"{name!r} twice", "each slot once")


def _check_emit(scope: PhaseScope) -> int:
    emit, phase, path = scope.phase.emit, scope.phase, f"{scope.path}.emit"
    if emit is None:
        if phase.steps == "forever":
            raise ManifestError(Code.EMIT, path, "the last phase hands nothing over", "an emit")
        return 0
    found = _temporary(scope, emit.tensor, f"{path}.tensor", Code.EMIT)
    frame = _output(scope)
    shape = found.shape
    if found.dtype != "uint8" or shape[1:] != (frame.height, frame.width, 3):
        raise ManifestError(
            Code.EMIT,
            f"{path}.tensor",
            f"{emit.tensor!r} is {found.dtype} {list(shape)}",
            f"uint8 [frames, {frame.height}, {frame.width}, 3], as the output",
        )
    check_made(scope, emit.tensor, (1 << scope.steps) - 1, len(phase.calls), False, f"{path}.tensor")
    if shape[0] > phase.gather or (phase.steps == "forever" and shape[0] != phase.gather):
        least = phase.gather if phase.steps == "forever" else 1
        raise ManifestError(
            Code.EMIT,
            f"{path}.tensor",
            f"{shape[0]} frames come out of a step that takes {phase.gather}",
            f"{least} to {phase.gather}: every frame that comes out answers one that went in",
        )
    if phase.steps == "forever":
        return shape[0]
    left = phase.steps * shape[0] - emit.drop_first
    if left <= 0:
        raise ManifestError(
            Code.EMIT,
            f"{path}.drop_first",
            f"{emit.drop_first} of {phase.steps * shape[0]} frames are dropped",
            "a phase that hands over at least one",
            "leave out emit",
        )
    return min(shape[0], left)


def _check_skip(scope: PhaseScope, skip: Skip, frames: int) -> None:
    def wrong(key: str, seen: str, expected: str) -> ManifestError:
        return ManifestError(Code.SKIP, f"{scope.path}.skip{key}", seen, expected)

    flag = _temporary(scope, skip.tensor, f"{scope.path}.skip.tensor", Code.SKIP)
    if flag != TensorSpec("bool", (1,)):
        raise wrong(".tensor", f"{skip.tensor!r} is {flag.dtype} {list(flag.shape)}", "bool [1]")
    makers = scope.makers[skip.tensor]
    maker = scope.phase.calls[makers[0]]
    if len(makers) > 1 or maker.when is not None or maker.late:
        raise wrong(".tensor", f"{maker.name!r} makes it in some steps, or late", "one call, in every step")
    if scope.phase.gather != 1 or frames != 1:
        raise wrong("", f"a step takes {scope.phase.gather} frames and emits {frames}", "one and one")
    slot = scope.program.slots.get(skip.frame)
    if slot is None:
        raise ManifestError(
            Code.UNKNOWN_NAME,
            f"{scope.path}.skip.frame",
            f"there is no slot {skip.frame!r}",
            "",
            nearest(skip.frame, scope.program.slots),
        )
    frame = _output(scope)
    shape = (1, frame.height, frame.width, 3)
    if slot.dtype != "uint8" or slot.shape != shape or slot.ring is not None:
        what = "a ring of " if slot.ring is not None else ""
        raise wrong(".frame", f"{what}{slot.dtype} {list(slot.shape)}", f"uint8 {list(shape)}, no ring")
    for position in range(makers[0] + 1):
        call = scope.phase.calls[position]
        for port, binding in writes(call):
            name = bound_name(binding)
            written = scope.program.slots.get(name)
            if written is not None and (written.ring is not None or name == skip.frame):
                what = "the frame to repeat" if name == skip.frame else "a ring, whose counter would move"
                raise wrong(
                    "",
                    f"{call.name!r} runs before the flag is read and writes {name!r} through {port!r}",
                    f"a call after the flag: {name!r} is {what}",
                )


def _temporary(scope: PhaseScope, name: str, path: str, code: Code) -> TensorSpec:
    if name not in scope.names:
        raise ManifestError(
            Code.UNKNOWN_NAME, path, f"nothing is called {name!r}", "", nearest(name, scope.makers)
        )
    found = scope.names[name]
    if found.kind != "temporary":
        raise ManifestError(
            code, path, f"{name!r} is {A_KIND[found.kind]}", "a temporary, made by a call of this step"
        )
    if scope.is_partial(name):
        raise ManifestError(code, path, f"rows may leave {name!r} unwritten", "a whole tensor")
    return found.spec


def _output(scope: PhaseScope) -> FrameSpec:
    return next(iter(scope.program.outputs.values()))
