/* v2v: plays a bundle as a stateful video stream, a frame in, a frame out. The C ABI; see docs/cpp.md.
 *
 * Every function gives a status: V2V_OK, or the number of a stable code V2V-E####, the same as in the Python runtime.
 * `error`, where it is not null, takes the code and the words; no function throws, and none ends the process.
 * Structs begin with struct_size, which the caller sets to the sizeof it was compiled with; a size that this library
 * does not know is refused. Handles are values: a null, stale or foreign one is refused, never followed.
 *
 * A bundle may be shared between threads. A stream belongs to one thread at a time: a call from a second one at the
 * same time is refused (V2V_E_BUSY). Frames, buffers and names are the caller's and are not kept after the call.
 */
#ifndef V2V_V2V_H
#define V2V_V2V_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define V2V_API __declspec(dllexport)
#else
#define V2V_API __attribute__((visibility("default")))
#endif

/* Raised with every change of what is declared here. */
#define V2V_ABI_VERSION 1

typedef struct v2v_context v2v_context;
typedef struct v2v_bundle v2v_bundle;
typedef struct v2v_stream v2v_stream;
typedef struct v2v_snapshot v2v_snapshot;

/* 0, or the number in V2V-E####. The codes below are those that a program may want to tell apart. */
typedef int32_t v2v_status;
enum {
  V2V_OK = 0,
  V2V_E_FILE_CHANGED = 1012, /* a file's content is not what was hashed */
  V2V_E_NO_TARGET = 1020,    /* the bundle has no such target, or more than one to choose from */
  V2V_E_FRAME_SIZE = 3002,   /* a frame of another size or format */
  V2V_E_FRAME_STRIDE = 3003, /* rows that overlap */
  V2V_E_BUSY = 3004,         /* another thread is inside this stream */
  V2V_E_ENDED = 3006,        /* flush has ended the stream: reset it */
  V2V_E_ORDER = 3007,        /* a submit without its collect, or the other way round */
  V2V_E_ROOM = 3008,         /* fewer or smaller buffers than what comes out */
  V2V_E_STEP_CHECK = 3020,   /* a result that is not finite; the state is as before */
  V2V_E_STEP_CALL = 3021,    /* a graph failed; the state is as before */
  V2V_E_LATE = 3024,         /* late calls of the step before failed; call again, the stream goes on */
  V2V_E_NULL = 3100,         /* a null pointer or handle where one is needed */
  V2V_E_HANDLE = 3101,       /* a handle that was destroyed, or is of another kind */
  V2V_E_STRUCT_SIZE = 3102,  /* a struct_size that this library does not know */
  V2V_E_UNSUPPORTED = 3103,  /* a memory kind, pixel format or flag that version 1 lacks */
  V2V_E_NO_MEMORY = 3104,    /* the allocator gave none */
  V2V_E_INTERNAL = 3105,     /* a failure that no other code names: report it */
  V2V_E_HANDLES = 3106       /* too many open handles */
};

typedef struct v2v_error {
  uint32_t struct_size;
  v2v_status code;
  char message[2040]; /* what was seen, what was expected, what to do; UTF-8, always ended by a NUL */
} v2v_error;

/* ---- context: where memory and words go. Null stands for the C library's memory and no logger. ---- */

/* Functions that the library is given return to it: they throw nothing and jump nowhere. `allocate` and `release` call
 * none of its functions, for they may be called while it holds a lock. */

typedef enum v2v_log_level { V2V_LOG_ERROR = 0, V2V_LOG_WARNING = 1, V2V_LOG_INFO = 2 } v2v_log_level;

typedef struct v2v_context_options {
  uint32_t struct_size;
  uint32_t reserved;
  /* Memory for everything that the library itself allocates (not for what ONNX Runtime does). Called from any thread;
   * `allocate` may give null, and then the call that needed it gives V2V_E_NO_MEMORY or V2V-E4013. Both or neither. */
  void* (*allocate)(void* user, size_t size, size_t alignment);
  void (*release)(void* user, void* block, size_t size, size_t alignment);
  void* allocator_user;
  /* Told of each failed call and of what the library does once (a bundle opened, a stream made). */
  void (*log)(void* user, v2v_log_level level, const char* message);
  void* log_user;
} v2v_context_options;

V2V_API v2v_status v2v_context_create(const v2v_context_options* options, v2v_context** context, v2v_error* error);
/* Bundles and streams made in it stay usable; they keep what they need of it. */
V2V_API v2v_status v2v_context_destroy(v2v_context* context);

