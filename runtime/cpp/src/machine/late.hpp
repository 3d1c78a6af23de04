// The one thread on which a stream's late calls run.
#pragma once

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "alloc.hpp"
#include "error.hpp"

namespace v2v_core {

// Runs one job at a time on a thread that is made for the first job and ends with the worker.
class LateWorker {
 public:
  using Job = void (*)(void* of);

  ~LateWorker() { close(); }

  // Runs `job`, which must not throw, on the worker's thread. Throws Error V2V-E3105: the system gives none.
  void start(Job job, void* of) {
    const std::unique_lock guard(lock_);
    if (!thread_.joinable()) {
      try {
        thread_ = std::thread([this, allocator = Allocator::current()] { work(allocator); });
      } catch (const std::system_error& refused) {
        throw Error{3105, "no thread for late calls: " + refused.code().message(), "one for each stream that has some",
                    "raise the limit of threads (ulimit -u), or let late calls run inline"};
      }
    }
    job_ = job;
    of_ = of;
    woken_.notify_all();
  }

  // Returns when the job has ended.
  void wait() {
    std::unique_lock guard(lock_);
    woken_.wait(guard, [this] { return job_ == nullptr; });
  }

  // Ends the thread, if there is one. The last job has been waited for.
  void close() {
    {
      const std::unique_lock guard(lock_);
      ending_ = true;
      woken_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  void work(const Allocator& allocator) {
    const AllocatorScope scope(allocator);
    std::unique_lock guard(lock_);
    for (;;) {
      woken_.wait(guard, [this] { return ending_ || job_ != nullptr; });
      if (job_ == nullptr) return;
      const Job job = job_;
      guard.unlock();
      job(of_);
      guard.lock();
      job_ = nullptr;
      woken_.notify_all();
    }
  }

  std::mutex lock_;
  std::condition_variable woken_;
  Job job_ = nullptr;  // under lock_
  void* of_ = nullptr;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace v2v_core
