"""Mistakes in order, schedules and features of the stream program (E2060 to E2078)."""

from __future__ import annotations

from conformance import families, features
from conformance.edits import CALL, PLAY, STREAM, add, both, cut, insert, move, put
from conformance.plain import FRAME, blob, call, graph, tensor, view

# Order and schedules.
add(
    "E2060",
    families.shortcut_teacher_refresh,
    schedule_unsorted=put(f"{STREAM} calls 0 when at", [1, 0]),
    schedule_repeated=put(f"{STREAM} calls 0 when at", [0, 0, 1]),
    schedule_past_every=put(f"{STREAM} calls 1 when at", [3]),
)
add(
    "E2061",
    families.shortcut_teacher_refresh,
    period_of_one=put(f"{STREAM} calls 0 when every", 4097),
    period_in_common=both(
        put(f"{STREAM} calls 0 when every", 61),
        put(f"{STREAM} calls 1 when every", 71),
    ),
)
add(
    "E2062",
    families.streamv2v,
    call_after_the_last_step=put(f"{PLAY} calls 1 when", {"every": 5, "at": [2, 4]}),
)
add(
    "E2063",
    families.shortcut_teacher_refresh,
    emit_not_made_in_one_step=put(f"{STREAM} calls 0 when at", [1]),
    emit_not_made_over_common_period=both(
        put(f"{STREAM} calls 0 when", {"every": 2, "at": [0]}),
        put(f"{STREAM} calls 1 when", {"every": 4, "at": [1]}),
    ),
)
add(
    "E2063",
    families.streamv2v,
    temporary_made_too_late=move(f"{PLAY} calls", 0, 1),
)
add(
    "E2063",
    families.shortcut_late_refresh,
    late_call_needs_another_step=both(
        put(f"{STREAM} calls 0 outputs a", None),
        insert(
            f"{STREAM} calls",
            1,
            call(
                "again",
                {"frame": "video", "ref": "ref"},
                {"out": None, "a": "a"},
                "shortcut",
                when={"every": 3, "at": [1]},
            ),
        ),
    ),
)
add(
    "E2064",
    families.shortcut_teacher_refresh,
    temporary_made_twice=put(f"{STREAM} calls 1 when at", [1, 2]),
    temporary_made_twice_in_common_step=both(
        put(f"{STREAM} calls 0 when", {"every": 2, "at": [0]}),
        put(f"{STREAM} calls 1 when", {"every": 3, "at": [1, 2]}),
    ),
)
add(
    "E2064",
    families.streamv2v,
    temporary_made_twice_by_one_call=put(f"{STREAM} calls 1 outputs shown", "out"),
)
add(
    "E2065",
    families.live2diff,
    slot_written_in_overlapping_views=put(f"{PLAY} calls 2 outputs kv", view("sinks", 0)),
)
add(
    "E2065",
    families.streamv2v,
    slot_written_twice=insert(
        f"{STREAM} calls",
        2,
        call("early", {"bank": "bank", "feature": "feature"}, {"new": "bank"}, "bank_update"),
    ),
    slot_written_by_two_ports=put(f"{STREAM} calls 0 outputs seen", "shown"),
)
add(
    "E2065",
    features.ring_history,
    ring_written_twice=insert(f"{STREAM} calls", 1, call("again", {"x": "video"}, {"y": "history"}, "push")),
)
add(
    "E2066",
    families.shortcut_late_refresh,
    forever_in_first_phase=put(f"{PLAY} steps", "forever"),
    last_phase_ends=put(f"{STREAM} steps", 100),
)
add(
    "E2067",
    families.shortcut_late_refresh,
    late_before_another=insert(
        f"{STREAM} calls", 2, call("full", {"frame": "video"}, {"out": None, "ref": None, "ok": None})
    ),
)
add(
    "E2068",
    families.shortcut_late_refresh,
    late_tensor_emitted=put(f"{STREAM} calls 0 late", True),
    late_tensor_read=both(
        put(f"{STREAM} calls 1 outputs ref", "fresh"), put(f"{STREAM} calls 0 inputs ref", "fresh")
    ),
)