V2V_API uint32_t v2v_abi_version(void);
V2V_API const char* v2v_version(void);

/* ---- bundle ---- */

enum { V2V_OPEN_TRUST_SIZES = 1 }; /* do not hash graphs and blobs when opening */

typedef struct v2v_bundle_info {
  uint32_t struct_size;
  uint32_t target_count;
  int32_t input_width, input_height;
  int32_t output_width, output_height;
  int32_t max_frames; /* the most frames that one push hands over */
  int32_t reserved;
  char identity[72]; /* 64 hexadecimal digits */
  char name[520];
} v2v_bundle_info;

V2V_API v2v_status v2v_bundle_open(v2v_context* context, const char* path, uint32_t flags, v2v_bundle** bundle,
                                   v2v_error* error);
V2V_API v2v_status v2v_bundle_get_info(v2v_bundle* bundle, v2v_bundle_info* info, v2v_error* error);
/* The name of a target with its NUL, into `size` bytes (V2V_E_ROOM: it does not fit; V2V_E_NO_TARGET: there are not so
 * many). */
V2V_API v2v_status v2v_bundle_target_name(v2v_bundle* bundle, uint32_t index, char* name, size_t size,
                                          v2v_error* error);
/* Streams that play it go on. */
V2V_API v2v_status v2v_bundle_destroy(v2v_bundle* bundle);

/* ---- stream ---- */

enum {
  V2V_STREAM_LATE_INLINE = 1, /* late calls run before collect returns, not on a thread of their own */
  V2V_STREAM_TIMING = 2       /* measure each call: v2v_stream_get_timings */
};

typedef struct v2v_stream_options {
  uint32_t struct_size;
  uint32_t flags;
  const char* target;  /* `<profile>.<backend>` or a profile; null: the only one, cpu.onnxruntime, or the ONNX files */
  const char* variant; /* null: the target's */
  const char* options; /* JSON object whose entries replace those of the target; null: none */
  /* Called with each event of the step trace, one JSON object, on the thread that calls the stream. */
  void (*trace)(void* user, const char* event);
  void* trace_user;
} v2v_stream_options;

V2V_API v2v_status v2v_stream_create(v2v_bundle* bundle, const v2v_stream_options* options, v2v_stream** stream,
                                     v2v_error* error);
/* Waits for late calls; that they failed is traced, and logged as a warning. Refused (V2V_E_BUSY) while another thread
 * is inside. With V2V_OK the stream is gone; a call that is being refused right then in another thread may still log
 * and release. */
V2V_API v2v_status v2v_stream_destroy(v2v_stream* stream);

typedef enum v2v_pixel_format { V2V_RGB8 = 0 } v2v_pixel_format;
typedef enum v2v_memory_kind { V2V_MEMORY_HOST = 0, V2V_MEMORY_CUDA = 1 } v2v_memory_kind; /* CUDA: refused */

/* The timestamp that stands for the number of frames accepted before it since the last reset. */
#define V2V_TIMESTAMP_COUNT INT64_MIN

enum { V2V_FRAME_SKIPPED = 1 }; /* the program's skip emitted the stored frame again */

typedef struct v2v_frame {
  uint32_t struct_size;
  uint32_t format; /* v2v_pixel_format */
  uint32_t memory; /* v2v_memory_kind */
  uint32_t flags;  /* out: V2V_FRAME_SKIPPED */
  int32_t width, height;
  void* data;         /* the caller's: RGB, 8 bits each, pixels packed; only read where the frame is an input */
  int64_t row_stride; /* bytes from row to row; 0: packed */
  int64_t timestamp;  /* in: any, or V2V_TIMESTAMP_COUNT; out: of the frame that this one answers */
  int64_t index;      /* out: 0 for the first frame handed over since the last reset, then 1, 2, ... */
} v2v_frame;

/* Takes one frame, copies it, and runs the step that it completes. Every submit is followed by one collect. */
V2V_API v2v_status v2v_stream_submit(v2v_stream* stream, const v2v_frame* frame, v2v_error* error);
/* Hands over the frames of the last submit, 0 to max_frames, into `frames`, of which there are at least max_frames with
 * data, size and format set; then starts the step's late calls. */
V2V_API v2v_status v2v_stream_collect(v2v_stream* stream, v2v_frame* frames, size_t capacity, size_t* count,
                                      v2v_error* error);
