// A session that holds the engines of a phase, where memory fails:
//   v2v_hold BUNDLE
// Each allocation of `hold` fails in turn, until it passes. What failed has loaded nothing that stays, and takes
// nothing from the next one. Prints {"failed": how many allocations failed}; ends with 1 where an engine stays or is
// missing.
#include <cstdlib>
#include <iostream>
#include <new>

#include "alloc.hpp"
#include "error.hpp"
#include "machine/session.hpp"
#include "machine/tensor.hpp"
#include "nothing.hpp"

namespace {

long left = 0;  // allocations until one fails; 0: none does

void* take(void* /*user*/, std::size_t size, std::size_t alignment) {
  return left > 0 && --left == 0 ? nullptr : std::aligned_alloc(alignment, size);
}

void give(void* /*user*/, void* block, std::size_t /*size*/, std::size_t /*alignment*/) { std::free(block); }

std::size_t loaded(v2v_core::Session& session, const std::vector<std::string>& graphs) {
  std::size_t count = 0;
  for (const std::string& graph : graphs) {
    try {
      session.engine(graph);
      ++count;
    } catch (const v2v_core::Error& error) {
      if (error.code != 4007) throw;
    }
  }
  return count;
}

int check(const std::string& path) {
  const auto bundle = v2v_core::Bundle::open(path, true);
  std::vector<std::string> graphs;
  for (const auto& [name, graph] : bundle->manifest().graphs) {
    if (graph.resident_phase) graphs.push_back(name);
  }
  for (long n = 1;; ++n) {
    v2v_core::Session session(bundle, bundle->manifest().variant_order.front(),
                              std::make_shared<v2v_test::NothingBackend<v2v_core::HostMemory>>());
    bool failed = false;
    left = n;
    try {
      session.hold(graphs);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    left = 0;
    if (loaded(session, graphs) != (failed ? 0 : graphs.size())) return 1;
    if (!failed) {
      std::cout << "{\"failed\": " << n - 1 << "}\n";
      return 0;
    }
    session.hold(graphs);
    if (loaded(session, graphs) != graphs.size()) return 1;
    session.release(graphs);
    if (loaded(session, graphs) != 0) return 1;
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const v2v_core::AllocatorScope scope({take, give, nullptr});
  try {
    return check(arguments[1]);
  } catch (const v2v_core::Error& error) {
    std::cerr << error.message() << '\n';
    return 1;
  }
}
