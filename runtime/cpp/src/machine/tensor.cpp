#include "machine/tensor.hpp"

#include <cstring>
#include <new>

#include "error.hpp"

namespace v2v_core {

TensorPtr view(const TensorPtr& tensor, std::int64_t start, std::int64_t length) {
  const std::int64_t entry = tensor->shape[0] == 0 ? 0 : tensor->bytes / tensor->shape[0];
  Shape shape = tensor->shape;
  shape[0] = length;
  return std::make_shared<const Tensor>(
      Tensor{tensor->dtype, std::move(shape), tensor->address + start * entry, length * entry, tensor->owner});
}

TensorPtr Memory::allocate(DType dtype, Shape shape) {
  const std::int64_t bytes = elements(shape) * item_bytes(dtype);
  std::shared_ptr<void> owner = take(static_cast<std::size_t>(bytes));
  if (!owner) {
    throw Error{4013, cat("no memory for ", bytes, " bytes: a tensor ", dtype_name(dtype), " ", shape_text(shape))};
  }
  auto* address = static_cast<std::byte*>(owner.get());
  auto tensor = std::make_shared<const Tensor>(Tensor{dtype, std::move(shape), address, bytes, std::move(owner)});
  zero(*tensor);
  return tensor;
}

void HostMemory::write(const Tensor& to, const void* host) {
  std::memcpy(to.address, host, static_cast<std::size_t>(to.bytes));
}

void HostMemory::read(const Tensor& from, std::int64_t offset, std::int64_t bytes, void* host) {
  std::memcpy(host, from.address + offset, static_cast<std::size_t>(bytes));
}

void HostMemory::copy(const Tensor& to, const Tensor& from) {
  std::memcpy(to.address, from.address, static_cast<std::size_t>(from.bytes));
}

void HostMemory::zero(const Tensor& tensor) { std::memset(tensor.address, 0, static_cast<std::size_t>(tensor.bytes)); }

std::shared_ptr<void> HostMemory::take(std::size_t bytes) {
  void* block = ::operator new(bytes == 0 ? 1 : bytes, std::align_val_t{kAlignment}, std::nothrow);
  if (block == nullptr) return nullptr;
  return {block, [](void* taken) { ::operator delete(taken, std::align_val_t{kAlignment}); }};
}

Scalars::Scalars(Memory& memory, DType dtype, std::size_t count) : memory_(memory) {
  const auto stride = static_cast<std::int64_t>(kAlignment) / item_bytes(dtype);
  whole_ = memory.allocate(dtype, {static_cast<std::int64_t>(count), stride});
  host_.resize(static_cast<std::size_t>(whole_->bytes));
  for (std::size_t i = 0; i < count; ++i) {
    tensors_.push_back(std::make_shared<const Tensor>(
        Tensor{dtype, {1}, whole_->address + i * kAlignment, item_bytes(dtype), whole_->owner}));
  }
}

void Scalars::write(std::span<const std::int64_t> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::memcpy(host_.data() + i * kAlignment, &values[i], sizeof values[i]);
  }
  memory_.write(*whole_, host_.data());
}

void Scalars::read() { memory_.read(*whole_, 0, whole_->bytes, host_.data()); }

bool Scalars::flag(std::size_t index) const { return host_[index * kAlignment] != std::byte{0}; }

}  // namespace v2v_core
