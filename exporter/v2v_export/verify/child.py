"""The process that judges, without torch: ``python -m v2v_export.verify.child TASK.json RESULT.json``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from v2v_export.errors import V2VError
from v2v_export.heap import return_at_once
from v2v_export.store import refused_writes
from v2v_export.targets.child import REFUSED, die_with_parent, peak_memory, reporter, write_result
from v2v_export.verify.judge import JudgeTask, judge


def main(argv: list[str] | None = None) -> int:
    """Judges the task; returns the exit status."""
    task_path, result_path = (Path(item) for item in (sys.argv[1:] if argv is None else argv))
    die_with_parent()
    return_at_once()
    report = reporter()
    task = JudgeTask.from_json(json.loads(task_path.read_text(encoding="utf-8")))
    try:
        with refused_writes(Path(task.scratch), "verify", "TMPDIR"):
            found = judge(task, report)
    except V2VError as error:
        write_result(result_path, {"error": [error.code, error.seen, error.expected, error.fix]})
        return REFUSED
    result = {"report": found.packed(), "peak_memory": peak_memory(), "torch": "torch" in sys.modules}
    write_result(result_path, {"result": result})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
