/* The C ABI at its smallest: frames of a raw RGB stream through a bundle, from stdin to stdout.
 *
 *   minimal my.v2v < in.rgb > out.rgb
 */
#include <stdio.h>
#include <stdlib.h>

#include "v2v/v2v.h"

static v2v_error error = {sizeof(v2v_error), V2V_OK, ""};

static void check(v2v_status status) {
  if (status == V2V_OK) return;
  fprintf(stderr, "%s\n", error.message);
  exit(1);
}

static void failed(const char* what) {
  perror(what);
  exit(1);
}

static void write_out(const void* frames, size_t bytes, size_t count) {
  if (fwrite(frames, bytes, count, stdout) != count) failed("the output");
  if (fflush(stdout) != 0) failed("the output"); /* who reads the pipe wants the frame now, not with the next one */
}

static void* room_for(void* old, size_t bytes) {
  void* found = realloc(old, bytes);
  if (found == NULL) failed("memory");
  return found;
}

static v2v_frame frame_of(int32_t width, int32_t height, void* data) {
  v2v_frame frame = {sizeof(v2v_frame), V2V_RGB8, V2V_MEMORY_HOST, 0, 0, 0, NULL, 0, V2V_TIMESTAMP_COUNT, 0};
  frame.width = width;
  frame.height = height;
  frame.data = data;
  return frame;
}

int main(int count, char** arguments) {
  v2v_bundle* bundle;
  v2v_stream* stream;
  v2v_bundle_info info = {sizeof(v2v_bundle_info), 0, 0, 0, 0, 0, 0, 0, "", ""};
  size_t in_bytes, out_bytes, room, shown, got, i;
  unsigned char *in, *out;
  v2v_frame* frames;

  if (count != 2) {
    fprintf(stderr, "usage: minimal BUNDLE < rgb24 > rgb24\n");
    return 2;
  }
  check(v2v_bundle_open(NULL, arguments[1], 0, &bundle, &error));
  check(v2v_bundle_get_info(bundle, &info, &error));
  check(v2v_stream_create(bundle, NULL, &stream, &error));
  v2v_bundle_destroy(bundle); /* the stream keeps what it needs */

  in_bytes = (size_t)info.input_width * (size_t)info.input_height * 3;
  out_bytes = (size_t)info.output_width * (size_t)info.output_height * 3;
  room = (size_t)info.max_frames;
  in = room_for(NULL, in_bytes);
  out = room_for(NULL, room * out_bytes);
  frames = room_for(NULL, room * sizeof *frames);
  for (i = 0; i < room; ++i) frames[i] = frame_of(info.output_width, info.output_height, out + i * out_bytes);

  while ((got = fread(in, 1, in_bytes, stdin)) == in_bytes) {
    const v2v_frame frame = frame_of(info.input_width, info.input_height, in);
    check(v2v_stream_push(stream, &frame, frames, room, &shown, &error));
    write_out(out, out_bytes, shown);
  }

  if (ferror(stdin)) failed("the input"); /* no end */

  /* What is still inside: flush needs room for all of it at once. */
  check(v2v_stream_get_owed(stream, &room, &error));
  if (room != 0) {
    out = room_for(out, room * out_bytes);
    frames = room_for(frames, room * sizeof *frames);
    for (i = 0; i < room; ++i) frames[i] = frame_of(info.output_width, info.output_height, out + i * out_bytes);
    check(v2v_stream_flush(stream, frames, room, &shown, &error));
    write_out(out, out_bytes, shown);
  }
  v2v_stream_destroy(stream);
  free(in);
  free(out);
  free(frames);
  if (got != 0) {
    fprintf(stderr, "the last frame has %lu of %lu bytes and was left out\n", (unsigned long)got,
            (unsigned long)in_bytes);
    return 1;
  }
  return 0;
}
