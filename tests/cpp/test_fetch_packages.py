"""Where the C++ runtime's packages come from, and what is taken of a package file."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import lzma
import platform
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parents[2] / "runtime" / "cpp" / "tools" / "fetch_packages.py"

FILES = {
    "usr/include/a/one.h": 0o644,
    "usr/lib/x.so": 0o644,
    "usr/include/../../up.h": 0o644,
    "usr/bin/run": 0o4755,
}
LINKS = {
    "usr/include/all": "a",
    "usr/include/again.h": "all/one.h",
    "usr/include/word": "/etc/passwd",
    "usr/include/up": "..",
    "usr/include/over": "all/../../lib",
}


def entry(**more: str) -> str:
    """The text of an entry ``thing``; ``more`` are values, in TOML, of keys of its own and of ``unpack``."""
    sha256 = hashlib.sha256(package()).hexdigest()
    lines = {"version": '"1"', "instead": '"use something else"', "below": '"usr/include"', **more}
    unpack = {key: lines.pop(key) for key in ("below", "take", "into") if key in lines}
    return "".join(
        [
            "[thing]\n",
            *(f"{key} = {value}\n" for key, value in lines.items()),
            f'[[thing.files]]\npath = "pool/thing.deb"\nsha256 = "{sha256}"\n',
            *(f"unpack.{key} = {value}\n" for key, value in unpack.items()),
        ]
    )


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool where apt knows no archive, with one entry to fetch."""
    spec = importlib.util.spec_from_file_location("fetch_packages", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lock = tmp_path / "packages.toml"
    lock.write_text(entry())
    monkeypatch.setattr(module, "LOCK", lock)
    monkeypatch.delenv("V2V_DEBIAN_MIRROR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    return module


def package() -> bytes:
    """A package file: an ``ar`` archive whose data part holds also what is not to be unpacked."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, mode in FILES.items():
            member = tarfile.TarInfo(f"./{name}")
            content = "#!/bin/sh\nexit ${1:-0}\n" if name.endswith("run") else name
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content.encode()))
        for name, target in LINKS.items():
            link = tarfile.TarInfo(f"./{name}")
            link.type, link.linkname = tarfile.SYMTYPE, target
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
    """Files and links below it; what a link leads to is not looked into."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return sorted(str(path.relative_to(folder)) for path in found)


HEADERS = ["thing-1/a/one.h", "thing-1/again.h", "thing-1/all"]


def test_the_named_mirror_is_asked(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("V2V_DEBIAN_MIRROR", archive(tmp_path / "mirror") + "/")
    tool.main(tmp_path / "fetched", ["thing"])
    assert unpacked(tmp_path) == [
        *(f"fetched/{name}" for name in HEADERS),
        "mirror/pool/thing.deb",
        "packages.toml",
    ]
    assert capsys.readouterr().out == f"{tmp_path / 'fetched' / 'thing-1'}\n"


def test_what_is_there_is_named_and_not_fetched_again(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fetched" / "thing-1").mkdir(parents=True)
    tool.main(tmp_path / "fetched", ["thing", "thing"])
    assert capsys.readouterr().out == 2 * f"{tmp_path / 'fetched' / 'thing-1'}\n"


def test_else_the_debian_archives_of_apt_are(tool: ModuleType, tmp_path: Path) -> None:
    wrong = archive(tmp_path / "old" / "debian", b"another file")
    right = archive(tmp_path / "new" / "debian")
    apt(tmp_path, "file:///nowhere/debian-security", "file:///nowhere/debian", wrong, right)
    assert tool.archives() == ["file:///nowhere/debian", wrong, right]
    tool.main(tmp_path / "fetched", ["thing"])
    assert unpacked(tmp_path / "fetched") == HEADERS


def test_a_file_of_another_hash_is_not_taken(tool: ModuleType, tmp_path: Path) -> None:
    apt(tmp_path, archive(tmp_path / "debian", package() + b"\n"))
    with pytest.raises(SystemExit, match="another sha256") as caught:
        tool.main(tmp_path / "fetched", ["thing"])
    assert "V2V_DEBIAN_MIRROR" in str(caught.value)
    assert unpacked(tmp_path / "fetched") == []


def test_where_no_archive_is_known_the_error_says_what_to_do(tool: ModuleType, tmp_path: Path) -> None:
    assert tool.archives() == []
    with pytest.raises(SystemExit) as caught:
        tool.main(tmp_path / "fetched", ["thing"])
    said = str(caught.value)
    assert "no Debian archive is known" in said
    assert "V2V_DEBIAN_MIRROR" in said
    assert said.endswith("use something else")
    assert unpacked(tmp_path / "fetched") == []


def test_the_sources_name_no_archive() -> None:
    for path in TOOL.parent.iterdir():
        if path.is_file():
            assert "://" not in path.read_text("utf-8")


def test_only_what_is_wanted_is_fetched(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another entry of the list, which no archive has, hurts nobody who does not want it."""
    lock = tmp_path / "packages.toml"
    other = entry().replace("[thing", "[other").replace("thing.deb", "other.deb")
    lock.write_text(f"{other}{entry()}")
    monkeypatch.setenv("V2V_DEBIAN_MIRROR", archive(tmp_path / "mirror"))
    tool.main(tmp_path / "fetched", ["thing"])
    assert unpacked(tmp_path / "fetched") == HEADERS
    with pytest.raises(SystemExit, match=r"other\.deb"):
        tool.main(tmp_path / "fetched", ["thing", "other"])
    with pytest.raises(SystemExit, match="lists no nothing: choose from other, thing"):
        tool.main(tmp_path / "fetched", ["nothing"])


def test_parts_of_a_package_are_taken_where_they_are_wanted(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file keeps that it can be run, and nothing else of its mode."""
    monkeypatch.setenv("V2V_DEBIAN_MIRROR", archive(tmp_path / "mirror"))
    (tmp_path / "packages.toml").write_text(
        entry(below='"usr"', take='["bin/run", "lib"]', into='"deep/er"', runs='["deep/er/bin/run"]')
    )
    tool.main(tmp_path / "fetched", ["thing"])
    assert unpacked(tmp_path / "fetched") == ["thing-1/deep/er/bin/run", "thing-1/deep/er/lib/x.so"]
    made = tmp_path / "fetched" / "thing-1" / "deep" / "er"
    assert (made / "bin" / "run").stat().st_mode & 0o7777 == 0o755
    assert (made / "lib" / "x.so").stat().st_mode & 0o7777 == 0o644


def test_links_lead_down_from_their_folder_or_are_left_out(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("V2V_DEBIAN_MIRROR", archive(tmp_path / "mirror"))
    tool.main(tmp_path / "fetched", ["thing"])
    made = tmp_path / "fetched" / "thing-1"
    assert {path.name: str(path.readlink()) for path in made.iterdir() if path.is_symlink()} == {
        "all": "a",
        "again.h": "all/one.h",
    }
    assert (made / "again.h").read_text() == "usr/include/a/one.h"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"take": '["a", "b"]'}, "holds no b under usr/include"),
        ({"machine": '"pdp11"'}, f"lists thing for pdp11; this is {platform.machine()}\nuse something"),
        ({"below": '"usr"', "runs": '["bin/run", "3"]'}, "bin/run does not run here: \nuse something"),
        ({"below": '"usr"', "runs": '["lib/x.so"]'}, "lib/x.so does not run here: .*denied.*\nuse something"),
    ],
)
def test_what_is_not_whole_or_not_for_this_machine_is_absent(
    more: dict[str, str], words: str, tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("V2V_DEBIAN_MIRROR", archive(tmp_path / "mirror"))
    (tmp_path / "packages.toml").write_text(entry(**more))
    with pytest.raises(SystemExit, match=words):
        tool.main(tmp_path / "fetched", ["thing"])
    assert unpacked(tmp_path / "fetched") == []
