/* The layout of every struct of v2v.h, version 1, where pointers have 64 bits: written by hand, 4 bytes for 32 bits, 8
 * for 64 bits and pointers, each at a multiple of its size. test_abi.py compiles it; nothing of it runs. */
#include <stddef.h>

#include <v2v/v2v.h>

#define FIELD(type, field, at, bytes) \
  _Static_assert(offsetof(type, field) == (at) && sizeof(((type *)0)->field) == (bytes), #type "." #field)
#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)

SIZE(v2v_status, 4);
SIZE(v2v_log_level, 4);
SIZE(v2v_pixel_format, 4);
SIZE(v2v_memory_kind, 4);
SIZE(v2v_dtype, 4);

SIZE(v2v_error, 2048);
FIELD(v2v_error, struct_size, 0, 4);
FIELD(v2v_error, code, 4, 4);
FIELD(v2v_error, message, 8, 2040);

SIZE(v2v_context_options, 48);
FIELD(v2v_context_options, struct_size, 0, 4);
FIELD(v2v_context_options, reserved, 4, 4);
FIELD(v2v_context_options, allocate, 8, 8);
FIELD(v2v_context_options, release, 16, 8);
FIELD(v2v_context_options, allocator_user, 24, 8);
FIELD(v2v_context_options, log, 32, 8);
FIELD(v2v_context_options, log_user, 40, 8);

SIZE(v2v_bundle_info, 624);
FIELD(v2v_bundle_info, struct_size, 0, 4);
FIELD(v2v_bundle_info, target_count, 4, 4);
FIELD(v2v_bundle_info, input_width, 8, 4);
FIELD(v2v_bundle_info, input_height, 12, 4);
FIELD(v2v_bundle_info, output_width, 16, 4);
FIELD(v2v_bundle_info, output_height, 20, 4);
FIELD(v2v_bundle_info, max_frames, 24, 4);
FIELD(v2v_bundle_info, reserved, 28, 4);
FIELD(v2v_bundle_info, identity, 32, 72);
FIELD(v2v_bundle_info, name, 104, 520);

SIZE(v2v_stream_options, 48);
FIELD(v2v_stream_options, struct_size, 0, 4);
FIELD(v2v_stream_options, flags, 4, 4);
FIELD(v2v_stream_options, target, 8, 8);
FIELD(v2v_stream_options, variant, 16, 8);
FIELD(v2v_stream_options, options, 24, 8);
FIELD(v2v_stream_options, trace, 32, 8);
FIELD(v2v_stream_options, trace_user, 40, 8);

SIZE(v2v_frame, 56);
FIELD(v2v_frame, struct_size, 0, 4);
FIELD(v2v_frame, format, 4, 4);
FIELD(v2v_frame, memory, 8, 4);
FIELD(v2v_frame, flags, 12, 4);
FIELD(v2v_frame, width, 16, 4);
FIELD(v2v_frame, height, 20, 4);
FIELD(v2v_frame, data, 24, 8);
FIELD(v2v_frame, row_stride, 32, 8);
FIELD(v2v_frame, timestamp, 40, 8);
FIELD(v2v_frame, index, 48, 8);

SIZE(v2v_param, 40);
FIELD(v2v_param, struct_size, 0, 4);
FIELD(v2v_param, dtype, 4, 4);
FIELD(v2v_param, name, 8, 8);
FIELD(v2v_param, data, 16, 8);
FIELD(v2v_param, shape, 24, 8);
FIELD(v2v_param, rank, 32, 8);

SIZE(v2v_selftest, 48);
FIELD(v2v_selftest, struct_size, 0, 4);
FIELD(v2v_selftest, passed, 4, 4);
FIELD(v2v_selftest, frames, 8, 8);
FIELD(v2v_selftest, expected, 16, 8);
FIELD(v2v_selftest, max_difference, 24, 8);
FIELD(v2v_selftest, worst_frame, 32, 8);
FIELD(v2v_selftest, tolerance, 40, 8);

SIZE(v2v_counters, 136);
FIELD(v2v_counters, struct_size, 0, 4);
FIELD(v2v_counters, reserved, 4, 4);
FIELD(v2v_counters, frames_in, 8, 8);
FIELD(v2v_counters, frames_out, 16, 8);
FIELD(v2v_counters, dropped, 24, 8);
FIELD(v2v_counters, steps, 32, 8);
FIELD(v2v_counters, skipped, 40, 8);
FIELD(v2v_counters, failed, 48, 8);
FIELD(v2v_counters, calls, 56, 8);
FIELD(v2v_counters, host_syncs, 64, 8);
FIELD(v2v_counters, copies, 72, 8);
FIELD(v2v_counters, copied_bytes, 80, 8);
FIELD(v2v_counters, uploads, 88, 8);
FIELD(v2v_counters, uploaded_bytes, 96, 8);
FIELD(v2v_counters, downloads, 104, 8);
FIELD(v2v_counters, downloaded_bytes, 112, 8);
FIELD(v2v_counters, allocations, 120, 8);
FIELD(v2v_counters, bindings, 128, 8);

SIZE(v2v_timing, 168);
FIELD(v2v_timing, struct_size, 0, 4);
FIELD(v2v_timing, reserved, 4, 4);
FIELD(v2v_timing, runs, 8, 8);
FIELD(v2v_timing, total_ns, 16, 8);
FIELD(v2v_timing, last_ns, 24, 8);
FIELD(v2v_timing, call, 32, 136);
