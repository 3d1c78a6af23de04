"""What a refused write is told to mean."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from v2v_runtime.atomic import new_folder, not_written, write_file
from v2v_runtime.errors import BundleError


@pytest.mark.parametrize(
    ("number", "help_"),
    [
        (errno.ENOSPC, "free disk space"),
        (errno.EDQUOT, "free disk space"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "may be written"),
        (errno.ENOENT, "folder that exists"),
        (errno.ENOTDIR, "part of it is a file"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.ELOOP, "another place"),
    ],
)
def test_each_error_has_its_own_advice(number: int, help_: str) -> None:
    text = str(not_written(OSError(number, os.strerror(number)), Path("place")))
    assert os.strerror(number) in text
    assert help_ in text
    assert ("disk space" in text) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_a_file_in_a_folder_s_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleError, match=r"E1051[\s\S]*part of it is a file"):
        write_file(tmp_path / "file" / "below", b"")


def test_a_folder_in_proc() -> None:
    with (
        pytest.raises(BundleError, match=r"E1051[\s\S]*No such file[\s\S]*folder that exists"),
        new_folder(Path("/proc/bundle"), replace=False),
    ):
        pytest.fail("a folder in /proc")
