"""The exact gate: what is counted, how the file keeps it, and what a difference says."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from support.bundles import make_target
from support.negative import write_negative
from v2v_export.budgets import (
    check_budgets,
    count_bundle,
    left_alone,
    own_player,
    read_budgets,
    write_budgets,
)
from v2v_export.cli import main
from v2v_export.cli.compare import _changes
from v2v_export.compare.side import worker_command
from v2v_export.errors import V2VError
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_target

FAKE = Path(__file__).parents[1] / "compare" / "fake_worker.py"
PICTURES = np.zeros((2, 6, 8, 3), np.uint8)
BUDGETS = {
    "program": {"calls_per_period": 4},
    "rtx4090.tensorrt.unet": {"kernels": 536, "fused_attentions": 32},
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_negative(tmp_path / "negative.v2v", PICTURES)


def test_counts_of_a_stream_that_is_known_by_heart(bundle: Path) -> None:
    """One graph, no state: a call, an upload and a download of 6 x 8 x 3 bytes per frame, and no check."""
    counted = count_bundle(Bundle.open(bundle))
    assert counted["program"] == {"period_frames": 1, "calls_per_period": 1, "host_syncs_per_period": 0}
    assert counted["cpu.onnxruntime"] == {
        "slot_bytes": 0,
        "state_bytes": 0,
        "ring_bytes_per_frame": 0,
        "engine_bytes": 0,
    }
    played = counted["played"]
    assert played["calls_per_2_periods"] == played["uploads_per_2_periods"] == 2
    assert played["uploaded_bytes_per_2_periods"] == played["downloaded_bytes_per_2_periods"] == 2 * 144
    assert played["allocations_per_2_periods"] == played["bindings_per_2_periods"] == 0
    assert played["heavy_packages"] == 0
    assert "played" not in count_bundle(Bundle.open(bundle), play=False)


def test_a_lost_fusion_names_graph_counter_and_both_numbers() -> None:
    counted = {**BUDGETS, "rtx4090.tensorrt.unet": {"kernels": 548, "fused_attentions": 31}}
    assert [str(change) for change in check_budgets(BUDGETS, counted)] == [
        "rtx4090.tensorrt.unet: kernels was 536, is 548 (+12, +2.2%)",
        "rtx4090.tensorrt.unet: fused_attentions was 32, is 31 (-1, -3.1%)",
    ]


def test_equal_numbers_make_no_change() -> None:
    assert check_budgets(BUDGETS, BUDGETS) == []


def test_what_came_and_what_went() -> None:
    counted = {"program": {"calls_per_period": 4, "host_syncs_per_period": 1}, "played": {"allocations": 0}}
    assert [str(change) for change in check_budgets(BUDGETS, counted)] == [
        "program: host_syncs_per_period is 1 and has no budget",
        "rtx4090.tensorrt.unet has budgets, and the bundle has no such target or graph",
        "played: allocations is 0 and has no budget",
    ]
    gone = check_budgets({"program": {"a": 1, "b": 2}}, {"program": {"a": 1}})
    assert [str(change) for change in gone] == ["program: b was 2 and is counted no more"]


def test_what_was_not_counted_this_time_is_left_alone() -> None:
    budgets = {"program": {"a": 1}, "played": {"allocations": 0}}
    assert check_budgets(budgets, {"program": {"a": 1}}, {"played"}) == []


def test_from_nothing_or_zero() -> None:
    (change,) = check_budgets({"played": {"allocations": 0}}, {"played": {"allocations": 3}})
    assert str(change) == "played: allocations was 0, is 3 (+3)"


@pytest.mark.parametrize(
    ("targets", "alone"),
    [
        (None, {"played"}),
        ({"cpu.onnxruntime"}, {"played", "rtx4090.tensorrt", "rtx4090.tensorrt.unet", "rtx40.tensorrt"}),
        ({"rtx40.tensorrt"}, {"played", "rtx4090.tensorrt", "rtx4090.tensorrt.unet", "cpu.onnxruntime"}),
        ({"rtx4090.tensorrt", "cpu.onnxruntime"}, {"played", "rtx40.tensorrt"}),
    ],
)
def test_sections_of_other_targets_are_left_alone(targets: set[str] | None, alone: set[str]) -> None:
    sections = ["program", "cpu.onnxruntime", "played", "rtx40.tensorrt"]
    sections += ["rtx4090.tensorrt", "rtx4090.tensorrt.unet"]
    assert left_alone(sections, {"program"}, targets) == alone
    assert left_alone(sections, {"program", "played"}, targets) == alone - {"played"}


class TestFile:
    def test_keeps_comments_and_other_bundles(self, tmp_path: Path) -> None:
        path = tmp_path / "v2v-budgets.toml"
        write_budgets(path, "one", BUDGETS)
        write_budgets(path, "two", {"program": {"calls_per_period": 1}})
        lines = path.read_text().replace("kernels = 536", "kernels = 536  # agreed in review")
        path.write_text(lines)
        write_budgets(path, "one", {**BUDGETS, "program": {"calls_per_period": 5}})
        assert read_budgets(path) == {
            "one": {**BUDGETS, "program": {"calls_per_period": 5}},
            "two": {"program": {"calls_per_period": 1}},
        }
        assert "kernels = 536  # agreed in review" in path.read_text()

    def test_drops_what_is_counted_no_more(self, tmp_path: Path) -> None:
        path = tmp_path / "v2v-budgets.toml"
        write_budgets(path, "one", BUDGETS)
        write_budgets(path, "one", {"rtx4090.tensorrt.unet": {"kernels": 536}})
        assert read_budgets(path) == {"one": {"rtx4090.tensorrt.unet": {"kernels": 536}}}

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("schema = ", "E5301"),
            ("schema = 2", "E5302"),
            ("[one.program]\na = 1", "E5302"),
            ("schema = 1\none = 3", "E5303"),
            ("schema = 1\n[one]\nprogram = 3", "E5303"),
            ("schema = 1\n[one.program]\na = 1.5", "E5303"),
            ("schema = 1\n[one.program]\na = true", "E5303"),
        ],
    )
    def test_refuses_what_it_does_not_know(self, tmp_path: Path, text: str, code: str) -> None:
        path = tmp_path / "v2v-budgets.toml"
        path.write_text(text)
        with pytest.raises(V2VError, match=code):
            read_budgets(path)
        with pytest.raises(V2VError, match=code):
            write_budgets(path, "one", BUDGETS)
        assert path.read_text() == text

    @pytest.mark.parametrize("text", ["schema = ", "schema = 2"])
    def test_what_it_advises_works(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "v2v-budgets.toml"
        path.write_text(text)
        with pytest.raises(V2VError) as raised:
            read_budgets(path)
        assert "move" in raised.value.fix
        path.rename(tmp_path / "away.toml")
        write_budgets(path, "one", BUDGETS)
        assert read_budgets(path) == {"one": BUDGETS}


def test_an_error_leaves_no_report_of_an_earlier_run(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, junit = str(tmp_path / "v2v-budgets.toml"), tmp_path / "budgets.xml"
    assert main(["budgets", str(bundle), "-f", file, "--write", "--junit", str(junit)]) == 0
    assert ElementTree.parse(junit).getroot().attrib["failures"] == "0"
    gone = str(tmp_path / "gone.v2v")
    assert main(["budgets", gone, "-f", file, "--junit", str(junit)]) == 1
    assert "V2V-E1" in capsys.readouterr().err
    assert not junit.exists()


def test_the_command_fails_until_the_change_is_written(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "v2v-budgets.toml")
    assert main(["budgets", str(bundle), "-f", file]) == 3
    assert "none of them in" in capsys.readouterr().out
    assert main(["budgets", str(bundle), "-f", file, "--write"]) == 0
    told = capsys.readouterr().out
    assert "all of them new" in told
    assert "none of them" not in told
    assert main(["budgets", str(bundle), "-f", file]) == 0
    text = Path(file).read_text()
    Path(file).write_text(text.replace("calls_per_2_periods = 2", "calls_per_2_periods = 3"))
    capsys.readouterr()
    assert main(["budgets", str(bundle), "-f", file]) == 3
    assert "played: calls_per_2_periods was 3, is 2 (-1, -33.3%)" in capsys.readouterr().out
    assert main(["budgets", str(bundle), "-f", file, "--no-play"]) == 0, "what was not counted is left alone"


@pytest.fixture
def engines(bundle: Path) -> Path:
    """The bundle, with an engine for each of two GPUs."""
    for gpu, kernels in (("rtx4090", 4), ("rtx5090", 5)):
        counters = {"negative": {"kernels": kernels}}
        write_target(bundle, make_target(profile=gpu, backend="tensorrt", options={}, counters=counters))
    return bundle


def test_a_file_of_two_gpus_and_a_bundle_of_one(
    engines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, junit = tmp_path / "v2v-budgets.toml", tmp_path / "budgets.xml"
    argv = ["budgets", str(engines), "-f", str(file)]
    assert main([*argv, "--write"]) == 0
    whole = file.read_text()
    shutil.rmtree(engines / "targets" / "rtx5090.tensorrt")
    capsys.readouterr()
    assert main(argv) == 3
    told = capsys.readouterr().out
    assert "rtx5090.tensorrt has budgets, and the bundle has no such target or graph" in told
    assert "`--target NAME` leaves the budgets of targets that this bundle does not have alone" in told

    chosen = [*argv, "--target", "rtx4090", "--junit", str(junit)]
    assert main(chosen) == 0
    cases = ElementTree.parse(junit).getroot()
    skipped = {case.attrib["name"] for case in cases if case.find("skipped") is not None}
    assert skipped == {"cpu.onnxruntime", "played", "rtx5090.tensorrt", "rtx5090.tensorrt.negative"}
    assert main([*chosen, "-t", "cpu"]) == 0, "and what it plays"

    other = whole.replace("calls_per_2_periods = 2", "calls_per_2_periods = 3")
    file.write_text(other.replace("kernels = 4", "kernels = 3"))
    capsys.readouterr()
    assert main(chosen) == 3
    assert "rtx4090.tensorrt.negative: kernels was 3, is 4" in capsys.readouterr().out
    assert main([*chosen, "--write"]) == 0
    assert file.read_text() == other


def test_budgets_of_playing_are_left_alone_where_nothing_plays(engines: Path, tmp_path: Path) -> None:
    """By both commands that hold a bundle to the file."""
    file = tmp_path / "v2v-budgets.toml"
    argv = ["budgets", str(engines), "-f", str(file)]
    assert main([*argv, "--write"]) == 0
    shutil.rmtree(engines / "targets" / "cpu.onnxruntime")
    assert _changes(engines, file) == (
        "cpu.onnxruntime has budgets, and the bundle has no such target or graph",
    )
    assert main([*argv, "--write"]) == 0
    assert "calls_per_2_periods = 2" in file.read_text()
    assert _changes(engines, file) == ()
    assert main(argv) == 0


def test_a_target_that_the_bundle_does_not_have(
    engines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["budgets", str(engines), "-f", str(tmp_path / "b.toml"), "--target", "rtx3090"]) == 1
    assert "V2V-E1020" in capsys.readouterr().err


def test_a_case_for_each_section(bundle: Path, tmp_path: Path) -> None:
    file, junit = tmp_path / "v2v-budgets.toml", tmp_path / "budgets.xml"
    argv = ["budgets", str(bundle), "-f", str(file), "--junit", str(junit)]
    assert main([*argv, "--write"]) == 0
    suite = ElementTree.parse(junit).getroot()
    assert [case.attrib["name"] for case in suite] == [
        "program",
        "cpu.onnxruntime",
        "played",
    ]
    assert (suite.attrib["failures"], suite.attrib["skipped"]) == ("0", "0"), "what is written is agreed"
    file.write_text(file.read_text().replace("calls_per_period = 1", "calls_per_period = 4"))
    assert main([*argv, "--no-play"]) == 3
    program, *others = ElementTree.parse(junit).getroot()
    failure = program.find("failure")
    assert failure is not None
    assert failure.text == "program: calls_per_period was 4, is 1 (-3, -75.0%)"
    assert [case.find("failure") for case in others] == [None] * len(others)
    assert others[-1].find("skipped") is not None, "the budgets of playing are left alone"


def test_a_file_without_budgets_of_playing_does_not_ask_for_them(bundle: Path, tmp_path: Path) -> None:
    """It was written with --no-play: a comparison plays the head for its times, and counts the rest."""
    file = tmp_path / "v2v-budgets.toml"
    assert main(["budgets", str(bundle), "-f", str(file), "--no-play", "--write"]) == 0
    assert _changes(bundle, file) == ()
    file.write_text(file.read_text().replace("calls_per_period = 1", "calls_per_period = 2"))
    assert _changes(bundle, file) == ("program: calls_per_period was 2, is 1 (-1, -50.0%)",)


@pytest.mark.parametrize("option", ["--head-python", "--head-command"])
def test_a_comparison_counts_what_its_head_plays_with(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """That environment has no player: neither budgets nor times are this command's own."""
    file = tmp_path / "v2v-budgets.toml"
    assert main(["budgets", str(bundle), "-f", str(file), "--write"]) == 0
    capsys.readouterr()
    argv = ["compare", str(bundle), str(bundle), "--rounds", "12", "--budgets", str(file)]
    assert main([*argv, option, "false"]) == 1
    assert "the bundle: the worker ended" in capsys.readouterr().err


