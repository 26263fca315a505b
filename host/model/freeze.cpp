// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/freeze.h"

#include "host/support/log.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

// What a pattern without its last `.*` could have meant: "a.b.c" and the modules "a" and "a.b".
std::vector<std::string> names_and_modules(const std::vector<std::string>& names) {
  std::set<std::string> all(names.begin(), names.end());
  for (const std::string& name : names) {
    for (std::size_t dot = name.find('.'); dot != std::string::npos;
         dot = name.find('.', dot + 1)) {
      all.insert(name.substr(0, dot));
    }
  }
  return {all.begin(), all.end()};
}

// The closest pattern that matches something, or which modules there are.
std::string suggestion(const std::string& pattern, const std::vector<std::string>& names) {
  const std::size_t stem = std::min(pattern.find_last_not_of(".*") + 1, pattern.size());
  const std::string near = closest(pattern.substr(0, stem), names_and_modules(names));
  if (near.empty()) {
    std::set<std::string> tops;
    for (const std::string& name : names) tops.insert(name.substr(0, name.find('.')));
    return "; the model has " + join({tops.begin(), tops.end()});
  }
  const bool is_name = std::find(names.begin(), names.end(), near) != names.end();
  return "; did you mean '" + near + (is_name ? "" : ".*") + "'?";
}

}  // namespace

bool matches(std::string_view pattern, std::string_view name) noexcept {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string_view::npos;  // the last `*` seen
  std::size_t after_star = 0;                 // where in `name` what follows it is tried
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after_star = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++after_star;  // the `*` takes one character more
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

void freeze_parameters(BaseModel& model, const Config& training) {
  const auto patterns = training.get<std::vector<std::string>>("freeze");
  if (patterns.empty()) return;
  const auto parameters = model.named_parameters();
  std::set<const void*> frozen;  // one that is registered twice counts once
  std::int64_t elements = 0;
  for (std::size_t k = 0; k < patterns.size(); ++k) {
    bool found = false;
    for (const auto& item : parameters) {
      if (!matches(patterns[k], item.key())) continue;
      found = true;
      item.value().set_requires_grad(false);
      if (!frozen.insert(item.value().unsafeGetTensorImpl()).second) continue;
      elements += item.value().numel();
    }
    if (found) continue;
    throw training.error(concat("freeze[", k, "]"), "matches no parameter of the model" +
                                                        suggestion(patterns[k], parameters.keys()));
  }
  if (model.num_trained_parameters() == 0) {
    throw training.error("freeze", "leaves no parameter to train; freeze less");
  }
  log::info("[model] frozen by training.freeze: ", frozen.size(), " tensors with ", elements,
            " elements; ", model.num_trained_parameters(), " elements are trained");
}

}  // namespace pergola::host
