"""Valid manifests that each show one feature of the format, at toy sizes."""

from __future__ import annotations

from conformance.plain import FRAME, Json, blob, bundle, call, graph, program, tensor, view


def minimal() -> Json:
    """One graph, no state."""
    graphs = {"invert": graph({"x": FRAME}, {"y": FRAME})}
    play = {
        "name": "play",
        "steps": "forever",
        "calls": [call("invert", {"x": "video"}, {"y": "out"})],
        "emit": {"tensor": "out"},
    }
    return bundle("minimal", graphs, program([play]))


def ring_history() -> Json:
    """A ring read whole, by a view and by its counter, with a blob to begin from; a later phase resets it."""
    counter = tensor("int64", 1)
    ring = tensor("uint8", 5, 4, 6, 3)
    graphs = {
        "push": graph({"x": FRAME}, {"y": FRAME}),
        "median": graph(
            {"ring": ring, "pair": tensor("uint8", 2, 4, 6, 3), "count": counter, "step": counter},
            {"y": FRAME},
        ),
    }
    median = {"ring": "history", "pair": view("history", 3, 2), "count": "history.count", "step": "step"}
    fill = {"name": "fill", "steps": 7, "calls": [call("push", {"x": "video"}, {"y": "history"})]}
    play = {
        "name": "play",
        "steps": "forever",
        "resets": ["history"],
        "calls": [
            call("push", {"x": "video"}, {"y": "history"}),
            call("median", median, {"y": "out"}),
        ],
        "emit": {"tensor": "out", "drop_first": 4},
    }
    slots = {"history": {**ring, "init": blob("grey"), "ring": {"length": 5}}}
    return bundle("ring", graphs, program([fill, play], slots=slots))


def limits() -> Json:
    """Params with limits: as wide as may be, of one value, below zero; and one without."""
    specs = {
        "byte": (tensor("uint8", 2), {"low": 0, "high": 255}),
        "token": (tensor("int32", 1, 77), {"low": -(2**31), "high": 2**31 - 1}),
        "wide": (tensor("int64", 1), {"low": -(2**53), "high": 2**53}),
        "share": (tensor("float", 1), {"low": -1, "high": 1}),
        "one": (tensor("float16", 1), {"low": 3, "high": 3}),
        "free": (tensor("float32", 1), None),
    }
    inputs = {name: spec for name, (spec, _) in specs.items()}
    play = {
        "name": "play",
        "steps": "forever",
        "calls": [call("mix", {"x": "video", **{name: name for name in specs}}, {"y": "out"})],
        "emit": {"tensor": "out"},
    }
    params = {
        name: {**spec, "default": blob(name), **({"limits": limits} if limits else {})}
        for name, (spec, limits) in specs.items()
    }
    return bundle(
        "limits", {"mix": graph({"x": FRAME, **inputs}, {"y": FRAME})}, program([play], params=params)
    )


def limits_written() -> Json:
    """``limits`` with a null where there are none: the same identity."""
    document = limits()
    document["program"]["params"]["free"]["limits"] = None
    return document


def in_place_ring() -> Json:
    """The program itself asks for an in-place ring; its writer is the last one that reads it."""
    ring = tensor("uint8", 5, 4, 6, 3)
    graphs = {"push": graph({"x": FRAME, "ring": ring}, {"new": FRAME, "y": FRAME})}
    push = call("push", {"x": "video", "ring": "history"}, {"new": "history", "y": "out"}, in_place=["new"])
    play = {"name": "play", "steps": "forever", "calls": [push], "emit": {"tensor": "out"}}
    slots = {"history": {**ring, "ring": {"length": 5}}}
    return bundle("in place", graphs, program([play], slots=slots))


def in_place_update() -> Json:
    """One view on both sides of a call, in place: the graph updates the slot, whose entries are inside."""
    cache = tensor("float", 1, 1, 8, 72)
    graphs = {
        "keep": graph({"x": FRAME, "cache": cache, "step": tensor("int64", 1)}, {"new": cache, "y": FRAME})
    }
    keep = call(
        "keep",
        {"x": "video", "cache": view("entries", 0, 1), "step": "step"},
        {"new": view("entries", 0, 1), "y": "out"},
        in_place=["new"],
    )
    play = {
        "name": "play",
        "steps": "forever",
        "resets": ["entries"],
        "calls": [keep],
        "emit": {"tensor": "out"},
    }
    return bundle("in place update", graphs, program([play], slots={"entries": cache}))


