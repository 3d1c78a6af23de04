"""Mistakes in types, words, paths, numbers and files (E2010 to E2035)."""

from __future__ import annotations

from conformance import families, features
from conformance.edits import CALL, PLAY, add, both, cut, put, rename
from conformance.plain import Json, view

# Types of values.
add(
    "E2010",
    features.minimal,
    schema_future=put("schema", "v2v.bundle/2"),
    schema_future_with_new_keys=both(put("schema", "v2v.bundle/12"), put("tracks", []), cut("program")),
)
add(
    "E2011",
    features.minimal,
    schema_zero=put("schema", "v2v.bundle/0"),
    schema_minor=put("schema", "v2v.bundle/1.1"),
    schema_of_target=put("schema", "v2v.target/1"),
)
add(
    "E2012",
    features.minimal,
    key_unknown_at_top=put("licence", "MIT"),
    key_misspelt=rename(f"{CALL} outputs", "output"),
    key_of_another_type=put(f"{PLAY} emit every", 2),
    key_in_file_entry=put("files 0 link", "elsewhere"),
    key_of_no_binding=put(f"{CALL} inputs x", {"start": 0, "length": 1, "name": "video", "step": 1}),
)
add(
    "E2013",
    features.minimal,
    key_missing_at_top=cut("identity"),
    key_missing_in_call=cut(f"{CALL} outputs"),
    key_missing_in_view=put(f"{CALL} inputs x", {"name": "video", "start": 0}),
    key_missing_in_when=put(f"{CALL} when", {"every": 2}),
)
add(
    "E2014",
    features.minimal,
    type_float_for_integer=put("program max_frames", 1.0),
    type_bool_for_integer=put("program max_frames", True),
    type_text_for_integer=put("program max_frames", "1"),
    type_integer_for_bool=put(f"{CALL} late", 0),
    type_null_for_object=put(PLAY, None),
    type_array_for_object=put("graphs", []),
    type_object_for_array=put(f"{CALL} check", {}),
    type_number_for_binding=put(f"{CALL} inputs x", 0),
    type_array_for_binding=put(f"{CALL} inputs x", ["video"]),
    type_null_for_input=put(f"{CALL} inputs x", None),
    type_number_for_when=put(f"{CALL} when", 2),
    type_text_for_provenance=put("provenance", "me"),
)
add(
    "E2015",
    features.minimal,
    choice_dtype=put("graphs invert inputs x dtype", "bfloat16"),
    choice_format=put("program inputs video", {"height": 4, "width": 6, "format": "bgr8"}),
    choice_resident=put("graphs invert resident", "never"),
    choice_float=put("variants main float", "float64"),
    choice_steps=put(f"{PLAY} steps", "always"),
)
add("E2015", families.streamv2v, choice_init=put("program slots bank init", "ones"))
add("E2015", families.lipar, choice_at_zero=put(f"{PLAY} calls 1 rows at_zero", "fail"))