# Features.
add("E2070", features.ring_history, ring_of_another_length=put("program slots history ring length", 4))
add(
    "E2070",
    features.ring_history,
    ring_written_in_a_view=put(f"{PLAY} calls 0 outputs y", view("history", 0)),
)
add(
    "E2071",
    families.stream_diffusion,
    changed_reads_frame=put(f"{PLAY} calls 2 when", {"changed": ["prompt"]}),
    changed_misses_param=put(f"{PLAY} calls 1 when", {"changed": ["prompt"]}),
    changed_misses_param_behind_slot=put(f"{PLAY} calls 1 when", {"changed": ["guidance"]}),
    changed_twice=put(f"{PLAY} calls 0 when", {"changed": ["prompt", "prompt"]}),
    changed_writes_temporary=put(f"{PLAY} calls 1 outputs k", "k_new"),
    changed_reads_counter=both(
        put("graphs cross_kv inputs index", tensor("int64", 1)),
        put(f"{PLAY} calls 1 inputs index", "frame_index"),
    ),
    changed_reads_slot=both(
        put("graphs cross_kv inputs x", tensor("float", 1, 2, 3)), put(f"{PLAY} calls 1 inputs x", "x_buf")
    ),
    changed_is_late=both(
        put("program slots again", tensor("float", 7, 5)),
        put(
            f"{PLAY} calls 6",
            call(
                "again",
                {"tokens": "prompt"},
                {"cond": "again"},
                "text_encoder",
                when={"changed": ["prompt"]},
                late=True,
            ),
        ),
    ),
    changed_has_rows=both(
        put("graphs tally", graph({"x": FRAME}, {"count": tensor("int32", 1)})),
        put("variants main graphs tally", "graphs/unet.onnx"),
        insert(f"{PLAY} calls", 0, call("tally", {"x": "video"}, {"count": "count"})),
        put(f"{PLAY} calls 1 rows", {"count": "count", "buckets": [1], "ports": ["tokens"]}),
    ),
    changed_writes_ring=both(
        put("graphs text_encoder outputs pooled", tensor("float", 1, 5)),
        put(f"{PLAY} calls 0 outputs pooled", "prompts"),
        put("program slots prompts", {**tensor("float", 3, 5), "ring": {"length": 3}}),
    ),
)
add(
    "E2072",
    families.stream_diffusion,
    derived_written_by_another=both(
        put("program consts zeros", {**tensor("float", 7, 5), "blob": blob("zeros")}),
        insert(
            "program phases",
            0,
            {
                "name": "first",
                "steps": 1,
                "calls": [call("cross_kv", {"cond": "zeros", "scale": "guidance"}, {"k": "k"})],
            },
        ),
    ),
    derived_read_too_early=move(f"{PLAY} calls", 1, 3),
    derived_read_where_nothing_derives_it=insert(
        "program phases",
        0,
        {
            "name": "first",
            "steps": 1,
            "calls": [call("cross_kv", {"cond": "cond", "scale": "guidance"}, {"k": None})],
        },
    ),
)
add(
    "E2073",
    families.lipar,
    rows_count_is_int64=put("graphs plan outputs count dtype", "int64"),
    rows_count_is_no_scalar=put("graphs plan outputs count shape", [2]),
    rows_count_may_be_unwritten=both(
        put("graphs assemble outputs again", tensor("int32", 1)),
        put(f"{PLAY} calls 4 outputs again", "again"),
        put(f"{PLAY} calls 4 rows", {"count": "count", "buckets": [1], "ports": ["again"]}),
        put(f"{PLAY} calls 5 rows", {"count": "again", "buckets": [8], "ports": ["full"]}),
    ),
    rows_count_is_slot=put("program slots count", tensor("int32", 1)),
    rows_buckets_fall=put(f"{PLAY} calls 1 rows buckets", [4, 2, 8]),
    rows_buckets_repeat=put(f"{PLAY} calls 1 rows buckets", [2, 2, 8]),
    rows_port_of_another_length=put(f"{PLAY} calls 1 rows ports", ["kept", "out", "t"]),
    rows_largest_bucket=put(f"{PLAY} calls 1 rows buckets", [2, 4]),
    rows_port_twice=put(f"{PLAY} calls 1 rows ports", ["kept", "kept"]),
    rows_written_to_slot=both(
        put(f"{PLAY} calls 3 outputs out", "memory"),
        put(f"{PLAY} calls 4 inputs kept", "kept2"),
        put(f"{PLAY} calls 5 outputs new", None),
    ),
    rows_temporary_left_out=put(f"{PLAY} calls 1 rows ports", ["kept"]),
    rows_override_falls=put("variants fine calls stream/dit0 buckets", [3, 2, 8]),
    rows_override_of_another_length=put("variants fine calls stream/dit0 buckets", [2, 4]),
)
add(
    "E2074",
    families.shortcut_late_refresh,
    check_is_no_flag=put(f"{PLAY} calls 0 check", ["out"]),
    check_twice=put(f"{PLAY} calls 0 check", ["ok", "ok"]),
    check_in_slot=both(
        put("program slots fine", tensor("bool", 1)), put(f"{PLAY} calls 0 outputs ok", "fine")
    ),
    check_of_two=put("graphs full outputs ok shape", [2]),
)
add(
    "E2075",
    families.live2diff,
    in_place_thrown_away=both(
        put("variants gpu-fp16-in-place calls stream/unet in_place", ["z_out"]),
        put(f"{STREAM} calls 1 outputs z_out", None),
        put(f"{STREAM} calls 2 inputs z", "z"),
    ),
    in_place_whole_slot=put("variants gpu-fp16-in-place calls stream/unet in_place", ["x_next"]),
    in_place_temporary=put("variants gpu-fp16-in-place calls stream/unet in_place", ["z_out"]),
    in_place_twice=put("variants gpu-fp16-in-place calls stream/unet in_place", ["kv", "kv"]),
    in_place_for_some_writers=cut("variants gpu-fp16-in-place calls warmup/denoise1"),
)
add("E2075", features.ring_history, in_place_read_later=put(f"{STREAM} calls 0 in_place", ["y"]))
add(
    "E2075",
    families.shortcut_late_refresh,
    in_place_of_late_call=both(
        put(f"{STREAM} calls 1 outputs ref", view("ref", 0)), put(f"{STREAM} calls 1 in_place", ["ref"])
    ),
)
add("E2075", features.minimal, in_place_of_emitted=put(f"{CALL} in_place", ["y"]))
add(
    "E2076",
    families.streamv2v,
    skip_flag_is_no_bool=put(f"{STREAM} skip tensor", "feature"),
    skip_flag_is_slot=put(f"{STREAM} skip tensor", "last"),
    skip_flag_in_some_steps=put(f"{STREAM} calls 0 when", {"every": 2, "at": [0]}),
    skip_frame_is_no_frame=put(f"{STREAM} skip frame", "bank"),
    skip_frame_written_before=put(f"{STREAM} skip frame", "last"),
    skip_frame_is_ring=put("program slots shown ring", {"length": 1}),
    skip_flag_is_made_late=both(
        put("graphs bank_update outputs flag", tensor("bool", 1)),
        put(f"{PLAY} calls 1 outputs flag", None),
        put(f"{STREAM} calls 2 outputs flag", "flag"),
        cut(f"{STREAM} calls 2 when"),
        put(f"{STREAM} skip tensor", "flag"),
    ),
    skip_after_ring=put("program slots last ring", {"length": 1}),
)
add(
    "E2076",
    families.lipar,
    skip_with_gather=both(
        put("graphs plan outputs same", tensor("bool", 1)),
        put(f"{PLAY} calls 0 outputs same", "same"),
        put("graphs assemble outputs last", FRAME),
        put(f"{PLAY} calls 4 outputs last", "shown"),
        put("program slots shown", FRAME),
        put(f"{PLAY} skip", {"tensor": "same", "frame": "shown"}),
    ),
)
add(
    "E2077",
    features.minimal,
    emit_missing_in_last_phase=cut(f"{PLAY} emit"),
    emit_of_input=put(f"{PLAY} emit tensor", "video"),
    emit_of_another_size=put("program outputs", {"video": {"height": 6, "width": 4}}),
)
add("E2077", families.streamv2v, emit_of_slot=put(f"{STREAM} emit tensor", "shown"))
add("E2077", families.streamv2v, emit_of_float=put(f"{STREAM} emit tensor", "feature"))
add("E2077", families.streamv2v, emit_drops_everything=put(f"{PLAY} emit drop_first", 2))
add(
    "E2077",
    families.lipar,
    emit_of_fewer_frames=both(put("graphs assemble outputs y shape 0", 2), put("program max_frames", 2)),
    emit_of_rows=put(f"{PLAY} calls 4 rows", {"count": "count", "buckets": [1, 3], "ports": ["y"]}),
)
add(
    "E2077",
    features.minimal,
    emit_of_more_frames=both(put("graphs invert outputs y shape 0", 2), put("program max_frames", 2)),
)
add("E2078", features.short_phase, max_frames_of_whole_step=put("program max_frames", 2))
add("E2078", families.live2diff, max_frames_too_few=put("program max_frames", 1))