def selftest() -> Json:
    """Two variants with their tolerances, frames that come out at twice the size, text beyond ASCII."""
    large = tensor("uint8", 1, 8, 12, 3)
    graphs = {"upscale": graph({"x": FRAME}, {"y": large})}
    play = {
        "name": "play",
        "steps": "forever",
        "calls": [call("upscale", {"x": "video"}, {"y": "out"})],
        "emit": {"tensor": "out"},
    }
    variants = {
        "fp32": {"float": "float32", "graphs": {"upscale": "graphs/fp32/upscale.onnx"}},
        "fp16": {"float": "float16", "graphs": {"upscale": "graphs/fp16/upscale.onnx"}},
    }
    return bundle(
        "Großbild 画",
        graphs,
        {**program([play]), "outputs": {"large": {"height": 8, "width": 12}}},
        variants,
        selftest={
            "input": blob("input", "blobs/selftest.safetensors"),
            "output": blob("output", "blobs/selftest.safetensors"),
            "tolerance": {"float32": 0, "float16": 2},
        },
        provenance={
            "torch": "2.13.0",
            "psnr": 41.25,
            "notes": ["é", "\t", None, True, {"deep": [1, 2.5e-7]}],
        },
    )


def long_names() -> Json:
    """Names and paths of the greatest length, the greatest rank, disjoint schedules over several periods."""
    name, port = "n" * 64, "p-" * 32
    path = "graphs/" + "d" * 100 + "/" + "f" * (200 - 7 - 101 - 5) + ".onnx"
    wide = tensor("int32", 1, 1, 1, 1, 1, 1, 1, 2)
    graphs = {name: graph({port: FRAME}, {"y": FRAME, "w": wide}), "use": graph({"w": wide}, {"w2": wide})}
    schedule = [
        ("a", {"every": 2, "at": [0]}),
        ("b", {"every": 6, "at": [1, 3]}),
        ("c", {"every": 12, "at": [5, 11]}),
    ]
    calls = [call(x, {port: "video"}, {"y": "out", "w": "w"}, name, when=when) for x, when in schedule]
    calls.append(call("use", {"w": "w"}, {"w2": "kept"}, when={"every": 4, "at": [0, 2]}))
    play = {"name": "play", "steps": "forever", "calls": calls, "emit": {"tensor": "out"}}
    variants = {"v": {"float": "float32", "graphs": {name: path, "use": "graphs/use.onnx"}}}
    return bundle("x" * 128, graphs, program([play], slots={"kept": wide}), variants)


def short_phase() -> Json:
    """A phase too short for its schedules' period, and one that takes 6 frames and hands over 1."""
    frames, pair = tensor("uint8", 3, 4, 6, 3), tensor("uint8", 2, 4, 6, 3)
    graphs = {"one": graph({"x": FRAME}, {"y": FRAME}), "three": graph({"x": frames}, {"y": pair})}
    short = {
        "name": "short",
        "steps": 2,
        "calls": [
            call("even", {"x": "video"}, {"y": "out"}, "one", when={"every": 4093, "at": [0]}),
            call("odd", {"x": "video"}, {"y": "out"}, "one", when={"every": 4091, "at": [1]}),
        ],
        "emit": {"tensor": "out"},
    }
    drop = {
        "name": "drop",
        "steps": 2,
        "gather": 3,
        "calls": [call("three", {"x": "video"}, {"y": "out"})],
        "emit": {"tensor": "out", "drop_first": 3},
    }
    play = {
        "name": "play",
        "steps": "forever",
        "calls": [call("one", {"x": "video"}, {"y": "out"})],
        "emit": {"tensor": "out"},
    }
    return bundle("short", graphs, program([short, drop, play], 1))


def deepest() -> Json:
    """Arrays and objects nested 64 deep: the document, its provenance, and 62 arrays."""
    notes: list[object] = []
    for _ in range(61):
        notes = [notes]
    return {**minimal(), "name": "deepest", "provenance": {"notes": notes}}


def defaults_written() -> Json:
    """``minimal`` with every default written out: the same identity."""
    document = minimal()
    document["graphs"]["invert"]["resident"] = "always"
    document["variants"]["main"]["calls"] = {}
    video = {"height": 4, "width": 6, "format": "rgb8", "layout": "HWC"}
    document["program"] |= {
        "inputs": {"video": video},
        "outputs": {"video": video},
        "slots": {},
        "params": {},
        "consts": {},
    }
    play = document["program"]["phases"][0]
    play |= {"gather": 1, "resets": [], "skip": None, "emit": {"tensor": "out", "drop_first": 0}}
    play["calls"][0] |= {"when": None, "rows": None, "late": False, "check": [], "in_place": []}
    return {**document, "selftest": None, "provenance": {}}