# Words, paths, numbers.
add(
    "E2020",
    features.minimal,
    name_with_blank=put(f"{PLAY} name", "play it"),
    name_begins_with_dash=put(f"{CALL} name", "-invert"),
    name_too_long=put(f"{CALL} name", "n" * 65),
    name_empty=put(f"{CALL} name", ""),
    name_beyond_ascii=put(f"{CALL} name", "naïve"),
    name_with_newline=put(f"{CALL} name", "invert\n"),
    name_with_dot=put(f"{CALL} outputs y", "out.put"),
    name_of_port=rename("graphs invert inputs x", "input.1"),
    name_of_override=put("variants main calls", {"invert": {"in_place": []}}),
)
add(
    "E2020",
    features.ring_history,
    name_of_blob_tensor=put("program slots history init tensor", "__metadata__"),
)
add(
    "E2021",
    features.minimal,
    path_parent=put("variants main graphs invert", "graphs/../invert.onnx"),
    path_absolute=put("variants main graphs invert", "/graphs/invert.onnx"),
    path_backslash=put("variants main graphs invert", "graphs\\invert.onnx"),
    path_drive=put("files 0 path", "C:/graphs/invert.onnx"),
    path_empty_part=put("variants main graphs invert", "graphs//invert.onnx"),
    path_current=put("files 0 path", "graphs/./invert.onnx"),
    path_hidden=put("files 0 path", "graphs/.invert.onnx"),
    path_trailing_slash=put("files 0 path", "graphs/"),
    path_beyond_ascii=put("files 0 path", "graphs/invért.onnx"),
    path_too_long=put("files 0 path", "graphs/" + "a" * 194),
    path_of_graph_elsewhere=put("variants main graphs invert", "blobs/invert.onnx"),
    path_of_graph_without_suffix=put("variants main graphs invert", "graphs/invert"),
    path_of_file_outside=put("files 0 path", "targets/cpu.onnxruntime/target.json"),
)
add(
    "E2021",
    features.ring_history,
    path_of_blob_elsewhere=put("program slots history init file", "graphs/t.safetensors"),
)
add(
    "E2022",
    features.minimal,
    shape_without_dimensions=put("graphs invert inputs x shape", []),
    shape_with_zero=put("graphs invert inputs x shape 0", 0),
    shape_negative=put("graphs invert inputs x shape 0", -1),
    shape_of_rank_9=put("graphs invert inputs x shape", [1] * 9),
)
add("E2022", families.streamv2v, slot_of_length_zero=put("program slots bank shape", [0, 3]))
add(
    "E2023",
    features.minimal,
    tensor_too_large=put("graphs invert inputs x shape", [2**20, 2**20, 2]),
    tensor_overflows=put("graphs invert inputs x shape", [2**40] * 8),
    frames_too_large=both(
        put("program inputs video", {"height": 32768, "width": 32768}), put(f"{PLAY} gather", 2**31 - 1)
    ),
)
add("E2023", families.streamv2v, slot_too_large=put("program slots bank shape", [2**39, 1]))
add(
    "E2024",
    features.minimal,
    height_zero=put("program inputs video", {"height": 0, "width": 6}),
    width_too_large=put("program inputs video", {"height": 4, "width": 32769}),
    gather_zero=put(f"{PLAY} gather", 0),
    steps_zero=put(f"{PLAY} steps", 0),
    drop_first_negative=put(f"{PLAY} emit drop_first", -1),
    view_start_negative=put(f"{CALL} inputs x", view("video", -1)),
    view_length_zero=put(f"{CALL} inputs x", view("video", 0, 0)),
    every_zero=put(f"{CALL} when", {"every": 0, "at": [0]}),
    file_size_negative=put("files 0 size", -1),
    max_frames_zero=put("program max_frames", 0),
)
add(
    "E2024",
    features.limits,
    limits_low_past_a_float64=put("program params wide limits low", -(2**53) - 1),
    limits_high_past_a_float64=put("program params wide limits high", 2**53 + 1),
)
add("E2013", features.limits, limits_without_high=cut("program params share limits high"))
add("E2014", features.limits, limits_with_a_fraction=put("program params share limits low", -0.5))
add("E2024", features.selftest, tolerance_too_large=put("selftest tolerance float32", 256))
add(
    "E2025",
    features.minimal,
    hash_upper_case=put("files 0 sha256", "A" * 64),
    hash_short=put("files 0 sha256", "a" * 63),
    hash_of_identity=put("identity", "sha256:" + "a" * 57),
)
add(
    "E2026",
    features.minimal,
    title_empty=put("name", ""),
    title_with_newline=put("name", "two\nlines"),
    title_too_long=put("name", "é" * 129),
)
add(
    "E2027",
    features.minimal,
    count_no_phases=put("program phases", []),
    count_no_calls=put(f"{PLAY} calls", []),
    count_no_graphs=put("graphs", {}),
    count_no_variants=put("variants", {}),
    count_no_outputs=put("graphs invert outputs", {}),
    count_no_files=put("files", []),
    count_no_steps=put(f"{CALL} when", {"every": 2, "at": []}),
    count_no_params=put(f"{CALL} when", {"changed": []}),
    count_phases=put("program phases", [{}] * 257),
)
add("E2027", families.lipar, count_no_buckets=put(f"{PLAY} calls 1 rows buckets", []))


def _case(document: Json) -> None:
    document["files"].insert(0, {**document["files"][0], "path": "graphs/Invert.onnx"})


def _folder(document: Json) -> None:
    document["files"].append({**document["files"][0], "path": "graphs/invert.onnx/weights"})


# Files, identity, variants, self-test.
add("E2030", features.minimal, identity_of_another=put("identity", "0" * 64))
add(
    "E2031",
    families.live2diff,
    files_unsorted=lambda d: d["files"].reverse(),
    files_listed_twice=lambda d: d["files"].insert(0, d["files"][0]),
)
add("E2031", features.minimal, files_differ_in_case=_case, files_file_is_folder=_folder)
add(
    "E2032",
    features.minimal,
    file_of_graph_not_listed=put("variants main graphs invert", "graphs/inverse.onnx"),
)
add(
    "E2032",
    families.lipar,
    file_of_const_not_listed=put("program consts sink blob file", "blobs/sink.safetensors"),
)
add(
    "E2032",
    features.ring_history,
    file_of_slot_not_listed=put("program slots history init file", "blobs/grey.safetensors"),
)
add(
    "E2032",
    families.stream_diffusion,
    file_of_param_not_listed=put("program params prompt default file", "blobs/prompt.safetensors"),
)
add(
    "E2032",
    features.selftest,
    file_of_selftest_not_listed=put("selftest input file", "blobs/test.safetensors"),
)
add(
    "E2033",
    features.selftest,
    variant_without_graph=cut("variants fp16 graphs upscale"),
    variant_with_unknown_graph=put("variants fp16 graphs upscaler", "graphs/fp16/upscale.onnx"),
)
add(
    "E2034",
    features.minimal,
    override_of_unknown_call=put("variants main calls", {"play/revert": {"in_place": []}}),
    override_of_unknown_phase=put("variants main calls", {"stop/invert": {"in_place": []}}),
    override_of_rows_that_are_not=put("variants main calls", {"play/invert": {"buckets": [1]}}),
)
add(
    "E2035",
    features.selftest,
    tolerance_missing=cut("selftest tolerance float16"),
    tolerance_of_unknown_type=put("selftest tolerance bfloat16", 3),
)
