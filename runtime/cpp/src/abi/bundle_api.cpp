// The C ABI: contexts and bundles.
#include <cstring>

#include "abi/objects.hpp"

using namespace v2v_core;
using namespace v2v_core::abi;

namespace {

void copy_text(std::string_view text, char* to, std::size_t size) {
  std::memcpy(to, text.data(), text.size());
  std::memset(to + text.size(), 0, size - text.size());
}

}  // namespace

extern "C" {

uint32_t v2v_abi_version(void) { return V2V_ABI_VERSION; }
const char* v2v_version(void) { return V2V_VERSION_TEXT; }

v2v_status v2v_context_create(const v2v_context_options* options, v2v_context** context, v2v_error* error) {
  no_handle_yet(context);
  Context made;
  const v2v_status status = guarded(nullptr, error, [&] {
    check_given(context, "context");
    if (options == nullptr) return;
    check_struct(*options, "options");
    if ((options->allocate == nullptr) != (options->release == nullptr)) {
      throw Error{V2V_E_NULL, "one of allocate and release is null", "both, or neither"};
    }
    made = {{options->allocate, options->release, options->allocator_user}, options->log, options->log_user};
  });
  if (status != V2V_OK) return status;
  return guarded(&made, error, [&] {
    *context = static_cast<v2v_context*>(make_handle(Kind::context, std::make_shared<Context>(made)));
  });
}

v2v_status v2v_context_destroy(v2v_context* context) {
  std::shared_ptr<void> last;
  return guarded(nullptr, nullptr, [&] { last = drop_handle(Kind::context, context); });
}

v2v_status v2v_bundle_open(v2v_context* context, const char* path, uint32_t flags, v2v_bundle** bundle,
                           v2v_error* error) {
  no_handle_yet(bundle);
  std::shared_ptr<Context> found;
  const v2v_status status = guarded(nullptr, fitting(error), [&] {
    check_given(bundle, "bundle");
    check_given(path, "path");
    if (context != nullptr) found = object<Context>(Kind::context, context);
  });
  if (status != V2V_OK) return status;
  return guarded(found.get(), error, [&] {
    if ((flags & ~uint32_t{V2V_OPEN_TRUST_SIZES}) != 0) throw Error{V2V_E_UNSUPPORTED, "an unknown flag"};
    auto opened = std::make_shared<BundleObject>();
    opened->context = found;
    opened->bundle = Bundle::open(path, (flags & V2V_OPEN_TRUST_SIZES) == 0);
    *bundle = static_cast<v2v_bundle*>(make_handle(Kind::bundle, opened));
    inform(found.get(), "opened the bundle ", opened->bundle->root());
  });
}

v2v_status v2v_bundle_get_info(v2v_bundle* bundle, v2v_bundle_info* info, v2v_error* error) {
  return with<BundleObject>(Kind::bundle, bundle, error, [&](BundleObject& opened) {
    check_struct(wanted(info, "info"), "info");
    const Manifest& manifest = opened.bundle->manifest();
    const FrameSpec& in = manifest.program.inputs.begin()->second;
    const FrameSpec& out = manifest.program.outputs.begin()->second;
    info->target_count = static_cast<uint32_t>(opened.bundle->targets().size());
    info->input_width = static_cast<int32_t>(in.width);
    info->input_height = static_cast<int32_t>(in.height);
    info->output_width = static_cast<int32_t>(out.width);
    info->output_height = static_cast<int32_t>(out.height);
    info->max_frames = static_cast<int32_t>(manifest.program.max_frames);
    info->reserved = 0;
    copy_text(manifest.identity, info->identity, sizeof info->identity);
    copy_text(manifest.name, info->name, sizeof info->name);  // at most 128 characters of 4 bytes
  });
}

v2v_status v2v_bundle_target_name(v2v_bundle* bundle, uint32_t index, char* name, size_t size, v2v_error* error) {
  return with<BundleObject>(Kind::bundle, bundle, error, [&](BundleObject& opened) {
    wanted(name, "name");
    const std::vector<std::string> targets = opened.bundle->targets();
    if (index >= targets.size()) {
      throw Error{V2V_E_NO_TARGET, cat("there is no target ", index), cat("0 to ", targets.size(), ", less one")};
    }
    if (targets[index].size() >= size) {
      throw Error{V2V_E_ROOM, cat("room for ", size, " bytes"), cat(targets[index].size() + 1, " bytes")};
    }
    copy_text(targets[index], name, size);
  });
}

v2v_status v2v_bundle_destroy(v2v_bundle* bundle) {
  std::shared_ptr<void> last;
  return guarded(nullptr, nullptr, [&] { last = drop_handle(Kind::bundle, bundle); });
}

}  // extern "C"
