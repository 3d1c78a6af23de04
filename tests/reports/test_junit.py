"""JUnit files, read back by an XML parser."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from v2v_export.reports.junit import Case, write_junit


def test_verdicts_counts_and_odd_characters(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    write_junit(
        path,
        "compare <a> & b",
        [
            Case("median", 1.25, failure="head is slower\nby 5 % \x00"),
            Case("p95", skipped="NOISY"),
            Case("pictures", 0.5, output='"equal"'),
        ],
    )
    suite = ElementTree.parse(path).getroot()
    assert suite.attrib == {
        "name": "compare <a> & b",
        "tests": "3",
        "failures": "1",
        "skipped": "1",
        "errors": "0",
        "time": "1.750",
    }
    median, p95, pictures = suite
    failure = median.find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "head is slower"
    assert failure.text == "head is slower\nby 5 % ?"
    assert p95.find("skipped") is not None
    assert p95.find("failure") is None
    assert pictures.findtext("system-out") == '"equal"'
    assert len(pictures) == 1
