"""The CI examples: valid YAML, one set of commands, and those commands on tiny bundles, clean and broken."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from support.attention import built_bundle
from support.negative import write_negative
from support.recipes import small_shortcut
from v2v_export.targets.tensorrt import BUILDER
from v2v_runtime.bundle import Bundle

EXAMPLES = Path(__file__).parents[2] / "examples" / "ci"
WORKFLOWS = ("github-cpu.yml", "github-gpu.yml", "github-history.yml")
TOOL = "import sys; from v2v_export.cli import main; sys.exit(main())"
PICTURES = np.random.default_rng(0).integers(10, 240, (3, 16, 24, 3), np.uint8)


def steps(file: str) -> dict[str, str]:
    """Name -> commands, of a workflow's only job."""
    (job,) = workflow(file)["jobs"].values()
    return {step["name"]: step["run"] for step in job["steps"] if "run" in step}


def workflow(file: str) -> Any:
    return yaml.safe_load((EXAMPLES / file).read_text())


def variables(file: str) -> dict[str, str]:
    (job,) = workflow(file)["jobs"].values()
    return {name: str(value) for name, value in job["env"].items()}


class Project:
    """A checkout of both revisions, with environments that stand for those that a job would make."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for side in ("base", "head"):
            (root / side).mkdir()
            (root / side / "v2v.toml").write_text(small_shortcut(frames=2))
            bin_ = root / f"{side}-env" / "bin"
            bin_.mkdir(parents=True)
            for name, words in (("python", ""), ("v2v-export", f"-c '{TOOL}'")):
                script = bin_ / name
                script.write_text(
                    f'#!/bin/sh\necho {side} >> "{root}/ran"\nexec "{sys.executable}" {words} "$@"\n'
                )
                script.chmod(0o755)

    def run(self, commands: str, env: Mapping[str, str]) -> tuple[int, str]:
        """As a runner does: bash, ended by the first command that fails."""
        known = {**os.environ, **env, "V2V_CACHE": str(self.root / "cache"), "ROUNDS": "12"}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", commands],
            cwd=self.root,
            env=known,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def due(step: Mapping[str, Any], outcomes: Mapping[str, str]) -> bool:
    """Whether a runner starts a step, by its condition and the outcomes (by id) of those before it."""
    condition = str(step.get("if", "success()")).removeprefix("${{").removesuffix("}}").strip()
    if not re.search(r"\b(success|failure|always|cancelled)\(\)", condition):
        condition = f"success() && ({condition})"
    failed = "failure" in outcomes.values()
    known = {"success()": not failed, "failure()": failed, "always()": True, "!cancelled()": True}
    for words, value in known.items():
        condition = condition.replace(words, str(value))
    condition = re.sub(r"steps\.(\w+)\.outcome", lambda found: repr(outcomes[found[1]]), condition)
    return bool(eval(condition.replace("&&", " and ").replace("||", " or "), {"__builtins__": {}}))


@pytest.mark.parametrize("fails", ["nothing", "build", "budgets", "compare", "bench"])
@pytest.mark.parametrize("file", WORKFLOWS)
def test_nothing_of_an_earlier_run_is_judged_or_shown(
    file: str, fails: str, project: Project, tmp_path: Path
) -> None:
    """The job on a machine that keeps its folders, with a tool that fails where it is told to."""
    for side in ("base", "head"):
        tool = tmp_path / f"{side}-env" / "bin" / "v2v-export"
        tool.write_text(f'#!/bin/sh\necho "$1" >> "{tmp_path}/ran"\n[ "$1" != {fails} ]\n')
        (tmp_path / f"{side}.v2v").mkdir()
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "bench.xml").write_text("<testsuite/>")
    (job,) = workflow(file)["jobs"].values()
    outcomes: dict[str, str] = {}
    for step in job["steps"]:
        name = step.get("id", step.get("name", step.get("uses")))
        if not due(step, outcomes):
            outcomes[name] = "skipped"
        elif "run" not in step or name == "revisions" or name.startswith("Environment"):
            outcomes[name] = "success"
        else:
            status, _ = project.run(step["run"], {**variables(file), "GITHUB_SHA": "f" * 40})
            outcomes[name] = "failure" if status else "success"
    history = file == "github-history.yml"
    every = (
        ["build", "bench"]
        if history
        else ["build", "build", "budgets", "compare", *(["bench"] if "gpu" in file else [])]
    )
    assert (tmp_path / "ran").read_text().split() == (["build"] if fails == "build" else every)
    assert ("failure" in outcomes.values()) == (fails in every)
    # GitHub's own runners are new for each job.
    if job["runs-on"] != "ubuntu-24.04":
        assert list(tmp_path.glob("*.v2v")) == []
        assert list(tmp_path.glob("reports/*")) == []


@pytest.mark.skipif(not BUILDER.available().ok, reason=BUILDER.available().reason)
def test_the_exact_gate_of_a_clean_change_and_of_a_lost_fusion(project: Project, tmp_path: Path) -> None:
    """The engines are real ones for an RTX 4090, which no test machine has to have."""
    gate = steps("github-cpu.yml")["Exact gate"]
    env = variables("github-cpu.yml")
    built_bundle(tmp_path / "head.v2v", tmp_path / "1", split=False)
    assert project.run(gate.rstrip() + " --write", env)[0] == 0
    status, told = project.run(gate, env)
    assert (status, "all as in" in told) == (0, True), told

    (tmp_path / "head.v2v").rename(tmp_path / "whole.v2v")
    built_bundle(tmp_path / "head.v2v", tmp_path / "2", split=True)
    status, told = project.run(gate, env)
    assert status == 3, told
    assert "rtx4090.tensorrt.look: attentions_fused was 2, is 1" in told


def test_the_build(project: Project, tmp_path: Path) -> None:
    """For the CPU alone: engines of other tests show that the rest builds."""
    env = {**variables("github-cpu.yml"), "GPU": "cpu"}
    status, told = project.run(steps("github-cpu.yml")["Build"], env)
    assert status == 0, told
    base, head = (Bundle.open(tmp_path / f"{side}.v2v") for side in ("base", "head"))
    assert base.manifest.identity == head.manifest.identity


def test_latency_and_pictures_of_a_clean_and_of_a_wrong_change(project: Project) -> None:
    commands, env = steps("github-cpu.yml")["Latency and pictures"], variables("github-cpu.yml")
    for side in ("base", "head"):
        write_negative(project.root / f"{side}.v2v", PICTURES)
    # Times of pictures this small say nothing on a shared machine: only twice as slow would fail.
    lenient = commands.replace("compare base.v2v", "compare --fail 99 --least 98 base.v2v")
    assert lenient != commands
    status, told = project.run(lenient, env)
    assert status == 0, told
    assert re.search(r"^(PASS|NOISY|INCONCLUSIVE): head", told, re.MULTILINE), told
    assert sorted(set((project.root / "ran").read_text().split())) == ["base", "head"]
    reports = project.root / "reports"
    assert {path.name for path in reports.iterdir()} == {"latency.json", "latency.html", "latency.xml"}

    write_negative(project.root / "wrong.v2v", PICTURES, wrong=5)
    (project.root / "head.v2v").rename(project.root / "right.v2v")
    (project.root / "wrong.v2v").rename(project.root / "head.v2v")
    status, told = project.run(commands, env)
    assert status == 3, told
    assert "off by up to 5 levels" in told
    suite = ElementTree.parse(reports / "latency.xml").getroot()
    failed = [case.attrib["name"] for case in suite if case.find("failure") is not None]
    assert "pictures" in failed


@pytest.mark.parametrize("file", WORKFLOWS)
def test_a_workflow_is_whole(file: str) -> None:
    read = workflow(file)
    (job,) = read["jobs"].values()
    # YAML 1.1 reads the key `on` as true.
    assert read[True]
    assert read["permissions"] == {"contents": "read"}
    assert job["timeout-minutes"] > 0
    for step in job["steps"]:
        assert ("run" in step) != ("uses" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
        else:
            assert subprocess.run(["bash", "-n", "-c", step["run"]], check=False).returncode == 0
    for name in re.findall(r'"\$([A-Z]\w*)"', " ".join(steps(file).values())):
        assert name in job["env"] or name.startswith("GITHUB_"), f"${name} is set nowhere"


def git(folder: Path, *words: str) -> str:
    known = ("git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *words)
    return subprocess.run(known, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("file", ["github-cpu.yml", "github-gpu.yml"])
def test_the_base_is_what_the_change_was_merged_into(file: str, project: Project, tmp_path: Path) -> None:
    """The base branch has moved on since the change was made, and no commit of it counts for the change."""
    (job,) = workflow(file)["jobs"].values()
    first = next(step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout"))
    origin = tmp_path / "origin"
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", str(origin))
    commit = ("commit", "--quiet", "--allow-empty", "-m")
    for words in (
        (*commit, "root"),
        ("checkout", "--quiet", "-b", "topic"),
        (*commit, "the change"),
        ("checkout", "--quiet", "main"),
        (*commit, "of somebody else"),
    ):
        git(origin, *words)
    base = git(origin, "rev-parse", "main")
    git(origin, "merge", "--quiet", "--no-ff", "--no-edit", "topic")
    shutil.rmtree(tmp_path / "head")
    depth = f"--depth={first['with']['fetch-depth']}"
    git(tmp_path, "clone", "--quiet", depth, origin.as_uri(), "head")
    output = tmp_path / "output"
    status, told = project.run(steps(file)["Revisions"], {"GITHUB_OUTPUT": str(output)})
    assert status == 0, told
    assert output.read_text() == f"base={base}\n"
    (second,) = [step for step in job["steps"] if step.get("with", {}).get("path") == "base"]
    assert second["with"]["ref"] == "${{ steps.revisions.outputs.base }}"


PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "local"
version = "1"
"""
BACKEND = """
from zipfile import ZipFile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "local-1-py3-none-any.whl"
    with ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr("local.py", "SIDE = '{side}'")
        about = "local-1.dist-info/"
        wheel.writestr(about + "METADATA", "Metadata-Version: 2.1\\nName: local\\nVersion: 1\\n")
        wheel.writestr(about + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(about + "RECORD", "")
    return name
"""
"""A package that each revision has of its own, built by itself: pip has nothing to fetch for it."""


