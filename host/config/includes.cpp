// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/includes.h"

#include "host/config/merge.h"
#include "host/config/toml.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <string>
#include <system_error>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

// The same file however it is spelled.
fs::path identity(const fs::path& file) {
  std::error_code error;
  fs::path canonical = fs::weakly_canonical(file, error);
  return error ? file : canonical;
}

class Loader {
 public:
  Value load(const fs::path& file) {
    enter(file);
    Value own = load_toml(file);
    Value merged{Value::Table{}};
    for (const Value& name : take_includes(own)) {
      merge(merged, load_included(file.parent_path() / name.as_string(), name));
    }
    merge(merged, own);
    open_.pop_back();
    return merged;
  }

 private:
  void enter(const fs::path& file) {
    constexpr int kMostFiles = 1000;  // files that include others twice each soon are very many
    const fs::path id = identity(file);
    std::vector<std::string> circle;
    for (const fs::path& above : open_) {
      if (!circle.empty() || identity(above) == id) circle.push_back(above.string());
    }
    if (!circle.empty()) {
      circle.push_back(file.string());
      throw Error(ErrorKind::kConfig,
                  "config files include one another in a circle: ", join(circle, " -> "),
                  "; remove one of these includes");
    }
    if (++count_ > kMostFiles) {
      throw Error(ErrorKind::kConfig, open_.front().string(), " includes more than ", kMostFiles,
                  " files, each one counted as often as it is included; include fewer");
    }
    open_.push_back(file);
  }

  // The member `include` of a file, taken out of it.
  static Value::Array take_includes(Value& own) {
    const Value* include = own.find("include");
    if (include == nullptr) return {};
    const bool fits =
        include->is_array() && std::all_of(include->as_array().begin(), include->as_array().end(),
                                           [](const Value& name) { return name.is_string(); });
    if (!fits) {
      throw Error(ErrorKind::kConfig, "include = ", to_string(*include), " (", include->origin(),
                  ") is not an array of strings; expected include = [\"other.toml\"]");
    }
    Value::Array names = include->as_array();
    own.as_table().erase("include");
    return names;
  }

  Value load_included(const fs::path& file, const Value& name) {
    std::error_code error;
    if (!fs::exists(file, error)) {
      throw Error(ErrorKind::kConfig, name.origin(), " includes \"", name.as_string(),
                  "\", but there is no ", file.lexically_normal().string(),
                  "; paths are relative to the file that includes");
    }
    return load(file.lexically_normal());
  }

  std::vector<fs::path> open_;
  int count_ = 0;
};

}  // namespace

Value load_with_includes(const fs::path& file) { return Loader().load(file); }

}  // namespace pergola::host
