"""Every error that the runtime raises: one tree, one stable code each.

A message answers three questions: what was seen, what was expected, what to do. Codes never change their
meaning; a retired code is never used again. Ranges:

===========  =====================================================
V2V-E1xxx    bundles on disk: files, hashes, sizes, paths
V2V-E2xxx    the manifest: syntax, types, the stream program
V2V-E3xxx    playing a stream: frames, params, failed steps
V2V-E4xxx    backends and engines
V2V-E5xxx    recipes and profiles (exporter)
V2V-E6xxx    systems and weights (exporter)
V2V-E7xxx    builds: stages, store, child processes (exporter)
V2V-E8xxx    verify, bench and compare (exporter)
V2V-E9xxx    video files and command lines
===========  =====================================================
"""

from __future__ import annotations

import re

#: Controls, which end lines and steer terminals; not the breaks before a message's own, indented lines.
_CONTROL = re.compile(r"(?!\n  )[\x00-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """A message with what a bundle or a file put into it, its controls escaped as ``repr`` does."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


class V2VError(Exception):
    """Base of every error of v2v-runtime and v2v-export.

    Args:
        code: the stable code, ``V2V-E####``.
        seen: what was found, with the offending value and where it stands.
        expected: what would have been right; empty when ``seen`` already says it.
        fix: what the reader can do about it.
    """

    def __init__(self, code: str, seen: str, expected: str = "", fix: str = "") -> None:
        self.code = code
        self.seen = seen
        self.expected = expected
        self.fix = fix
        super().__init__(code, seen, expected, fix)

    def __str__(self) -> str:
        parts = [f"[{self.code}] {self.seen}"]
        if self.expected:
            parts.append(f"expected: {self.expected}")
        if self.fix:
            parts.append(f"to do: {self.fix}")
        return printable("\n  ".join(parts))


class BundleError(V2VError):
    """A bundle's files are missing, changed, too large, or not where they may be (E1xxx)."""


class ManifestError(V2VError):
    """``bundle.json`` or ``target.json`` does not say a valid thing (E2xxx).

    ``path`` is the JSON path of the offending value, such as ``program.phases[1].calls[0].outputs.out``.
    """

    def __init__(self, code: str, path: str, seen: str, expected: str = "", fix: str = "") -> None:
        self.path = path
        super().__init__(code, f"{path}: {seen}" if path else seen, expected, fix)


class StreamError(V2VError):
    """A call on a stream was refused, or a step failed; the stream's state is as before (E3xxx)."""


class BackendError(V2VError):
    """A backend is missing, or could not load or run an engine (E4xxx)."""


class MediaError(V2VError):
    """A video file could not be read or written (E9xxx)."""
