"""Valid and invalid ``target.json`` files."""

from __future__ import annotations

from conformance.edits import Mistake, cut, put
from conformance.plain import Json


def portable() -> Json:
    """A target that runs every graph from its ONNX file: nothing of its own on disk."""
    return {
        "schema": "v2v.target/1",
        "bundle": "ab" * 32,
        "profile": "cpu",
        "backend": "onnxruntime",
        "variant": "cpu-fp32",
        "status": "verified",
        "options": {"provider": "cpu", "threads": 2},
    }


def engines() -> Json:
    """Two engines and a log, with the free parts filled."""
    names = ["decode.plan", "logs/build.txt", "unet.plan"]
    return {
        "schema": "v2v.target/1",
        "bundle": "01" * 32,
        "profile": "rtx4090",
        "backend": "tensorrt",
        "variant": "gpu-fp16",
        "status": "built",
        "files": [{"path": name, "size": 10 + i, "sha256": f"{i}" * 64} for i, name in enumerate(names)],
        "engines": {"unet": "unet.plan", "decode": "decode.plan"},
        "options": {"flavour": "rtx", "compute_capability": "8.9"},
        "engine_key": {"unet": {"opset": 23}},
        "counters": {"unet": {"kernels": 536, "scale": 0.5}},
        "verification": {"not_run": ["no GPU on this machine"]},
        "provenance": {"tensorrt_rtx": "1.7.1.116"},
    }


def defaults_written() -> Json:
    """The portable target with every default written out, its keys in another order."""
    empty: Json = {name: {} for name in ("provenance", "verification", "counters", "engine_key", "engines")}
    return {"files": [], **empty, **portable()}


VALID_TARGETS = {"portable": portable, "defaults_written": defaults_written, "engines": engines}

TARGET_MISTAKES = [
    Mistake("schema_future", "V2V-E2010", portable, put("schema", "v2v.target/2")),
    Mistake("schema_of_bundle", "V2V-E2011", portable, put("schema", "v2v.bundle/1")),
    Mistake("key_unknown", "V2V-E2012", portable, put("precision", "fp16")),
    Mistake("key_missing", "V2V-E2013", portable, cut("variant")),
    Mistake("options_are_no_object", "V2V-E2014", portable, put("options", [])),
    Mistake("status_unknown", "V2V-E2015", portable, put("status", "passed")),
    Mistake("profile_is_no_name", "V2V-E2020", portable, put("profile", "rtx.4090")),
    Mistake("path_leaves_the_folder", "V2V-E2021", engines, put("files 0 path", "../decode.plan")),
    Mistake("size_negative", "V2V-E2024", engines, put("files 0 size", -1)),
    Mistake("bundle_is_no_hash", "V2V-E2025", portable, put("bundle", "AB" * 32)),
    Mistake("files_unsorted", "V2V-E2031", engines, lambda d: d["files"].reverse()),
    Mistake("files_hold_target_json", "V2V-E2031", engines, put("files 1 path", "target.json")),
    Mistake("files_hold_the_seal", "V2V-E2031", engines, put("files 1 path", "target.sha256")),
    Mistake("engine_not_listed", "V2V-E2080", engines, put("engines unet", "unet.engine")),
]
