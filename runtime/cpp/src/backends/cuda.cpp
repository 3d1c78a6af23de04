#include "backends/cuda.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#include <dlfcn.h>

#include "error.hpp"

namespace v2v_core {
namespace {

constexpr int kOutOfMemory = 2;
constexpr unsigned kNonBlocking = 1;

}  // namespace

struct CudaFunctions {
  const char* (*error_string)(int);
  int (*set_device)(int);
  int (*stream_create)(void**, unsigned);
  int (*stream_destroy)(void*);
  int (*stream_synchronize)(void*);
  int (*malloc)(void**, std::size_t);
  int (*free)(void*);
  int (*malloc_host)(void**, std::size_t);
  int (*free_host)(void*);
  int (*memcpy_async)(void*, const void*, std::size_t, int, void*);
  int (*memset_async)(void*, int, std::size_t, void*);
};

namespace {

// The library stays loaded: ONNX Runtime's provider uses it too, and does not survive its end.
std::unique_ptr<const CudaFunctions> load(std::initializer_list<const char*> libraries) {
  void* library = nullptr;
  std::string names;
  for (const char* name : libraries) {
    names += (names.empty() ? "" : ", ") + std::string(name);
    if (library == nullptr) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
  if (library == nullptr) {
    throw Error{4011, "none of " + names + " can be loaded", "the CUDA runtime library",
                "install it, or add CUDA's lib folder to the library path"};
  }
  auto functions = std::make_unique<CudaFunctions>();
  const auto find = [&](auto& function, const char* name) {
    void* symbol = dlsym(library, name);
    if (symbol == nullptr) throw Error{4011, cat("the CUDA runtime library has no ", name), "CUDA 12 or 13"};
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  find(functions->error_string, "cudaGetErrorString");
  find(functions->set_device, "cudaSetDevice");
  find(functions->stream_create, "cudaStreamCreateWithFlags");
  find(functions->stream_destroy, "cudaStreamDestroy");
  find(functions->stream_synchronize, "cudaStreamSynchronize");
  find(functions->malloc, "cudaMalloc");
  find(functions->free, "cudaFree");
  find(functions->malloc_host, "cudaMallocHost");
  find(functions->free_host, "cudaFreeHost");
  find(functions->memcpy_async, "cudaMemcpyAsync");
  find(functions->memset_async, "cudaMemsetAsync");
  return functions;
}

}  // namespace

CudaRuntime::CudaRuntime(int device, std::initializer_list<const char*> libraries)
    : functions_(load(libraries)), device_(device) {
  select();
  check("cudaStreamCreateWithFlags", functions_->stream_create(&stream_, kNonBlocking));
}

CudaRuntime::~CudaRuntime() { functions_->stream_destroy(stream_); }

void CudaRuntime::check(const char* name, int status) {
  if (status == 0) return;
  const char* text = functions_->error_string(status);
  throw Error{status == kOutOfMemory ? 4013 : 4012,
              cat(name, " failed: ", std::string(text == nullptr ? "" : text), " (", status, ")")};
}

void CudaRuntime::select() { check("cudaSetDevice", functions_->set_device(device_)); }

void CudaRuntime::wait() {
  std::int64_t number = 0;
  {
    const std::lock_guard guard(lock_);
    number = ++queued_;
  }
  select();
  check("cudaStreamSynchronize", functions_->stream_synchronize(stream_));
  const std::lock_guard guard(lock_);
  passed_ = std::max(passed_, number);
}

std::int64_t CudaRuntime::queued() {
  const std::lock_guard guard(lock_);
  return queued_;
}

std::int64_t CudaRuntime::passed() {
  const std::lock_guard guard(lock_);
  return passed_;
}

void* CudaRuntime::allocate(std::size_t bytes) {
  select();
  void* address = nullptr;
  const int status = functions_->malloc(&address, bytes);
  if (status == kOutOfMemory) return nullptr;
  check("cudaMalloc", status);
  return address;
}

void* CudaRuntime::pinned(std::size_t bytes) {
  void* address = nullptr;
  select();
  check("cudaMallocHost", functions_->malloc_host(&address, bytes));
  return address;
}

void CudaRuntime::move(void* to, const void* from, std::size_t bytes, Way way) {
  select();
  check("cudaMemcpyAsync", functions_->memcpy_async(to, from, bytes, static_cast<int>(way), stream_));
}

void CudaRuntime::zero(void* to, std::size_t bytes) {
  select();
  check("cudaMemsetAsync", functions_->memset_async(to, 0, bytes, stream_));
}

CudaMemory::CudaMemory(std::shared_ptr<CudaRuntime> cuda) : blocks_(std::make_shared<Blocks>()) {
  alignment = kAlignment;  // TensorRT asks for as much at every address that it is given
  blocks_->cuda = std::move(cuda);
}

std::shared_ptr<void> CudaMemory::take(std::size_t bytes) {
  auto block = std::make_unique<Block>();
  block->bytes = std::max<std::size_t>(bytes, 1);
  block->address = static_cast<std::byte*>(blocks_->cuda->allocate(block->bytes));
  if (block->address == nullptr) return nullptr;
  std::byte* address = block->address;
  try {
    const std::lock_guard guard(blocks_->lock);
    blocks_->each.emplace(address, std::move(block));
  } catch (...) {
    blocks_->cuda->functions_->free(address);
    throw;
  }
  return {address, [blocks = blocks_](void* taken) { blocks->give_back(static_cast<std::byte*>(taken)); }};
}

void CudaMemory::Blocks::give_back(const std::byte* address) {
  const std::lock_guard guard(lock);
  const auto found = each.find(address);
  // Freeing device memory waits for what is queued, so the twin is at rest after it.
  cuda->functions_->free(found->second->address);
  if (found->second->twin != nullptr) cuda->functions_->free_host(found->second->twin);
  each.erase(found);
}

CudaMemory::Block& CudaMemory::block_of(const Tensor& tensor) {
  const std::lock_guard guard(blocks_->lock);
  return *std::prev(blocks_->each.upper_bound(tensor.address))->second;
}

std::byte* CudaMemory::twin_of(Block& block) {
  block.crossings += 1;
  if (block.twin == nullptr && block.crossings > 1) {
    block.twin = static_cast<std::byte*>(blocks_->cuda->pinned(block.bytes));
  }
  return block.twin;
}

void CudaMemory::write(const Tensor& to, const void* host) {
  CudaRuntime& cuda = *blocks_->cuda;
  Block& block = block_of(to);
  const std::lock_guard guard(block.lock);
  const auto bytes = static_cast<std::size_t>(to.bytes);
  std::byte* twin = twin_of(block);
  if (twin == nullptr) {
    cuda.move(to.address, host, bytes, CudaRuntime::Way::up);
    cuda.wait();
    return;
  }
  if (cuda.passed() <= block.uploaded) cuda.wait();
  std::byte* part = twin + (to.address - block.address);
  std::memcpy(part, host, bytes);
  cuda.move(to.address, part, bytes, CudaRuntime::Way::up);
  block.uploaded = cuda.queued();
}

void CudaMemory::read(const Tensor& from, std::int64_t offset, std::int64_t bytes, void* host) {
  CudaRuntime& cuda = *blocks_->cuda;
  Block& block = block_of(from);
  const std::lock_guard guard(block.lock);
  const auto count = static_cast<std::size_t>(bytes);
  const std::byte* source = from.address + offset;
  std::byte* twin = twin_of(block);
  if (twin == nullptr) {
    cuda.move(host, source, count, CudaRuntime::Way::down);
    cuda.wait();
    return;
  }
  std::byte* part = twin + (source - block.address);
  cuda.move(part, source, count, CudaRuntime::Way::down);
  cuda.wait();
  std::memcpy(host, part, count);
}

void CudaMemory::copy(const Tensor& to, const Tensor& from) {
  blocks_->cuda->move(to.address, from.address, static_cast<std::size_t>(from.bytes), CudaRuntime::Way::across);
}

void CudaMemory::zero(const Tensor& tensor) {
  blocks_->cuda->zero(tensor.address, static_cast<std::size_t>(tensor.bytes));
}

std::shared_ptr<CudaRuntime> open_cuda(int device) {
  return std::make_shared<CudaRuntime>(device,
                                       std::initializer_list<const char*>{"libcudart.so.13", "libcudart.so.12"});
}

}  // namespace v2v_core
