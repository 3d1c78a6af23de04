#include "manifest/rules.hpp"

namespace v2v_core::codec {
namespace {

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
bool is_word(char c) { return is_alnum(c) || c == '_'; }
bool is_inside(char c) { return is_word(c) || std::string_view("._+=@-").find(c) != std::string_view::npos; }

bool all(std::string_view text, bool (*good)(char)) { return std::all_of(text.begin(), text.end(), good); }

// One part of a path: no leading or trailing dot (hidden files, `..`, what Windows strips).
bool is_part(std::string_view part) {
  return !part.empty() && is_word(part.front()) && part.back() != '.' && all(part, is_inside);
}

bool is_parts(std::string_view text) {
  for (std::size_t from = 0;;) {
    const std::size_t slash = text.find('/', from);
    if (!is_part(text.substr(from, slash == std::string_view::npos ? slash : slash - from))) return false;
    if (slash == std::string_view::npos) return true;
    from = slash + 1;
  }
}

bool is_path_under(std::string_view text, std::string_view folder, std::string_view suffix) {
  if (!text.starts_with(folder) || !text.ends_with(suffix) || !is_parts(text)) return false;
  // The last part has a name before its suffix.
  return text.rfind('/') + 1 + suffix.size() < text.size();
}

}  // namespace

bool is_name(std::string_view text) {
  return !text.empty() && is_word(text.front()) && all(text, [](char c) { return is_word(c) || c == '-'; });
}

bool is_reference(std::string_view text) {
  return is_name(text.ends_with(".count") ? text.substr(0, text.size() - 6) : text);
}

bool is_call_path(std::string_view text) {
  const std::size_t slash = text.find('/');
  return slash != std::string_view::npos && is_name(text.substr(0, slash)) && is_name(text.substr(slash + 1));
}

bool is_tensor_key(std::string_view text) {
  return !text.empty() && text != "__metadata__" && all(text, [](char c) { return c >= '!' && c <= '~'; });
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 && all(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_title(std::string_view text) {
  return all(text, [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

bool is_path(std::string_view text) { return is_parts(text); }
bool is_graph_path(std::string_view text) { return is_path_under(text, "graphs/", ".onnx"); }
bool is_blob_path(std::string_view text) { return is_path_under(text, "blobs/", ".safetensors"); }

}  // namespace v2v_core::codec
