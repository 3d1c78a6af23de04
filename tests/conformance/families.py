"""The five families that the stream program is made for, as manifests: real structure, toy sizes."""

from __future__ import annotations

from conformance.plain import FRAME, Json, blob, bundle, call, graph, program, tensor, view


def _shortcut_graphs() -> Json:
    ref = tensor("float", 1, 8, 2, 3)
    flag = tensor("bool", 1)
    return {
        "full": graph({"frame": FRAME}, {"out": FRAME, "ref": ref, "ok": flag}),
        "shortcut": graph({"frame": FRAME, "ref": ref}, {"out": FRAME, "a": tensor("float", 1, 4, 2, 3)}),
        "refresh": graph({"a": tensor("float", 1, 4, 2, 3)}, {"ref": ref}),
    }


def _first_frame() -> Json:
    full = call("full", {"frame": "video"}, {"out": "out", "ref": "ref", "ok": None}, check=["ok"])
    return {"name": "first", "steps": 1, "calls": [full], "emit": {"tensor": "out"}}


def shortcut_late_refresh() -> Json:
    """Shortcut-V2V, interval 3, schedule ``shortcut``: the reference is rewritten after the frame is out."""
    stream = {
        "name": "stream",
        "steps": "forever",
        "calls": [
            call("shortcut", {"frame": "video", "ref": "ref"}, {"out": "out", "a": "a"}),
            call("refresh", {"a": "a"}, {"ref": "ref"}, when={"every": 3, "at": [2]}, late=True),
        ],
        "emit": {"tensor": "out"},
    }
    slots = {"ref": tensor("float", 1, 8, 2, 3)}
    return bundle("shortcut", _shortcut_graphs(), program([_first_frame(), stream], slots=slots))


def shortcut_teacher_refresh() -> Json:
    """Shortcut-V2V, interval 3, schedule ``teacher``: two calls make ``out`` in steps of their own."""
    graphs = _shortcut_graphs()
    del graphs["refresh"]
    outputs = {"out": "out", "ref": "ref", "ok": "finite"}
    stream = {
        "name": "stream",
        "steps": "forever",
        "calls": [
            call(
                "shortcut",
                {"frame": "video", "ref": "ref"},
                {"out": "out", "a": None},
                when={"every": 3, "at": [0, 1]},
            ),
            call("full", {"frame": "video"}, outputs, when={"every": 3, "at": [2]}, check=["ok"]),
        ],
        "emit": {"tensor": "out"},
    }
    slots = {"ref": tensor("float", 1, 8, 2, 3)}
    return bundle("shortcut teacher", graphs, program([_first_frame(), stream], slots=slots))


