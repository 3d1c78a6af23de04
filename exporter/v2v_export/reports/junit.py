"""JUnit XML, the form in which CI systems read what passed and what did not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from v2v_runtime.atomic import write_file

_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold."""


@dataclass(frozen=True)
class Case:
    """One thing that was judged.

    Attributes:
        name: what it is, such as ``median`` or ``budgets: unet/kernels``.
        seconds: what it took, 0 if it was not timed by itself.
        failure: why it failed; None if it did not.
        skipped: why there is no verdict; None if there is one.
        output: figures for people.
    """

    name: str
    seconds: float = 0.0
    failure: str | None = None
    skipped: str | None = None
    output: str = ""


def write_junit(path: Path, suite: str, cases: Sequence[Case]) -> None:
    """Writes one suite, whole or not at all.

    Raises:
        BundleError: it cannot be written (V2V-E1051).
    """
    root = ElementTree.Element(
        "testsuite",
        name=_text(suite),
        tests=str(len(cases)),
        failures=str(sum(case.failure is not None for case in cases)),
        skipped=str(sum(case.skipped is not None for case in cases)),
        errors="0",
        time=f"{sum(case.seconds for case in cases):.3f}",
    )
    for case in cases:
        element = ElementTree.SubElement(
            root, "testcase", classname=_text(suite), name=_text(case.name), time=f"{case.seconds:.3f}"
        )
        if case.failure is not None:
            told = ElementTree.SubElement(element, "failure", message=_text(case.failure).splitlines()[0])
            told.text = _text(case.failure)
        if case.skipped is not None:
            ElementTree.SubElement(element, "skipped", message=_text(case.skipped))
        if case.output:
            ElementTree.SubElement(element, "system-out").text = _text(case.output)
    ElementTree.indent(root)
    document = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    write_file(path, document + b"\n")


def _text(words: str) -> str:
    return _FORBIDDEN.sub("?", words)
