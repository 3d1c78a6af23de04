// The list of files and everything that names one; variants against graphs and calls; what nothing uses.
#include <algorithm>

#include "manifest/scope.hpp"

namespace v2v_core {

std::vector<BlobUse> blob_uses(const Manifest& manifest) {
  const Program& program = manifest.program;
  std::vector<BlobUse> uses;
  for (const auto& [name, slot] : program.slots) {
    if (slot.init) uses.push_back({cat("program.slots.", name, ".init"), *slot.init, slot.spec.dtype, slot.spec.shape});
  }
  for (const auto& [name, param] : program.params) {
    uses.push_back({cat("program.params.", name, ".default"), param.value, param.spec.dtype, param.spec.shape});
  }
  for (const auto& [name, c] : program.consts) {
    uses.push_back({cat("program.consts.", name, ".blob"), c.blob, c.spec.dtype, c.spec.shape});
  }
  if (manifest.selftest) {
    const FrameSpec& in = program.inputs.begin()->second;
    const FrameSpec& out = program.outputs.begin()->second;
    uses.push_back({"selftest.input", manifest.selftest->input, DType::uint8, {-1, in.height, in.width, 3}});
    uses.push_back({"selftest.output", manifest.selftest->output, DType::uint8, {-1, out.height, out.width, 3}});
  }
  return uses;
}

namespace rules {
namespace {

std::string folded(std::string_view path) {
  std::string low(path);
  for (char& c : low) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return low;
}

void check_list(const std::vector<FileEntry>& files) {
  Map<std::string_view> seen;  // folded paths, and folders below, with a path that has them
  Map<std::string_view> folders;
  std::string_view before;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string where = cat("files[", i, "].path");
    if (files[i].path <= before) {
      fail(2031, where, cat(quote(files[i].path), " after ", quote(before)), "paths sorted by code point, each once");
    }
    before = files[i].path;
    const std::string low = folded(files[i].path);
    std::string_view clash;
    if (const auto same = seen.find(low); same != seen.end()) clash = same->second;
    if (const auto same = folders.find(low); clash.empty() && same != folders.end()) clash = same->second;
    for (std::size_t slash = low.find('/'); slash != std::string::npos; slash = low.find('/', slash + 1)) {
      const std::string_view parent = std::string_view(low).substr(0, slash);
      if (const auto file = seen.find(parent); clash.empty() && file != seen.end()) clash = file->second;
      if (!folders.contains(parent)) folders.emplace(parent, files[i].path);
    }
    if (!clash.empty()) {
      fail(2031, where, cat(quote(files[i].path), " and ", quote(clash), " are one path on some file systems"),
           "paths that differ in more than case, none of them a folder of another");
    }
    seen.emplace(low, files[i].path);
  }
}

std::set<std::string_view> listed(const std::vector<FileEntry>& files) {
  std::set<std::string_view> paths;
  for (const FileEntry& entry : files) paths.insert(entry.path);
  return paths;
}

}  // namespace

void check_files(const Manifest& manifest) {
  check_list(manifest.files);
  for (std::size_t i = 0; i < manifest.files.size(); ++i) {
    const std::string& path = manifest.files[i].path;
    if (!path.starts_with("graphs/") && !path.starts_with("blobs/")) {
      fail(2021, cat("files[", i, "].path"), quote(path), "a path under graphs/ or blobs/");
    }
  }
  const auto paths = listed(manifest.files);
  const auto check = [&](const std::string& path, const std::string& where) {
    if (!paths.contains(path)) fail(2032, where, quote(path) + " is not in files");
  };
  for (const auto& [name, variant] : manifest.variants) {
    for (const auto& [graph, path] : variant.graphs) check(path, cat("variants.", name, ".graphs.", graph));
  }
  for (const BlobUse& use : blob_uses(manifest)) check(use.ref.file, use.path + ".file");
}

void check_variants(const Manifest& manifest) {
  for (const auto& [name, variant] : manifest.variants) {
    const std::string path = cat("variants.", name, ".graphs");
    for (const auto& [graph, file] : variant.graphs) {
      if (!manifest.graphs.contains(graph)) fail(2033, cat(path, ".", graph), "there is no graph " + quote(graph));
    }
    for (const auto& [graph, ports] : manifest.graphs) {
      if (!variant.graphs.contains(graph)) fail(2033, path, "no file for " + quote(graph), "one for every graph");
    }
  }
}

void check_selftest(const Manifest& manifest) {
  if (!manifest.selftest) return;
  const auto& tolerance = manifest.selftest->tolerance;
  for (const auto& [name, level] : tolerance) {
    if (name != "float16" && name != "float32") {
      fail(2035, "selftest.tolerance." + name, quote(name) + " is no float type", "float16 or float32");
    }
  }
  for (const auto& [name, variant] : manifest.variants) {
    if (!tolerance.contains(dtype_name(variant.float_type))) {
      fail(2035, "selftest.tolerance",
           cat("none for ", dtype_name(variant.float_type), ", which variant ", quote(name), " has"),
           "one for each float type of a variant");
    }
  }
}

void check_overrides(const Manifest& manifest, std::span<const Scope> scopes) {
  std::map<std::string, std::pair<std::size_t, std::size_t>, std::less<>> places;
  std::vector<InPlace> own(scopes.size());
  for (std::size_t i = 0; i < scopes.size(); ++i) {
    const auto& calls = scopes[i].phase.calls;
    for (std::size_t k = 0; k < calls.size(); ++k) {
      places.emplace(cat(scopes[i].phase.name, "/", calls[k].name), std::pair(i, k));
      own[i].emplace(k,
                     std::pair(std::span<const std::string>(calls[k].in_place), scopes[i].call_path(k) + ".in_place"));
    }
    check_in_place(scopes[i], own[i]);
  }
  for (const auto& [name, variant] : manifest.variants) {
    std::map<std::size_t, InPlace> changed;
    for (const auto& [key, override] : variant.calls) {
      const std::string path = cat("variants.", name, ".calls.", key);
      const auto place = places.find(key);
      if (place == places.end()) fail(2034, path, "there is no call " + quote(key));
      const auto [index, position] = place->second;
      const Call& call = scopes[index].phase.calls[position];
      if (override.buckets) {
        if (!call.rows) fail(2034, path + ".buckets", quote(call.name) + " has no rows", "a call with rows");
        check_buckets(*override.buckets, path + ".buckets");
        if (override.buckets->back() != call.rows->buckets.back()) {
          fail(2073, path + ".buckets", cat("the largest is ", override.buckets->back()),
               cat(call.rows->buckets.back(), ", as the graph's ports declare"));
        }
      }
      if (override.in_place) {
        const auto all = changed.try_emplace(index, own[index]).first;
        all->second.insert_or_assign(position,
                                     std::pair(std::span<const std::string>(*override.in_place), path + ".in_place"));
      }
    }
    for (const auto& [index, in_place] : changed) check_in_place(scopes[index], in_place);
  }
}

void check_usage(const Manifest& manifest, std::span<const Scope> scopes) {
  std::set<std::string_view> run;
  std::set<std::string, std::less<>> read;
  std::set<std::string, std::less<>> written;
  for (const Scope& scope : scopes) {
    for (const Call& call : scope.phase.calls) {
      run.insert(call.graph);
      each_read(call, [&](const auto&, const std::string& name) { read.insert(name); });
      each_write(call, [&](const auto&, const Binding& binding) { written.insert(binding.name); });
    }
  }
  const auto check = [](std::string_view path, const auto& names, const auto& used, std::string_view why) {
    for (const auto& [name, value] : names) {
      if (!used.contains(name)) fail(2043, cat(path, ".", name), why, "only what is used", "use it or leave it out");
    }
  };
  check("graphs", manifest.graphs, run, "no call runs it");
  check("program.slots", manifest.program.slots, written, "no call writes it; what never changes is a const");
  check("program.params", manifest.program.params, read, "no call reads it");
  check("program.consts", manifest.program.consts, read, "no call reads it");
}

}  // namespace rules

void validate_target(const Target& target) {
  using namespace rules;
  check_list(target.files);
  for (std::size_t i = 0; i < target.files.size(); ++i) {
    const std::string& path = target.files[i].path;
    if (path == "target.json" || path == "target.sha256") {
      fail(2031, cat("files[", i, "].path"), quote(path), "every file of the folder but these two");
    }
  }
  const auto paths = listed(target.files);
  for (const auto& [graph, path] : target.engines) {
    if (!paths.contains(path)) fail(2080, "engines." + graph, quote(path) + " is not in files");
  }
}

}  // namespace v2v_core