@pytest.mark.parametrize(
    ("commands", "sides"),
    [
        (steps("github-cpu.yml")["Environments"], ("base", "head")),
        (steps("github-gpu.yml")["Environments"], ("base", "head")),
        (steps("github-history.yml")["Environment"], ("head",)),
        (workflow("gitlab-ci.yml")[".latency"]["before_script"][-1], ("base", "head")),
    ],
    ids=[*WORKFLOWS, "gitlab-ci.yml"],
)
def test_environments(commands: str, sides: tuple[str, ...], tmp_path: Path) -> None:
    """Real ones, whose requirements name a folder beside them, which is the revision's own."""
    project = Project(tmp_path)
    for side in ("base", "head"):
        package = tmp_path / side / "local"
        package.mkdir()
        (package / "pyproject.toml").write_text(PYPROJECT)
        (package / "backend.py").write_text(BACKEND.format(side=side))
        (tmp_path / side / "requirements.txt").write_text("./local\n")
        shutil.rmtree(tmp_path / f"{side}-env")
    names = tmp_path / "bin"
    names.mkdir()
    for name in ("python", "python3.11"):
        (names / name).symlink_to(sys.executable)
    path = {"PATH": f"{names}:{os.environ['PATH']}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    status, told = project.run(commands, path)
    assert status == 0, told
    for side in sides:
        script = "import local, sys; print(local.SIDE, sys.prefix)"
        made = tmp_path / f"{side}-env"
        command = [made / "bin" / "python", "-c", script]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == f"{side} {made}"
        assert (made / "bin" / "pip").exists()


def test_the_gpu_workflows_on_the_cpu(project: Project) -> None:
    """All of their commands, in order, with the target and the GPU that a machine without one has."""
    file = "github-gpu.yml"
    commands, env = steps(file), {**variables(file), "GPU": "cpu", "TARGET": "cpu", "DEADLINE": "10000"}
    status, told = project.run(commands["Build"], env)
    assert status == 0, told
    assert project.run(commands["Exact gate"].rstrip() + " --write", env)[0] == 0
    status, told = project.run(commands["Exact gate"], env)
    assert (status, "all as in" in told) == (0, True), told
    latency = commands["Latency and pictures"]
    lenient = latency.replace("compare base.v2v", "compare --fail 99 --least 98 base.v2v")
    status, told = project.run(lenient, env)
    # --strict: a machine that tests share may be too busy to judge on, and then says so.
    assert status == 0 or (status == 3 and re.search(r"^(NOISY|INCONCLUSIVE): head", told, re.MULTILINE)), (
        told
    )
    assert "miss rate +0.0 points" in told
    status, told = project.run(commands["Figures"], env)
    assert status == 0, told
    written = {path.name for path in (project.root / "reports").iterdir()}
    pages = {f"{name}.{kind}" for name in ("latency", "bench") for kind in ("html", "xml")}
    assert written == pages | {"latency.json", "budgets.xml"}
    assert not (project.root / "cache" / "history.jsonl").exists(), "a pull request's figures are not kept"

    commands, head = steps("github-history.yml"), project.root / "head"
    assert variables("github-history.yml").keys() <= env.keys()
    git(project.root, "init", "--quiet", "head")
    commits = []
    for message in ("one", "two"):
        git(head, "add", ".")
        git(head, "commit", "--quiet", "--allow-empty", "-m", message)
        commits.append(git(head, "rev-parse", "HEAD"))
        for name in ("Build", "Figures and history"):
            status, told = project.run(commands[name], {**env, "GITHUB_SHA": "f" * 40})
            assert status == 0, told
    assert "like this one" in told
    history = (project.root / "cache" / "history.jsonl").read_text()
    runs = [json.loads(line) for line in history.splitlines()]
    assert [run["commit"] for run in runs] == commits
    assert runs[0]["conditions"] == runs[1]["conditions"]


def test_only_commits_of_main_go_into_the_history() -> None:
    assert workflow("github-history.yml")[True] == {"push": {"branches": ["main"]}}
    keeping = {file for file in WORKFLOWS if "--history" in " ".join(steps(file).values())}
    assert keeping == {"github-history.yml"}
    jobs = workflow("gitlab-ci.yml")
    keeping = {name for name, job in jobs.items() if "--history" in " ".join(job.get("script", []))}
    assert keeping == {"latency history"}
    (rule,) = jobs["latency history"]["rules"]
    assert rule == {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"}


def test_gitlab_says_the_same() -> None:
    """Its commands are the workflow's, joined into lines."""
    jobs = workflow("gitlab-ci.yml")
    script = "\n".join(jobs[".latency"]["script"])
    flat = " ".join(steps("github-cpu.yml")["Latency and pictures"].replace("\\\n", " ").split())
    assert flat.removeprefix("mkdir -p reports ") in script
    assert steps("github-cpu.yml")["Exact gate"].strip() in script
    for name in ("latency", "latency on the GPU"):
        known = {**jobs[".latency"]["variables"], **jobs[name]["variables"]}
        for used in re.findall(r"\$(?:\{)?([A-Z]\w*)", script):
            assert used in known, f"${used} is set nowhere in {name}"
    kept = jobs["latency history"]
    ours = steps("github-history.yml")["Figures and history"].replace("\\\n", " ")
    theirs = "\n".join(kept["script"]).replace('"$CI_COMMIT_SHA"', '"$(git -C head rev-parse HEAD)"')
    words = " ".join(ours.replace('--deadline "$DEADLINE"', "").split())
    assert words.removeprefix("mkdir -p reports head-") in theirs
    for used in re.findall(r"\$([A-Z]\w*)", theirs):
        assert used in kept["variables"], f"${used} is set nowhere"
    for job in (jobs[".latency"], kept):
        assert job["artifacts"]["reports"]["junit"] == "reports/*.xml"
        for line in job.get("before_script", []) + job["script"]:
            assert subprocess.run(["bash", "-n", "-c", line], check=False).returncode == 0


def test_gitlab_takes_the_rules_of_every_job() -> None:
    """A job with `rules` may say `when` in them alone, and a manual one holds the pipeline up unless told."""
    jobs = workflow("gitlab-ci.yml")
    whole = {name: {**jobs.get(job.get("extends"), {}), **job} for name, job in jobs.items()}
    for name, job in whole.items():
        assert job["rules"], name
        assert not {"when", "only", "except"} & job.keys(), name
    (rule,) = whole["latency on the GPU"]["rules"]
    assert rule == {**jobs[".latency"]["rules"][0], "when": "manual", "allow_failure": True}


def test_every_option_is_one_that_the_tool_has() -> None:
    """Of the GPU's workflow too, whose commands cannot run here."""
    text = "\n".join((EXAMPLES / file).read_text() for file in WORKFLOWS)
    for command in ("build", "budgets", "compare", "bench"):
        done = subprocess.run(
            [sys.executable, "-c", TOOL, command, "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "COLUMNS": "400", "NO_COLOR": "1", "TERM": "dumb"},
        )
        for call in re.findall(rf"v2v-export {command} ((?:.|\\\n)*?)(?<!\\)\n", text):
            for option in re.findall(r"(?<=\s)--[a-z-]+", call):
                assert re.search(rf"{option}\b", done.stdout), f"{command} {option}"
