"""What the machine itself costs per step, engines' time taken off, for programs of 20, 80 and 160 slots.

Two backends: Python functions that do nothing, and ONNX Runtime on graphs of one Identity per slot. Each step
reads and rewrites every slot; a quarter of them are rings. What is printed is host time per ``push`` less the
time inside the bound runs, over steps after the warm-up. With ``--cpp``, the folder of a build of the C++
runtime, its machine plays the same programs over a backend that does nothing.

    python benchmarks/machine.py [--steps 2000] [--cpp build/cpp] [--json FILE]

Exit status 3: the machine costs more at 20 slots than it may (``LIMITS_US``).
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from _real import record
from v2v_runtime.backends import open_backend
from v2v_runtime.backends.base import Array, Backend
from v2v_runtime.backends.callables import CallableBackend
from v2v_runtime.manifest import canonical, identity
from v2v_runtime.manifest.model import (
    Call,
    Emit,
    FileEntry,
    FrameSpec,
    Graph,
    Manifest,
    Phase,
    Program,
    Ring,
    Slot,
    TensorSpec,
    Variant,
)
from v2v_runtime.seal import seal_of
from v2v_runtime.stream import Stream
from v2v_runtime.testing import MemoryBundle

RING = 8
WIDTH = 4
SLOTS_PER_CALL = 20
FRAME = TensorSpec("uint8", (1, 8, 8, 3))
FLAG = TensorSpec("bool", (1,))
#: The most that a step may cost at 20 slots, engines taken off: microseconds by backend.
LIMITS_US = {"callables": 150.0, "onnxruntime": 150.0, "C++": 30.0}
LIMITED_SLOTS = 20
BEYOND = 3


def program(slots: int) -> tuple[Program, dict[str, Graph]]:
    """``slots`` slots, a quarter of them rings, spread over calls of at most 20 slots each."""
    graphs: dict[str, Graph] = {}
    calls: list[Call] = []
    declared: dict[str, Slot] = {}
    frame = "frame"
    for first in range(0, slots, SLOTS_PER_CALL):
        names = [f"s{i}" for i in range(first, min(first + SLOTS_PER_CALL, slots))]
        inputs, outputs = {"x": FRAME}, {"y": FRAME, "ok": FLAG}
        reads: dict[str, str] = {"x": frame}
        writes: dict[str, str | None] = {"y": f"y{first}", "ok": None}
        for index, name in enumerate(names):
            ring = index % 4 == 3
            whole = TensorSpec("float", (RING, WIDTH) if ring else (1, WIDTH))
            declared[name] = Slot("float", whole.shape, ring=Ring(RING) if ring else None)
            inputs[name], outputs[f"{name}_new"] = whole, TensorSpec("float", (1, WIDTH))
            reads[name], writes[f"{name}_new"] = name, name
        inputs["step"] = TensorSpec("int64", (1,))
        reads["step"] = "step"
        graphs[f"g{first}"] = Graph(inputs, outputs)
        calls.append(Call(f"g{first}", f"g{first}", reads, writes, check=("ok",)))
        frame = f"y{first}"
    spec = FrameSpec(8, 8)
    phase = Phase("stream", "forever", tuple(calls), emit=Emit(frame))
    return Program({"frame": spec}, {"frame": spec}, (phase,), 1, declared), graphs


def manifest(slots: int) -> Manifest:
    made, graphs = program(slots)
    variant = Variant("float32", {name: f"graphs/{name}.onnx" for name in graphs})
    return Manifest("v2v.bundle/1", "bench", "synthetic", "0" * 64, (), graphs, {"cpu": variant}, made)


def functions(bench: Manifest) -> dict[str, Callable[[Mapping[str, Array]], Mapping[str, Array]]]:
    """Functions that give the same arrays every time."""

    def constant(graph: Graph) -> Callable[[Mapping[str, Array]], Mapping[str, Array]]:
        types = {"uint8": np.uint8, "bool": np.bool_, "float": np.float32}
        made = {name: np.ones(spec.shape, types[spec.dtype]) for name, spec in graph.outputs.items()}
        return lambda given: made

    return {name: constant(graph) for name, graph in bench.graphs.items()}


def write_onnx(bench: Manifest, folder: Path) -> dict[str, Path]:
    """One ONNX file per graph: an Identity per output (the first entry of a ring), and a true flag."""
    import onnx

    types = {"uint8": "uint8", "bool": "bool", "float": "float", "int64": "int64"}
    paths = {}
    for name, graph in bench.graphs.items():

        def ports(specs: Mapping[str, TensorSpec]) -> str:
            return ", ".join(f"{types[s.dtype]}[{','.join(map(str, s.shape))}] {p}" for p, s in specs.items())

        lines = ["y = Identity(x)", "ok = Constant<value = bool[1] {1}>()"]
        for port, spec in graph.inputs.items():
            if port in ("x", "step"):
                continue
            ring = spec.shape[0] == RING
            lines.append(f"{port}_new = {f'Slice({port}, zero, one)' if ring else f'Identity({port})'}")
        lines.insert(0, "zero = Constant<value = int64[1] {0}>()")
        lines.insert(0, "one = Constant<value = int64[1] {1}>()")
        text = (
            f'<ir_version: 10, opset_import: ["" : 18]> {name} ({ports(graph.inputs)}) => '
            f"({ports(graph.outputs)}) {{ {'; '.join(lines)} }}"
        )
        paths[name] = folder / f"{name}.onnx"
        paths[name].write_bytes(onnx.parser.parse_model(text.replace("; ", "\n")).SerializeToString())
    return paths


def measure(bundle: MemoryBundle, backend: Backend, steps: int) -> dict[str, float]:
    """Microseconds per push: all of it, inside runs, and the difference (median over blocks of steps)."""
    frame = np.zeros((8, 8, 3), np.uint8)
    out = np.empty((1, 8, 8, 3), np.uint8)
    with Stream(bundle, backend=backend, timing=True) as stream:
        for _ in range(4 * RING):
            stream.push(frame, out=out)
        before = stream.counters
        totals, own = [], []
        block = 50
        for _ in range(steps // block):
            inside = sum(t.total_ns for t in stream.times.values())
            start = time.perf_counter_ns()
            for _ in range(block):
                stream.push(frame, out=out)
            total = time.perf_counter_ns() - start
            inside = sum(t.total_ns for t in stream.times.values()) - inside
            totals.append(total / block / 1e3)
            own.append((total - inside) / block / 1e3)
        delta = stream.counters - before
    assert delta.allocations == 0, delta
    assert delta.bindings == 0, delta
    return {"total": statistics.median(totals), "own": statistics.median(own), "best": min(own)}


def measure_cpp(bench: Manifest, onnx: Mapping[str, Path], build: Path, steps: int) -> dict[str, float]:
    """The same of the C++ machine, whose backend takes no time worth the name."""
    with tempfile.TemporaryDirectory() as folder:
        graphs = {f"graphs/{name}.onnx": path.read_bytes() for name, path in onnx.items()}
        entries = [
            FileEntry(path, len(data), hashlib.sha256(data).hexdigest())
            for path, data in sorted(graphs.items())
        ]
        made = dataclasses.replace(bench, files=tuple(entries))
        made = dataclasses.replace(made, identity=identity(made))
        root = Path(folder) / "bench.v2v"
        (root / "graphs").mkdir(parents=True)
        for path, data in graphs.items():
            (root / path).write_bytes(data)
        text = canonical(made)
        (root / "bundle.json").write_bytes(text)
        (root / "bundle.sha256").write_bytes(seal_of("bundle.json", text))
        done = subprocess.run(
            [build / "v2v_machine", root, str(steps)], capture_output=True, text=True, check=True
        )
    found = json.loads(done.stdout)
    assert found["allocations"] == 0, found
    return {"total": found["own_us"], "own": found["own_us"], "best": found["best_us"]}


def beyond(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What the rows at 20 slots have beyond their limits, in words; each backend of a row has one."""
    limited = [(row, LIMITS_US[row["backend"]]) for row in rows if row["slots"] == LIMITED_SLOTS]
    return [
        f"{row['backend']}: {row['own_us']} us a step at {LIMITED_SLOTS} slots, at most {limit}"
        for row, limit in limited
        if not row["own_us"] <= limit
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--cpp", type=Path, help="folder of a build of the C++ runtime")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes what was found and on what machine")
    arguments = parser.parse_args()
    about = record.machine()
    steps = arguments.steps
    rows = []
    print(f"{'backend':<12} {'slots':>5} {'push us':>9} {'own us':>9} {'best own us':>12}")
    for slots in (20, 80, 160):
        bench = manifest(slots)
        bundle = MemoryBundle(bench)
        with tempfile.TemporaryDirectory() as folder:
            onnx = write_onnx(bench, Path(folder))
            onnx_bundle = MemoryBundle(bench, graphs=onnx)
            runtime = open_backend("onnxruntime", {"threads": 1})
            results = [
                ("callables", measure(bundle, CallableBackend(functions(bench)), steps)),
                ("onnxruntime", measure(onnx_bundle, runtime, steps)),
            ]
            if arguments.cpp is not None:
                results.append(("C++", measure_cpp(bench, onnx, arguments.cpp, steps)))
            for label, result in results:
                total, own, best = result["total"], result["own"], result["best"]
                print(f"{label:<12} {slots:>5} {total:>9.1f} {own:>9.1f} {best:>12.1f}")
                times = {f"{name}_us": round(value, 2) for name, value in result.items()}
                rows.append({"backend": label, "slots": slots, **times})
    if arguments.json is not None:
        document = {"schema": record.SCHEMA, "name": "machine", "case": {"steps": steps}, "machine": about}
        record.write_document(arguments.json, {**document, "rows": rows})
    for words in (found := beyond(rows)):
        print(words, file=sys.stderr)
    return BEYOND if found else 0


if __name__ == "__main__":
    sys.exit(main())