/* submit and collect. */
V2V_API v2v_status v2v_stream_push(v2v_stream* stream, const v2v_frame* frame, v2v_frame* frames, size_t capacity,
                                   size_t* count, v2v_error* error);
/* Frames accepted whose output is still to come: what flush needs room for. */
V2V_API v2v_status v2v_stream_get_owed(v2v_stream* stream, size_t* owed, v2v_error* error);
/* Repeats the last frame until every frame that is owed is out; then the stream has ended until it is reset. */
V2V_API v2v_status v2v_stream_flush(v2v_stream* stream, v2v_frame* frames, size_t capacity, size_t* count,
                                    v2v_error* error);

typedef enum v2v_dtype {
  V2V_BOOL = 0,
  V2V_UINT8 = 1,
  V2V_INT8 = 2,
  V2V_UINT16 = 3,
  V2V_INT16 = 4,
  V2V_UINT32 = 5,
  V2V_INT32 = 6,
  V2V_UINT64 = 7,
  V2V_INT64 = 8,
  V2V_FLOAT16 = 9,
  V2V_FLOAT32 = 10,
  V2V_FLOAT64 = 11
} v2v_dtype;

/* A packed array; rank 0, a plain number, stands for shape [1]. Float params take floats and integers, integer params
 * integers in their range, bool params bools; all within the limits that the program declares. */
typedef struct v2v_param {
  uint32_t struct_size;
  uint32_t dtype; /* v2v_dtype */
  const char* name;
  const void* data;
  const int64_t* shape;
  uint64_t rank;
} v2v_param;

/* Sets params for the steps from now on: all of them, or none. */
V2V_API v2v_status v2v_stream_set_params(v2v_stream* stream, const v2v_param* params, size_t count, v2v_error* error);
/* Begins a phase anew. One that reads what an earlier phase makes (a warm-up) is refused until that phase has run to
 * its end since the start or the last reset (V2V-E3033): push its frames, and the phase follows by itself. */
V2V_API v2v_status v2v_stream_enter(v2v_stream* stream, const char* phase, v2v_error* error);

enum { V2V_RESET_PARAMS = 1 }; /* also set every param back to its default */
/* Back to before the first frame. Late calls that failed do not make it fail, nor a restore: they are counted, traced
 * and logged as a warning. */
V2V_API v2v_status v2v_stream_reset(v2v_stream* stream, uint32_t flags, v2v_error* error);

V2V_API v2v_status v2v_stream_snapshot(v2v_stream* stream, v2v_snapshot** snapshot, v2v_error* error);
V2V_API v2v_status v2v_stream_restore(v2v_stream* stream, v2v_snapshot* snapshot, v2v_error* error);
V2V_API v2v_status v2v_snapshot_destroy(v2v_snapshot* snapshot);

typedef struct v2v_selftest {
  uint32_t struct_size;
  uint32_t passed;
  int64_t frames, expected; /* output frames compared, and those that the bundle has */
  int64_t max_difference;   /* in uint8 levels */
  int64_t worst_frame;      /* -1: none was compared */
  int64_t tolerance;
} v2v_selftest;

/* Plays the frames that the bundle carries and compares; the stream is then as it was, but where the engines of its
 * phase could not be loaded again. */
V2V_API v2v_status v2v_stream_selftest(v2v_stream* stream, v2v_selftest* report, v2v_error* error);

typedef struct v2v_counters {
  uint32_t struct_size;
  uint32_t reserved;
  int64_t frames_in, frames_out, dropped, steps, skipped, failed, calls, host_syncs, copies, copied_bytes, uploads,
      uploaded_bytes, downloads, downloaded_bytes, allocations, bindings;
} v2v_counters;

V2V_API v2v_status v2v_stream_get_counters(v2v_stream* stream, v2v_counters* counters, v2v_error* error);

typedef struct v2v_timing {
  uint32_t struct_size;
  uint32_t reserved;
  int64_t runs, total_ns, last_ns;
  char call[136]; /* phase/call */
} v2v_timing;

/* How often each call ran and how long; `count` takes how many calls there are, of which `capacity` are written. May be
 * asked for at any time; late calls that run are waited for. */
V2V_API v2v_status v2v_stream_get_timings(v2v_stream* stream, v2v_timing* timings, size_t capacity, size_t* count,
                                          v2v_error* error);

#ifdef __cplusplus
}
#endif
#endif
