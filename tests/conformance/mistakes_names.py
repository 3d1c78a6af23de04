"""Mistakes in names, ports, the types of what is bound and limits (E2040 to E2053)."""

from __future__ import annotations

from conformance import families, features
from conformance.edits import CALL, PLAY, STREAM, add, both, cut, put, rename
from conformance.plain import FRAME, blob, tensor, view

# Names.
add("E2040", features.minimal, name_of_slot_is_input=put("program slots", {"video": FRAME}))
add(
    "E2040",
    families.stream_diffusion,
    name_of_const_is_param=put("program consts abc", {**tensor("float", 2, 3), "blob": blob("abc")}),
)
add("E2040", families.shortcut_late_refresh, name_of_two_phases=put(f"{STREAM} name", "first"))
add("E2040", families.lipar, name_of_two_calls=put(f"{PLAY} calls 2 name", "dit0"))
add("E2040", features.ring_history, name_of_two_resets=put(f"{STREAM} resets", ["history", "history"]))
add(
    "E2040",
    features.minimal,
    name_of_input_and_output_port=both(
        rename("graphs invert outputs y", "x"), rename(f"{CALL} outputs y", "x")
    ),
)
add("E2041", families.streamv2v, builtin_is_slot=put("program slots step", FRAME))
# Two mistakes: names are checked in the order of their code points, not in that of the file.
add(
    "E2041",
    features.minimal,
    builtin_before_name_that_is_too_large=put(
        "program slots", {"zz": tensor("uint8", 2**39, 16), "step": FRAME}
    ),
)
add(
    "E2023",
    features.minimal,
    name_that_is_too_large_before_builtin=put(
        "program slots", {"step": FRAME, "aa": tensor("uint8", 2**39, 16)}
    ),
)
add(
    "E2041",
    features.minimal,
    builtin_is_input=both(
        rename("program inputs video", "frame_index"), put(f"{CALL} inputs x", "frame_index")
    ),
)
add("E2041", features.minimal, builtin_is_written=put(f"{CALL} outputs y", "frame_index"))
add(
    "E2041",
    features.ring_history,
    builtin_count_is_written=put(f"{STREAM} calls 1 outputs y", "history.count"),
)
add(
    "E2042",
    features.minimal,
    stream_with_two_inputs=put("program inputs depth", {"height": 4, "width": 6}),
    stream_without_output=put("program outputs", {}),
)
add("E2043", features.minimal, dangling_slot=put("program slots", {"unused": FRAME}))
add(
    "E2043",
    families.shortcut_late_refresh,
    dangling_slot_is_never_written=both(
        put(f"{PLAY} calls 0 outputs ref", None), put(f"{STREAM} calls 1 outputs ref", "reff")
    ),
    dangling_graph=cut(f"{STREAM} calls 1"),
)
add(
    "E2043",
    families.stream_diffusion,
    dangling_param=put("program params seed", {**tensor("int64", 1), "default": blob("seed")}),
    dangling_const=put("program consts seed", {**tensor("int64", 1), "blob": blob("seed")}),
)
add(
    "E2044",
    features.minimal,
    unknown_graph=put(f"{CALL} graph", "inverse"),
    unknown_input=put(f"{CALL} inputs x", "vide"),
    unknown_viewed_input=put(f"{CALL} inputs x", view("vide", 0)),
    unknown_slot_to_write=put(f"{CALL} outputs y", view("out", 0)),
    unknown_emit=put(f"{PLAY} emit tensor", "ouput"),
    unknown_reset=put(f"{PLAY} resets", ["history"]),
    unknown_count=put(f"{CALL} inputs x", "video.count"),
)
add("E2044", families.streamv2v, unknown_skip_flag=put(f"{STREAM} skip tensor", "sane"))
add("E2044", families.streamv2v, unknown_skip_frame=put(f"{STREAM} skip frame", "show"))
add("E2044", families.streamv2v, unknown_count_of_slot=put(f"{STREAM} calls 0 inputs last", "last.count"))
add("E2044", families.stream_diffusion, unknown_param=put(f"{PLAY} calls 0 when", {"changed": ["promt"]}))
add("E2044", families.lipar, unknown_row_count=put(f"{PLAY} calls 1 rows count", "counts"))
add(
    "E2045",
    features.minimal,
    port_unknown_input=rename(f"{CALL} inputs x", "frame"),
    port_unknown_output=put(f"{CALL} outputs z", None),
    port_unknown_check=put(f"{CALL} check", ["ok"]),
    port_unknown_in_place=put(f"{CALL} in_place", ["z"]),
    port_input_in_place=put(f"{CALL} in_place", ["x"]),
)
add("E2045", families.lipar, port_unknown_in_rows=put(f"{PLAY} calls 1 rows ports", ["kept", "output"]))
add(
    "E2045",
    families.live2diff,
    port_unknown_in_override=put("variants gpu-fp16-in-place calls stream/unet in_place", ["ring"]),
)
add(
    "E2046",
    features.minimal,
    port_unbound_input=cut(f"{CALL} inputs x"),
    port_unbound_output=cut(f"{CALL} outputs y"),
)
add("E2047", features.minimal, written_input=put(f"{CALL} outputs y", "video"))
add("E2047", families.lipar, written_const=put(f"{PLAY} calls 0 outputs seen", "sink"))
add("E2047", families.lipar, written_view_of_const=put(f"{PLAY} calls 0 outputs seen", view("sink", 0, 8)))
add("E2047", families.stream_diffusion, written_param=put(f"{PLAY} calls 4 outputs x_next", "abc"))
add(
    "E2047",
    families.lipar,
    written_view_of_temporary=put(f"{PLAY} calls 5 outputs new", view("full", 0, 8)),
)

