"""Where the C++ runtime's headers come from, and what is taken of a package file."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import lzma
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parents[2] / "runtime" / "cpp" / "tools" / "fetch_headers.py"


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool where apt knows no archive, with one package to fetch."""
    spec = importlib.util.spec_from_file_location("fetch_headers", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lock = tmp_path / "packages.toml"
    sha256 = hashlib.sha256(package()).hexdigest()
    lock.write_text(
        f'[thing]\nversion = "1"\npath = "pool/thing.deb"\nsha256 = "{sha256}"\nheaders = "usr/include"\n'
    )
    monkeypatch.setattr(module, "LOCK", lock)
    monkeypatch.delenv("V2V_DEBIAN_MIRROR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    return module


def package() -> bytes:
    """A package file: an ``ar`` archive whose data part holds headers and what is not to be unpacked."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name in ("./usr/include/a/one.h", "./usr/lib/x.so", "./usr/include/../../up.h"):
            member = tarfile.TarInfo(name)
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
        link = tarfile.TarInfo("./usr/include/link.h")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    made = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0"), ("data.tar.xz", lzma.compress(data.getvalue()))):
        head = f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
        made += head.encode() + content + b"\n" * (len(content) % 2)
    return made


def archive(folder: Path, content: bytes | None = None) -> str:
    """A Debian archive as a folder; its address."""
    (folder / "pool").mkdir(parents=True)
    (folder / "pool" / "thing.deb").write_bytes(package() if content is None else content)
    return folder.as_uri()


def apt(folder: Path, *sites: str) -> None:
    """An ``apt-get`` that is configured with these archives."""
    (folder / "programs").mkdir()
    program = folder / "programs" / "apt-get"
    lines = "".join(f"echo {site}\n" for site in sites)
    program.write_text(f"#!/bin/sh\n{lines}")
    program.chmod(0o755)


def unpacked(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_named_mirror_is_asked(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2V_DEBIAN_MIRROR", archive(tmp_path / "mirror") + "/")
    tool.main(tmp_path / "headers")
    assert unpacked(tmp_path) == [
        "headers/thing-1/a/one.h",
        "mirror/pool/thing.deb",
        "packages.toml",
    ]


def test_else_the_debian_archives_of_apt_are(tool: ModuleType, tmp_path: Path) -> None:
    wrong = archive(tmp_path / "old" / "debian", b"another file")
    right = archive(tmp_path / "new" / "debian")
    apt(tmp_path, "file:///nowhere/debian-security", "file:///nowhere/debian", wrong, right)
    assert tool.archives() == ["file:///nowhere/debian", wrong, right]
    tool.main(tmp_path / "headers")
    assert unpacked(tmp_path / "headers") == ["thing-1/a/one.h"]


def test_a_file_of_another_hash_is_not_taken(tool: ModuleType, tmp_path: Path) -> None:
    apt(tmp_path, archive(tmp_path / "debian", package() + b"\n"))
    with pytest.raises(SystemExit, match="another sha256") as caught:
        tool.main(tmp_path / "headers")
    assert "V2V_DEBIAN_MIRROR" in str(caught.value)
    assert unpacked(tmp_path / "headers") == []


def test_where_no_archive_is_known_the_error_says_what_to_do(tool: ModuleType, tmp_path: Path) -> None:
    assert tool.archives() == []
    with pytest.raises(SystemExit) as caught:
        tool.main(tmp_path / "headers")
    said = str(caught.value)
    assert "no Debian archive is known" in said
    for name in ("V2V_DEBIAN_MIRROR", "ONNXRUNTIME_ROOT", "NLOHMANN_JSON_ROOT"):
        assert name in said
    assert unpacked(tmp_path / "headers") == []


def test_the_sources_name_no_archive() -> None:
    for path in TOOL.parent.iterdir():
        if path.is_file():
            assert "://" not in path.read_text("utf-8")


def test_only_the_packages_that_are_wanted_are_fetched(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another package of the list, which no archive has, hurts nobody who does not want it."""
    lock = tmp_path / "packages.toml"
    other = lock.read_text().replace("[thing]", "[other]").replace("thing.deb", "other.deb")
    lock.write_text(f"{other}{lock.read_text()}")
    monkeypatch.setenv("V2V_DEBIAN_MIRROR", archive(tmp_path / "mirror"))
    tool.main(tmp_path / "headers", ["thing"])
    assert unpacked(tmp_path / "headers") == ["thing-1/a/one.h"]
    with pytest.raises(SystemExit, match=r"other\.deb"):
        tool.main(tmp_path / "headers")
    with pytest.raises(SystemExit, match="lists no nothing: choose from other, thing"):
        tool.main(tmp_path / "headers", ["nothing"])