def test_a_player_that_tells_no_packages_is_held_to_the_rest(bundle: Path, tmp_path: Path) -> None:
    """As a user's own command. One that plays another target than the budgets' is not counted at all."""
    file = tmp_path / "v2v-budgets.toml"
    assert main(["budgets", str(bundle), "-f", str(file), "--write"]) == 0
    assert _changes(bundle, file, lambda _: worker_command(bundle, None, None)) == ()
    file.write_text(file.read_text().replace("calls_per_2_periods = 2", "calls_per_2_periods = 3"))
    (change,) = _changes(bundle, file, lambda _: worker_command(bundle, None, None))
    assert change.startswith("played: calls_per_2_periods was 3, is 2")
    hello = json.dumps({"name": "a", "target": "rtx4090.tensorrt"})
    assert _changes(bundle, file, lambda _: (sys.executable, "-S", str(FAKE), hello)) == ()


def test_packages_that_only_opening_loads_are_counted(bundle: Path) -> None:
    """A stream that imports one when it is made; an import of the worker alone would not show it."""
    later = "import v2v_runtime.stream as s\nmade = s.Stream.__init__\n"
    later += "def init(self, *a, **k):\n    import scipy\n    made(self, *a, **k)\ns.Stream.__init__ = init\n"
    *words, script, path, option, target = own_player(bundle)("cpu.onnxruntime")
    player = lambda _: (*words, later + script, path, option, target)  # noqa: E731
    assert count_bundle(Bundle.open(bundle), player=player)["played"]["heavy_packages"] == 1


def test_packages_of_the_working_directory_are_not_the_players(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    assert count_bundle(Bundle.open(bundle))["played"]["heavy_packages"] == 0


@pytest.mark.parametrize(
    ("told", "words"), [({}, "left counters out"), ({"counters": {"calls": "2"}}, "left counters out")]
)
def test_a_player_that_counts_nothing_is_told(bundle: Path, told: dict[str, Any], words: str) -> None:
    says = json.dumps({"name": "a", "counted": told})
    with pytest.raises(V2VError, match="V2V-E8203") as error:
        count_bundle(Bundle.open(bundle), player=lambda _: (sys.executable, "-S", str(FAKE), says))
    assert words in str(error.value)