# Types of what is bound.
add(
    "E2050",
    families.shortcut_late_refresh,
    dtype_float_is_not_float32=put("program slots ref dtype", "float32"),
    dtype_of_temporary=put("graphs refresh inputs a dtype", "float16"),
)
add("E2050", features.minimal, dtype_of_frame=put("graphs invert inputs x dtype", "float"))
add("E2050", features.minimal, dtype_of_builtin=put(f"{CALL} inputs x", "step"))
add(
    "E2050",
    families.shortcut_teacher_refresh,
    dtype_of_two_makers=put("graphs full outputs out dtype", "float"),
)
add("E2050", features.ring_history, dtype_of_ring_entry=put("graphs push outputs y dtype", "bool"))
add("E2051", features.minimal, shape_of_gathered_frames=put(f"{PLAY} gather", 2))
add("E2051", features.minimal, shape_of_frame=put("program inputs video", {"height": 6, "width": 4}))
add("E2051", families.shortcut_late_refresh, shape_of_slot=put("program slots ref shape", [1, 8, 3, 2]))
add("E2051", families.live2diff, shape_of_view=put(f"{PLAY} calls 1 inputs c", view("table", 0, 2)))
add("E2051", families.live2diff, shape_of_written_view=put(f"{PLAY} calls 1 outputs kv", view("sinks", 0, 2)))
add(
    "E2051",
    features.ring_history,
    shape_of_ring_entry=put("graphs push outputs y shape 0", 5),
)
add("E2052", families.live2diff, view_read_past_the_end=put(f"{PLAY} calls 1 inputs c", view("table", 2)))
add(
    "E2052", families.live2diff, view_written_past_the_end=put(f"{PLAY} calls 2 outputs kv", view("sinks", 2))
)
add("E2052", features.minimal, view_of_frames_past_the_end=put(f"{CALL} inputs x", view("video", 0, 2)))

# Limits of params.
SHARE = "program params share"
add(
    "E2053",
    features.limits,
    limits_empty=put(f"{SHARE} limits", {"low": 2, "high": 1}),
    limits_below_the_type=put("program params byte limits low", -1),
    limits_above_the_type=put("program params token limits high", 2**31),
    limits_of_a_bool=both(put(f"{SHARE} dtype", "bool"), put("graphs mix inputs share dtype", "bool")),
)
