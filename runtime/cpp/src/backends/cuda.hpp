// Device memory, pinned staging and one stream, over the CUDA runtime library alone, which is loaded when it is asked
// for. Built, not run on a GPU; tested against the stand-in library that v2v_runtime/backends/cuda.py is tested with.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>

#include "machine/tensor.hpp"

namespace v2v_core {

struct CudaFunctions;

// One device's stream and the few calls that tensors need. Everything is queued on the stream, in order. Thread-safe.
class CudaRuntime {
 public:
  // Loads the first of these libraries that can be. Throws Error: none can (V2V-E4011), the driver or the device
  // refuses (V2V-E4012).
  CudaRuntime(int device, std::initializer_list<const char*> libraries);
  ~CudaRuntime();
  CudaRuntime(const CudaRuntime&) = delete;
  CudaRuntime& operator=(const CudaRuntime&) = delete;

  void* stream() const { return stream_; }
  void select();  // makes the device current on the calling thread
  void wait();    // returns when everything queued so far is done
  // Number of waits begun, and the highest number of one that has ended: a copy that was queued when `queued` stood at
  // n has been passed once `passed` is above n.
  std::int64_t queued();
  std::int64_t passed();

 private:
  friend class CudaMemory;

  enum class Way : std::uint8_t { up = 1, down = 2, across = 3 };  // cudaMemcpyKind

  void check(const char* name, int status);
  void* allocate(std::size_t bytes);  // null: no memory
  void* pinned(std::size_t bytes);
  void move(void* to, const void* from, std::size_t bytes, Way way);
  void zero(void* to, std::size_t bytes);

  std::unique_ptr<const CudaFunctions> functions_;
  int device_;
  void* stream_ = nullptr;
  std::mutex lock_;
  std::int64_t queued_ = 0;  // under lock_
  std::int64_t passed_ = 0;  // under lock_
};

// A block that crosses between host and device more than once gets a pinned twin, through which it then crosses; the
// twin is written again only after a wait has passed the copy before.
class CudaMemory final : public Memory {
 public:
  explicit CudaMemory(std::shared_ptr<CudaRuntime> cuda);

  void write(const Tensor& to, const void* host) override;
  void read(const Tensor& from, std::int64_t offset, std::int64_t bytes, void* host) override;
  void copy(const Tensor& to, const Tensor& from) override;
  void zero(const Tensor& tensor) override;

 protected:
  std::shared_ptr<void> take(std::size_t bytes) override;

 private:
  struct Block {
    std::byte* address = nullptr;
    std::size_t bytes = 0;
    int crossings = 0;
    std::byte* twin = nullptr;
    std::int64_t uploaded = -1;
    std::mutex lock;  // of what follows the size: streams of one session share constants
  };
  // The blocks by address; it outlives the memory in the tensors.
  struct Blocks {
    std::shared_ptr<CudaRuntime> cuda;
    std::mutex lock;
    std::map<const std::byte*, std::unique_ptr<Block>> each;  // under lock

    void give_back(const std::byte* address);
  };

  Block& block_of(const Tensor& tensor);
  std::byte* twin_of(Block& block);  // null at the first crossing, which is the only one for constants

  std::shared_ptr<Blocks> blocks_;
};

// The libraries to try, newest first.
std::shared_ptr<CudaRuntime> open_cuda(int device);

}  // namespace v2v_core
