// SPDX-License-Identifier: BSD-3-Clause
// The keys of MMF's configs that Pergola does not take, and what stands in for each, so that who
// brings a config from there is not left with a typing mistake that is none. Thread-safe.
#pragma once

#include <span>
#include <string_view>

namespace pergola::host {

struct MmfKey {
  std::string_view path;     // of a key or of a whole table
  std::string_view instead;  // the rest of a sentence: what to do
};

// All of MMF's defaults.yaml that schema() does not have.
[[nodiscard]] std::span<const MmfKey> mmf_keys() noexcept;

// What to do instead of setting the key `path`; "" when MMF has no such key.
[[nodiscard]] std::string_view instead_of_mmf_key(std::string_view path) noexcept;

}  // namespace pergola::host
