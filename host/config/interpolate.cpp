// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/interpolate.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

#include <cstdlib>
#include <vector>

namespace pergola::host {
namespace {

constexpr std::string_view kOpen = "${";

// The position of the "}" that ends the reference whose text begins at `start`, or npos.
std::size_t find_end(std::string_view text, std::size_t start) {
  int depth = 1;
  for (std::size_t i = start; i < text.size(); ++i) {
    if (text.substr(i, 2) == kOpen) ++depth;
    if (text[i] == '}' && --depth == 0) return i;
  }
  return std::string_view::npos;
}

// The path of a table's member.
std::string member(const std::string& path, const std::string& key) {
  return path.empty() ? key : concat(path, ".", key);
}

// All keys of the config, as paths: what a wrong reference may have meant.
void collect_paths(const Value& value, const std::string& path, std::vector<std::string>& paths) {
  if (!value.is_table()) {
    paths.push_back(path);
    return;
  }
  for (const auto& [key, child] : value.as_table()) {
    collect_paths(child, member(path, key), paths);
  }
}

class Resolver {
 public:
  explicit Resolver(const Value& root) : root_(root) {}

  // `path` is where `value` stands, for messages.
  Value resolve(const Value& value, const std::string& path) {
    Value result = resolve_data(value, path);
    result.set_origin(value.origin());
    return result;
  }

 private:
  // What a table takes for a member besides its value: the name and the links of the tree.
  static constexpr std::size_t kMemberBytes = sizeof(std::string) + 4 * sizeof(void*);

  // A string that is being resolved.
  struct Frame {
    const Value* value;
    std::string path;
  };

  Value resolve_data(const Value& value, const std::string& path) {
    spend(sizeof(Value) + value.origin().size());
    if (value.is_table()) {
      Value::Table table;
      for (const auto& [key, child] : value.as_table()) {
        spend(kMemberBytes + key.size());
        table.emplace(key, resolve(child, member(path, key)));
      }
      return table;
    }
    if (value.is_array()) {
      Value::Array array;
      for (const Value& child : value.as_array()) {
        array.push_back(resolve(child, concat(path, "[", array.size(), "]")));
      }
      return array;
    }
    if (!value.is_string()) return value;
    spend(value.as_string().size());
    if (value.as_string().find(kOpen) == std::string::npos) return value;
    return resolve_string(value, path);
  }

  Value resolve_string(const Value& value, const std::string& path) {
    constexpr std::size_t kDeepest = 16;
    for (const Frame& frame : frames_) {
      if (frame.value == &value) throw error("refers to itself: " + chain() + " -> " + path);
    }
    frames_.push_back({&value, path});
    if (frames_.size() > kDeepest) throw error("is a chain of more than 16 references; shorten it");
    const std::string& text = value.as_string();
    const bool is_one_reference = text.substr(0, 2) == kOpen &&
                                  find_end(text, 2) == text.size() - 1 && !is_env(text.substr(2));
    Value result = is_one_reference ? look_up(text.substr(2, text.size() - 3))
                                    : Value(expand(text, /*depth=*/0));
    frames_.pop_back();
    return result;
  }

  std::string expand(std::string_view text, int depth) {
    constexpr int kDeepest = 32;
    if (depth > kDeepest) throw error("has more than 32 defaults within one another; simplify it");
    std::string out;
    std::size_t position = 0;
    while (true) {
      const std::size_t open = text.find(kOpen, position);
      out += text.substr(position, open - position);
      if (open == std::string_view::npos) return out;
      if (!out.empty() && out.back() == '$' && open > position) {
        out += '{';  // "$${": the first of the two is there already
        position = open + 2;
        continue;
      }
      const std::size_t end = find_end(text, open + 2);
      if (end == std::string_view::npos)
        throw error("has a ${ without its }; write $${ for a plain ${");
      out += expand_reference(text.substr(open + 2, end - open - 2), depth);
      spend(out.size());
      position = end + 1;
    }
  }

  std::string expand_reference(std::string_view reference, int depth) {
    if (is_env(reference)) return expand_env(reference.substr(4), depth);
    const Value value = look_up(std::string(reference));
    if (value.is_string()) return value.as_string();
    if (value.is_table() || value.is_array() || value.is_null()) {
      throw error(concat("has ${", reference, "} within a text, which is ", value.type_name(),
                         "; expected a string, a number or a boolean"));
    }
    return to_string(value);
  }

  static bool is_env(std::string_view reference) { return reference.substr(0, 4) == "env:"; }

  std::string expand_env(std::string_view reference, int depth) {
    const std::size_t comma = reference.find(',');
    const std::string name(reference.substr(0, comma));
    const char* value = std::getenv(name.c_str());
    if (value != nullptr && *value != '\0') return value;
    if (comma != std::string_view::npos) return expand(reference.substr(comma + 1), depth + 1);
    throw error(concat("needs the environment variable ", name, ", which is ",
                       value == nullptr ? "not set" : "empty", "; set it, or write ${env:", name,
                       ",default}"));
  }

  Value look_up(const std::string& path) {
    const Value* target = path.empty() ? nullptr : root_.find(path);
    if (target != nullptr) return resolve(*target, path);
    std::vector<std::string> paths;
    collect_paths(root_, "", paths);
    const std::string near = closest(path, paths);
    throw error(concat("refers to ", path.empty() ? "nothing" : path, ", which is not set",
                       near.empty() ? "; `pergola config show` lists the keys" : "; did you mean '",
                       near, near.empty() ? "" : "'?"));
  }

  // An Error about the string that is being resolved.
  [[nodiscard]] Error error(const std::string& problem) const {
    const Frame& frame = frames_.back();
    const std::string& origin = frame.value->origin();
    return Error(ErrorKind::kConfig, frame.path, " = ", to_string(*frame.value),
                 origin.empty() ? "" : " (" + origin + ")", " ", problem);
  }

  [[nodiscard]] std::string chain() const {
    std::vector<std::string> paths;
    for (const Frame& frame : frames_) paths.push_back(frame.path);
    return join(paths, " -> ");
  }

  // Ten lines of references can unfold to terabytes.
  void spend(std::size_t amount) {
    constexpr std::size_t kMost = std::size_t{64} << 20;
    spent_ += amount;
    if (spent_ > kMost) {
      throw Error(ErrorKind::kConfig, "the config's ${...} references unfold to more than 64 MB; ",
                  "refer to smaller values");
    }
  }

  const Value& root_;
  std::vector<Frame> frames_;
  std::size_t spent_ = 0;
};

}  // namespace

Value resolve_references(const Value& root) { return Resolver(root).resolve(root, ""); }

Value resolve_references_at(const Value& root, std::string_view path) {
  const Value* value = root.find(path);
  return value == nullptr ? Value() : Resolver(root).resolve(*value, std::string(path));
}

std::string escape_references(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == kOpen) out += '$';
    out += text[i];
  }
  return out;
}

}  // namespace pergola::host
