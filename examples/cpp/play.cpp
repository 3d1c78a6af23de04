// Plays a bundle in a pipe: raw RGB frames of the bundle's input size in, raw RGB frames of its output size out.
//
//   ffmpeg -i in.mp4 -vf scale=256:256 -f rawvideo -pix_fmt rgb24 - |
//     play my.v2v [target] |
//     ffmpeg -f rawvideo -pix_fmt rgb24 -s 256x256 -r 30 -i - out.mp4
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "v2v/v2v.hpp"

namespace {

[[noreturn]] void lost() {
  std::perror("play: the output");
  std::exit(1);
}

void write(std::span<const v2v::Shown> frames) {
  for (const v2v::Shown& frame : frames) {
    if (std::fwrite(frame.pixels.data(), 1, frame.pixels.size(), stdout) != frame.pixels.size()) {
      lost();
    }
  }
  if (std::fflush(stdout) != 0) lost();  // who reads the pipe wants the frame now, not with the next one
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2 || count > 3) {
    std::fprintf(stderr, "usage: play BUNDLE [TARGET] < rgb24 > rgb24\n");
    return 2;
  }
  try {
    const v2v::Bundle bundle(arguments[1]);
    v2v::StreamOptions options;
    if (count == 3) options.target = arguments[2];
    v2v::Stream stream(bundle, std::move(options));
    const v2v_bundle_info& info = stream.info();
    std::fprintf(stderr, "play: %s, %d x %d in, %d x %d out\n", info.name, info.input_width, info.input_height,
                 info.output_width, info.output_height);
    std::vector<std::uint8_t> frame(std::size_t{3} * static_cast<std::size_t>(info.input_width) *
                                    static_cast<std::size_t>(info.input_height));
    std::size_t got = 0;
    while ((got = std::fread(frame.data(), 1, frame.size(), stdin)) == frame.size()) write(stream.push(frame));
    const int unread = std::ferror(stdin) != 0 ? errno : 0;  // a read that failed is no end
    write(stream.flush());
    if (unread != 0) {
      std::fprintf(stderr, "play: the input: %s\n", std::strerror(unread));
      return 1;
    }
    if (got != 0) {
      std::fprintf(stderr, "play: the last frame has %zu of %zu bytes and was left out\n", got, frame.size());
      return 1;
    }
  } catch (const v2v::Error& error) {
    std::fprintf(stderr, "play: %s\n", error.what());
    return 1;
  }
  return 0;
}