def live2diff() -> Json:
    """Live2Diff, 2 denoising steps: a warm-up over 4 frames fills the sinks row by row; then K/V rings."""
    latent, frames = tensor("float", 1, 2, 3), tensor("uint8", 4, 4, 6, 3)
    latents, sink_row = tensor("float", 4, 2, 3), tensor("float", 1, 4, 2, 3)
    sinks, ring, counter = tensor("float", 2, 4, 2, 3), tensor("float", 3, 2, 3), tensor("int64", 1)
    coefficient = tensor("float", 1, 2)
    graphs = {
        "encode_all": graph({"x": frames}, {"z": latents}, resident="phase"),
        "denoise_all": graph(
            {"z": latents, "c": coefficient}, {"z_out": latents, "kv": sink_row}, resident="phase"
        ),
        "decode_all": graph({"z": latents}, {"y": frames}, resident="phase"),
        "encode": graph({"x": FRAME}, {"z": latent, "depth": latent}),
        "unet_step": graph(
            {
                "z": latent,
                "depth": latent,
                "x_buf": latent,
                "sinks": sinks,
                "ring": ring,
                "step": counter,
                "count": counter,
                "c": tensor("float", 2, 2),
            },
            {"x_next": latent, "kv": latent, "z_out": latent},
        ),
        "decode": graph({"z": latent}, {"y": FRAME}),
    }
    warmup = {
        "name": "warmup",
        "steps": 1,
        "gather": 4,
        "calls": [
            call("encode_all", {"x": "video"}, {"z": "z0"}),
            call(
                "denoise0",
                {"z": "z0", "c": view("table", 0)},
                {"z_out": "z1", "kv": view("sinks", 0)},
                "denoise_all",
            ),
            call(
                "denoise1",
                {"z": "z1", "c": view("table", 1)},
                {"z_out": "z2", "kv": view("sinks", 1)},
                "denoise_all",
            ),
            call("decode_all", {"z": "z2"}, {"y": "out"}),
        ],
        "emit": {"tensor": "out"},
    }
    unet_inputs = {
        "z": "z",
        "depth": "depth",
        "x_buf": "x_buf",
        "sinks": "sinks",
        "ring": "kv",
        "step": "step",
        "count": "kv.count",
        "c": "table",
    }
    stream = {
        "name": "stream",
        "steps": "forever",
        "resets": ["kv", "x_buf"],
        "calls": [
            call("encode", {"x": "video"}, {"z": "z", "depth": "depth"}),
            call("unet", unet_inputs, {"x_next": "x_buf", "kv": "kv", "z_out": "clean"}, "unet_step"),
            call("decode", {"z": "clean"}, {"y": "out"}),
        ],
        "emit": {"tensor": "out", "drop_first": 1},
    }
    slots = {
        "sinks": sinks,
        "kv": {**ring, "ring": {"length": 3}},
        "x_buf": latent,
    }
    consts = {"table": {**tensor("float", 2, 2), "blob": blob("coefficients")}}

    def files(folder: str) -> Json:
        return {name: f"graphs/{folder}/{name}.onnx" for name in graphs}

    variants = {
        "cpu-fp32": {"float": "float32", "graphs": files("fp32")},
        "gpu-fp16": {"float": "float16", "graphs": files("fp16")},
        "gpu-fp16-in-place": {
            "float": "float16",
            "graphs": files("fp16-in-place"),
            "calls": {
                "stream/unet": {"in_place": ["kv"]},
                "warmup/denoise0": {"in_place": ["kv"]},
                "warmup/denoise1": {"in_place": ["kv"]},
            },
        },
    }
    return bundle("live2diff", graphs, program([warmup, stream], 4, slots=slots, consts=consts), variants)


def stream_diffusion() -> Json:
    """StreamDiffusion: the text encoder runs when the prompt changes; samplers are updates from tables."""
    latent, rows = tensor("float", 1, 2, 3), tensor("float", 2, 2, 3)
    text, cond, counter = tensor("int32", 1, 7), tensor("float", 7, 5), tensor("int64", 1)
    coefficients = tensor("float", 2, 3)
    graphs = {
        "text_encoder": graph({"tokens": text}, {"cond": cond}),
        "cross_kv": graph({"cond": cond, "scale": tensor("float", 1)}, {"k": cond}),
        "encode": graph({"x": FRAME}, {"z": latent}),
        "unet": graph(
            {"z": latent, "x_buf": latent, "k": cond, "noise": tensor("float", 16, 2, 3), "index": counter},
            {"o": rows, "x_t": rows},
        ),
        "sample": graph({"x_t": rows, "o": rows, "abc": coefficients}, {"clean": latent, "x_next": latent}),
        "decode": graph({"z": latent}, {"y": FRAME}),
    }
    stream = {
        "name": "stream",
        "steps": "forever",
        "calls": [
            call(
                "text", {"tokens": "prompt"}, {"cond": "cond"}, "text_encoder", when={"changed": ["prompt"]}
            ),
            call(
                "cross_kv",
                {"cond": "cond", "scale": "guidance"},
                {"k": "k"},
                when={"changed": ["prompt", "guidance"]},
            ),
            call("encode", {"x": "video"}, {"z": "z"}),
            call(
                "unet",
                {"z": "z", "x_buf": "x_buf", "k": "k", "noise": "noise", "index": "frame_index"},
                {"o": "o", "x_t": "x_t"},
            ),
            call("sample", {"x_t": "x_t", "o": "o", "abc": "abc"}, {"clean": "clean", "x_next": "x_buf"}),
            call("decode", {"z": "clean"}, {"y": "out"}),
        ],
        "emit": {"tensor": "out", "drop_first": 1},
    }
    slots = {"cond": cond, "k": cond, "x_buf": latent}
    params = {
        "prompt": {**text, "default": blob("tokens", "blobs/defaults.safetensors")},
        "guidance": {**tensor("float", 1), "default": blob("guidance", "blobs/defaults.safetensors")},
        "abc": {**coefficients, "default": blob("lcm", "blobs/defaults.safetensors")},
    }
    consts = {"noise": {**tensor("float", 16, 2, 3), "blob": blob("noise")}}
    return bundle("stream diffusion", graphs, program([stream], slots=slots, params=params, consts=consts))


