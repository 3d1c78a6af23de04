"""The C++ of docs/cpp.md compiles as it stands there, and plays bundles of one frame a step and of twelve."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """#include <cstdio>
#include <vector>
{include}
namespace {{
int shown_by_push = 0;
int shown_into_rooms = 0;
void show(std::span<const std::uint8_t>, std::int64_t) {{ ++shown_by_push; }}
void show(const void*, std::int64_t) {{ ++shown_into_rooms; }}

void by_push(const std::vector<std::uint8_t>& rgb) {{
{first}}}

void into_rooms(v2v::Stream& stream, const std::vector<std::uint8_t>& rgb,
                const std::vector<std::uint8_t*>& buffers) {{
  const auto [width, height] = std::pair(stream.info().input_width, stream.info().input_height);
  const auto [shown_width, shown_height] = std::pair(stream.info().output_width, stream.info().output_height);
  const std::int64_t rgb_stride = 3 * width, row_stride = 3 * shown_width + 5;
{second}}}
}}  // namespace

int main() {{
  v2v::Bundle bundle("my.v2v");
  v2v::Stream stream(bundle);
  const auto size = [](std::int32_t a, std::int32_t b) {{
    return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
  }};
  const v2v_bundle_info& info = bundle.info();
  const std::vector<std::uint8_t> rgb(3 * size(info.input_width, info.input_height), 9);
  by_push(rgb);
  const auto most = static_cast<std::size_t>(info.max_frames);
  std::vector<std::vector<std::uint8_t>> memory(
      most, std::vector<std::uint8_t>(size(3 * info.output_width + 5, info.output_height)));
  std::vector<std::uint8_t*> buffers;
  for (auto& each : memory) buffers.push_back(each.data());
  for (std::size_t i = 0; i < most; ++i) into_rooms(stream, rgb, buffers);
  std::printf("%d %d\\n", shown_by_push, shown_into_rooms);
}}
"""


@pytest.fixture(scope="module")
def documented(
    cpp_build: Path, cmake_cache: dict[str, str], sanitizers: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A program around the two blocks of the section "Use"."""
    if sanitizers:
        pytest.skip(f"{sanitizers}: the program is built without it")
    use = (ROOT / "docs" / "cpp.md").read_text("utf-8").split("\n## Use\n")[1].split("\n## ")[0]
    first, second = re.findall(r"```cpp\n(.*?)```", use, re.DOTALL)
    include, first = first.split("\n\n", 1)
    folder = tmp_path_factory.mktemp("documented")
    source, built = folder / "use.cpp", folder / "use"
    source.write_text(PROGRAM.format(include=include, first=first, second=second), encoding="utf-8")
    options = [
        "-std=c++20",
        "-O0",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wconversion",
        "-Wsign-conversion",
        "-Werror",
    ]
    libraries = [cpp_build / "libv2v_runtime.so", f"-Wl,-rpath,{cpp_build}"]
    headers = ROOT / "runtime" / "cpp" / "include"
    compiler = cmake_cache["CMAKE_CXX_COMPILER"]
    subprocess.run([compiler, *options, "-I", headers, source, *libraries, "-o", built], check=True)
    return built


@pytest.mark.parametrize(("name", "rooms"), [("std", 1), ("lipar", 12)])
def test_it_plays(name: str, rooms: int, documented: Path, bundles, tmp_path: Path) -> None:
    """One frame and a flush, then as many frames as a step takes."""
    (tmp_path / "my.v2v").symlink_to(bundles(name).root)
    done = subprocess.run([documented], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"1 {rooms}\n"
