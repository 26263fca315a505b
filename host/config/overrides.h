// SPDX-License-Identifier: BSD-3-Clause
// `key=value` words of the command line. No state; thread-safe.
#pragma once

#include "pergola/value.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pergola::host {

// The origin of what the command line sets.
inline constexpr const char* kCommandLine = "command line";

// One word, taken apart: where to, and what.
struct Override {
  using Step = std::variant<std::string, std::size_t>;  // a key, or an index into an array

  std::string key;         // "training.lr_steps[1]"
  std::vector<Step> path;  // never empty; begins with a key
  Value value;             // origin kCommandLine

  [[nodiscard]] bool has_index() const;
};

// Takes `text` apart. The key is a dotted path, with [n] for an element of an array. The value is
// TOML (64, 1e-3, true, "text", [1, 2], {a = 1}); whatever is not is a string as it stands, so
// that `model=pythia` and `env.save_dir=runs/a b` need no quotes; nothing is the empty string. What
// begins with a quote or a bracket is meant as TOML. Throws Error{kConfig} when there is no '=',
// when the key is not a path, when such a value is not TOML, and for an integer beyond 64 bits.
[[nodiscard]] Override parse_override(const std::string& text);
[[nodiscard]] std::vector<Override> parse_overrides(const std::vector<std::string>& words);

// Sets `key` to `text` as it stands: neither TOML nor a reference in it means anything.  REQUIRES:
// `key` is a path.
[[nodiscard]] Override string_override(const std::string& key, std::string_view text);

// Puts overrides over `root`: first those without an index, as one layer (so that their order does
// not matter between `optimizer.type` and `optimizer.params`; of one key twice, the last counts),
// then those with an index, in their order. Throws Error{kConfig} when a path leads through what is
// not a table, or to an element that the array does not have.
void apply_overrides(Value& root, const std::vector<Override>& overrides);

}  // namespace pergola::host
