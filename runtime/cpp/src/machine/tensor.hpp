// Tensors of one memory, and what the machine does with them there.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "machine/dtypes.hpp"

namespace v2v_core {

// Addresses that engines see are multiples of this.
inline constexpr std::size_t kAlignment = 256;

// A contiguous tensor of static shape; whoever holds it keeps its memory alive.
struct Tensor {
  DType dtype;
  Shape shape;
  std::byte* address;
  std::int64_t bytes;
  std::shared_ptr<void> owner;
};
using TensorPtr = std::shared_ptr<const Tensor>;

// `length` entries along axis 0 from `start`, over the same memory.
TensorPtr view(const TensorPtr& tensor, std::int64_t start, std::int64_t length);

// Allocates and moves tensors on one device. `write` and `read` cross between host and device; `read` waits for what
// was queued before. Runs, copies and zeroing are ordered as they are called.
class Memory {
 public:
  virtual ~Memory() = default;

  // A new tensor, all zero. Throws Error V2V-E4013 when there is not enough memory.
  TensorPtr allocate(DType dtype, Shape shape);

  virtual void write(const Tensor& to, const void* host) = 0;
  virtual void read(const Tensor& from, std::int64_t offset, std::int64_t bytes, void* host) = 0;
  virtual void copy(const Tensor& to, const Tensor& from) = 0;
  virtual void zero(const Tensor& tensor) = 0;

  // What the address of a tensor that a graph reads or writes must be a multiple of.
  std::size_t alignment = 1;

 protected:
  virtual std::shared_ptr<void> take(std::size_t bytes) = 0;  // null: no memory
};

// The process's own memory.
class HostMemory : public Memory {
 public:
  void write(const Tensor& to, const void* host) override;
  void read(const Tensor& from, std::int64_t offset, std::int64_t bytes, void* host) override;
  void copy(const Tensor& to, const Tensor& from) override;
  void zero(const Tensor& tensor) override;

 protected:
  std::shared_ptr<void> take(std::size_t bytes) override;
};

// A row of aligned tensors of shape [1] that cross between host and device in one transfer.
class Scalars {
 public:
  Scalars(Memory& memory, DType dtype, std::size_t count);

  const TensorPtr& tensor(std::size_t index) const { return tensors_[index]; }
  std::int64_t payload() const { return static_cast<std::int64_t>(tensors_.size()) * item_bytes(whole_->dtype); }
  void write(std::span<const std::int64_t> values);  // of int64 scalars
  void read();
  bool flag(std::size_t index) const;  // of bool scalars, as last read

 private:
  Memory& memory_;
  TensorPtr whole_;
  std::vector<TensorPtr> tensors_;
  std::vector<std::byte> host_;
};

}  // namespace v2v_core
