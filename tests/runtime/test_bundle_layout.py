"""What may stand in a bundle's folder, and where its paths may lead."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.bundles import make_target, write_sample
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_target
from v2v_runtime.errors import BundleError, ManifestError
from v2v_runtime.manifest import identity, readable_json, to_json
from v2v_runtime.manifest.model import BlobRef, Manifest, Target
from v2v_runtime.safe_files import read_file
from v2v_runtime.seal import seal_of


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample(tmp_path_factory.mktemp("layout") / "sample.v2v").root


@pytest.fixture
def root(sample: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sample, tmp_path / "copy.v2v"))


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(BundleError) as caught:
        action()
    assert caught.value.seen
    return str(caught.value.code)


def rewrite(root: Path, manifest: Manifest, seal: bool = True) -> None:
    """Puts another manifest in place, as someone would who makes bundles by hand."""
    data = readable_json(to_json(manifest))
    (root / "bundle.json").write_bytes(data)
    if seal:
        (root / "bundle.sha256").write_bytes(seal_of("bundle.json", data))


def test_open_reads_what_was_written(root: Path) -> None:
    bundle = Bundle.open(root)
    assert bundle.root == root
    assert list(bundle.targets()) == ["cpu.onnxruntime", "rtx4090.tensorrt"]
    assert bundle.targets()["cpu.onnxruntime"].profile == "cpu"
    assert bundle.target_path(bundle.target("cpu")) == root / "targets/cpu.onnxruntime"
    gain = bundle.blob(bundle.manifest.program.params["gain"].default)
    assert gain.dtype == np.float32
    assert gain.tolist() == [0.5]
    table = bundle.blob(bundle.manifest.program.consts["table"].blob)
    assert table.tolist() == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 1


def test_sha256sum_reads_the_seals(root: Path) -> None:
    digest, name = (root / "bundle.sha256").read_text().split()
    assert name == "bundle.json"
    import hashlib

    assert digest == hashlib.sha256((root / "bundle.json").read_bytes()).hexdigest()


def test_nothing_there(tmp_path: Path) -> None:
    assert code_of(lambda: Bundle.open(tmp_path / "none")) == "V2V-E1001"
    assert code_of(lambda: Bundle.open(tmp_path)) == "V2V-E1002"
    (tmp_path / "file").write_bytes(b"x")
    assert code_of(lambda: Bundle.open(tmp_path / "file")) == "V2V-E1002"


def test_an_empty_path_is_not_the_current_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert code_of(lambda: Bundle.open("")) == "V2V-E1001"
    assert Bundle.open(".").root == root


def test_a_recipe_is_no_bundle_yet(tmp_path: Path) -> None:
    recipe = tmp_path / "v2v.toml"
    recipe.write_text("")
    with pytest.raises(BundleError, match=r"V2V-E1002") as caught:
        Bundle.open(recipe)
    assert f"v2v-export build {recipe}`" in caught.value.fix


def test_a_link_to_the_whole_bundle_is_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(root)
    assert Bundle.open(tmp_path / "latest").root == root


@pytest.mark.parametrize(
    "path",
    [
        "notes.txt",
        "targets/notes.txt",
        "graphs/extra.onnx",
        "graphs/deep/er/extra",
        "blobs/extra",
        "cache/jit",
        ".hidden",
    ],
)
def test_unlisted_file(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(b"x")
    assert code_of(lambda: Bundle.open(root)) == "V2V-E1013"


def test_unlisted_file_in_a_target(root: Path) -> None:
    (root / "targets/cpu.onnxruntime/jit.cache").write_bytes(b"x")
    bundle = Bundle.open(root)
    assert code_of(lambda: bundle.target("cpu")) == "V2V-E1013"
    assert bundle.target("rtx4090").profile == "rtx4090"


def test_unfinished_target_is_passed_over(root: Path) -> None:
    (root / "targets/.tmp-0123").mkdir()
    (root / "targets/.tmp-0123/half.plan").write_bytes(b"x")
    assert list(Bundle.open(root).targets()) == ["cpu.onnxruntime", "rtx4090.tensorrt"]


@pytest.mark.parametrize(
    "path", ["bundle.json", "bundle.sha256", "graphs/tint.onnx", "blobs/tables.safetensors"]
)
def test_symbolic_link_to_a_file(root: Path, tmp_path: Path, path: str) -> None:
    shutil.move(root / path, tmp_path / "outside")
    (root / path).symlink_to(tmp_path / "outside")
    assert code_of(lambda: Bundle.open(root)) == "V2V-E1014"


@pytest.mark.parametrize("path", ["graphs", "graphs/shared", "blobs", "targets"])
def test_symbolic_link_to_a_folder(root: Path, tmp_path: Path, path: str) -> None:
    shutil.move(root / path, tmp_path / "outside")
    (root / path).symlink_to(tmp_path / "outside")
    assert code_of(lambda: Bundle.open(root)) == "V2V-E1014"


@pytest.mark.parametrize("path", ["targets/cpu.onnxruntime", "targets/rtx4090.tensorrt/engines"])
def test_symbolic_link_in_a_target(root: Path, tmp_path: Path, path: str) -> None:
    shutil.move(root / path, tmp_path / "outside")
    (root / path).symlink_to(tmp_path / "outside")

    def open_both() -> None:
        bundle = Bundle.open(root)
        bundle.target("cpu")
        bundle.target("rtx4090")

    assert code_of(open_both) == "V2V-E1014"


def test_dangling_link(root: Path) -> None:
    (root / "graphs/gone").symlink_to(root / "nowhere")
    assert code_of(lambda: Bundle.open(root)) == "V2V-E1014"


@pytest.mark.parametrize("path", ["bundle.json", "graphs/tint.onnx", "graphs/shared/weights.data"])
def test_hard_link(root: Path, tmp_path: Path, path: str) -> None:
    os.link(root / path, tmp_path / "second name")
    assert code_of(lambda: Bundle.open(root)) == "V2V-E1014"
    (tmp_path / "second name").unlink()
    Bundle.open(root)


def test_hard_link_of_an_engine(root: Path, tmp_path: Path) -> None:
    os.link(root / "targets/rtx4090.tensorrt/engines/tint.plan", tmp_path / "second name")
    assert code_of(lambda: Bundle.open(root).target("rtx4090")) == "V2V-E1014"


def test_fifo_and_folder_in_the_place_of_a_file(root: Path) -> None:
    (root / "graphs/tint.onnx").unlink()
    os.mkfifo(root / "graphs/tint.onnx")
    assert code_of(lambda: Bundle.open(root)) == "V2V-E1015"
    (root / "graphs/tint.onnx").unlink()
    (root / "graphs/tint.onnx").mkdir()
    assert code_of(lambda: Bundle.open(root)) == "V2V-E1015"


@pytest.mark.parametrize(
    "path", ["../secret", "graphs/../../secret", "/etc/hostname", "graphs//tint.onnx", ".", "", "a\0b"]
)
def test_paths_that_leave(root: Path, path: str) -> None:
    (root.parent / "secret").write_bytes(b"x")
    assert code_of(lambda: read_file(root, path, most=10)) == "V2V-E1017"


def test_traversal_in_the_manifest(root: Path) -> None:
    manifest = Bundle.open(root).manifest
    entry = manifest.files[0]
    evil = dataclasses.replace(entry, path="graphs/../../secret")
    rewrite(root, dataclasses.replace(manifest, files=(evil, *manifest.files[1:])))
    with pytest.raises(ManifestError) as caught:
        Bundle.open(root)
    assert caught.value.code == "V2V-E2021"


def test_edited_manifest_with_a_seal_of_its_own(root: Path) -> None:
    manifest = Bundle.open(root).manifest
    longer = tuple(dataclasses.replace(entry, size=entry.size + 1) for entry in manifest.files)
    edited = dataclasses.replace(manifest, files=longer)
    rewrite(root, edited, seal=False)
    assert code_of(lambda: Bundle.open(root)) == "V2V-E1016"
    rewrite(root, edited)
    with pytest.raises(ManifestError) as caught:
        Bundle.open(root)
    assert caught.value.code == "V2V-E2030"
    rewrite(root, dataclasses.replace(edited, identity=identity(edited)))
    assert code_of(lambda: Bundle.open(root)) == "V2V-E1011"


def test_future_schema(root: Path) -> None:
    data = (root / "bundle.json").read_bytes().replace(b"v2v.bundle/1", b"v2v.bundle/2")
    (root / "bundle.json").write_bytes(data)
    (root / "bundle.sha256").write_bytes(seal_of("bundle.json", data))
    with pytest.raises(ManifestError) as caught:
        Bundle.open(root)
    assert caught.value.code == "V2V-E2010"
    assert "newer" in caught.value.fix


@pytest.mark.parametrize(
    ("tensor", "code"), [("nothing", "V2V-E1034"), ("gain", "V2V-E1035"), ("table", None)]
)
def test_blob_that_is_not_what_was_declared(root: Path, tensor: str, code: str | None) -> None:
    manifest = Bundle.open(root).manifest
    const = dataclasses.replace(
        manifest.program.consts["table"], blob=BlobRef("blobs/tables.safetensors", tensor)
    )
    edited = dataclasses.replace(
        manifest, program=dataclasses.replace(manifest.program, consts={"table": const})
    )
    rewrite(root, dataclasses.replace(edited, identity=identity(edited)))
    if code is None:
        Bundle.open(root)
    else:
        assert code_of(lambda: Bundle.open(root, verify="sizes")) == code


def test_choice_of_target(root: Path) -> None:
    bundle = Bundle.open(root)
    assert bundle.target("rtx4090") == bundle.target("rtx4090.tensorrt")
    for name in (None, "rtx4080", "rtx4090.onnxruntime"):
        with pytest.raises(BundleError) as caught:
            bundle.target(name)
        assert caught.value.code == "V2V-E1020"
        assert "cpu.onnxruntime, rtx4090.tensorrt" in str(caught.value)
    with pytest.raises(KeyError):
        bundle.targets()["rtx4080.tensorrt"]
    shutil.rmtree(root / "targets/rtx4090.tensorrt")
    assert bundle.target().profile == "cpu"
    write_target(root, make_target(backend="tensorrt"))
    assert code_of(lambda: bundle.target("cpu")) == "V2V-E1020"
    shutil.rmtree(root / "targets")
    assert code_of(bundle.target) == "V2V-E1020"


def edit_target(root: Path, change: Callable[[Target], Target], name: str = "cpu.onnxruntime") -> None:
    folder = root / "targets" / name
    data = readable_json(to_json(change(Bundle.open(root).targets()[name])))
    (folder / "target.json").write_bytes(data)
    (folder / "target.sha256").write_bytes(seal_of("target.json", data))


def test_target_of_another_bundle(root: Path) -> None:
    edit_target(root, lambda target: dataclasses.replace(target, bundle="0" * 64))
    assert code_of(lambda: Bundle.open(root).target("cpu.onnxruntime")) == "V2V-E1021"


def test_target_that_does_not_fit(root: Path) -> None:
    edit_target(root, lambda target: dataclasses.replace(target, variant="fast"))
    assert code_of(lambda: Bundle.open(root).target("cpu.onnxruntime")) == "V2V-E1022"


def test_target_with_an_unknown_graph(root: Path) -> None:
    edit_target(root, lambda target: dataclasses.replace(target, engines={"tin": "build.txt"}))
    assert code_of(lambda: Bundle.open(root).target("cpu.onnxruntime")) == "V2V-E1022"


def test_target_in_the_wrong_folder(root: Path) -> None:
    os.rename(root / "targets/cpu.onnxruntime", root / "targets/gpu.onnxruntime")
    assert code_of(lambda: Bundle.open(root).target("gpu.onnxruntime")) == "V2V-E1022"


def test_unreadable(root: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (root / "graphs/tint.onnx").chmod(0)
    assert code_of(lambda: Bundle.open(root)) == "V2V-E1004"