def streamv2v() -> Json:
    """StreamV2V: a priming phase fills the bank, a late call rewrites it, a filter skips equal frames."""
    bank, feature = tensor("float", 4, 3), tensor("float", 1, 3)
    graphs = {
        "similar": graph({"x": FRAME, "last": FRAME}, {"same": tensor("bool", 1), "seen": FRAME}),
        "unet": graph({"x": FRAME, "bank": bank}, {"y": FRAME, "shown": FRAME, "feature": feature}),
        "bank_update": graph({"bank": bank, "feature": feature}, {"new": bank}),
    }
    outputs = {"y": "out", "shown": "shown", "feature": "feature"}
    prime = {
        "name": "prime",
        "steps": 2,
        "calls": [
            call("unet", {"x": "video", "bank": "bank"}, outputs),
            call("fill", {"bank": "bank", "feature": "feature"}, {"new": "bank"}, "bank_update"),
        ],
        "emit": {"tensor": "out"},
    }
    stream = {
        "name": "stream",
        "steps": "forever",
        "calls": [
            call("similar", {"x": "video", "last": "last"}, {"same": "same", "seen": "last"}),
            call("unet", {"x": "video", "bank": "bank"}, outputs),
            call(
                "bank_update",
                {"bank": "bank", "feature": "feature"},
                {"new": "bank"},
                when={"every": 4, "at": [0]},
                late=True,
            ),
        ],
        "skip": {"tensor": "same", "frame": "shown"},
        "emit": {"tensor": "out"},
    }
    slots = {"last": FRAME, "shown": FRAME, "bank": bank}
    return bundle("streamv2v", graphs, program([prime, stream], slots=slots))


def lipar() -> Json:
    """LIPAR: chunks of 3 frames, the transformer on the kept tokens alone, memory written by a late call."""
    frames, tokens, count = tensor("uint8", 3, 4, 6, 3), tensor("float", 8, 5), tensor("int32", 1)
    memory = tensor("float", 8, 5)
    graphs = {
        "plan": graph({"x": frames, "history": memory}, {"kept": tokens, "count": count, "seen": memory}),
        "dit_step": graph(
            {"kept": tokens, "memory": memory, "sink": memory, "t": tensor("float", 1)}, {"out": tokens}
        ),
        "assemble": graph({"kept": tokens}, {"y": frames, "full": memory}),
        "memorise": graph({"full": memory, "memory": memory}, {"new": memory}),
    }

    def dit(i: int) -> Json:
        return call(
            f"dit{i}",
            {"kept": f"kept{i}", "memory": "memory", "sink": "sink", "t": view("timesteps", i)},
            {"out": f"kept{i + 1}"},
            "dit_step",
            rows={"count": "count", "buckets": [2, 4, 8], "ports": ["kept", "out"], "at_zero": "skip"},
        )

    stream = {
        "name": "stream",
        "steps": "forever",
        "gather": 3,
        "calls": [
            call(
                "plan",
                {"x": "video", "history": "history"},
                {"kept": "kept0", "count": "count", "seen": "history"},
            ),
            *(dit(i) for i in range(3)),
            call("assemble", {"kept": "kept3"}, {"y": "out", "full": "full"}),
            call("memorise", {"full": "full", "memory": "memory"}, {"new": "memory"}, late=True),
        ],
        "emit": {"tensor": "out"},
    }
    slots = {"history": memory, "memory": memory}
    consts = {
        "sink": {**memory, "blob": blob("sink")},
        "timesteps": {**tensor("float", 3), "blob": blob("timesteps")},
    }
    variants = {
        "main": {"float": "float32", "graphs": {name: f"graphs/{name}.onnx" for name in graphs}},
        "fine": {
            "float": "float16",
            "graphs": {name: f"graphs/fp16/{name}.onnx" for name in graphs},
            "calls": {"stream/dit0": {"buckets": [1, 2, 3, 8]}},
        },
    }
    return bundle("lipar", graphs, program([stream], 3, slots=slots, consts=consts), variants)
