// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <string_view>

namespace pergola::host {

// Whether a model's key of that name is the size of its first or last layer, which every data set
// knows: where a config has 0, it is filled in, whether or not a manifest calls it a fact.
[[nodiscard]] constexpr bool is_size_fact(std::string_view key) {
  return key == "text_vocab_size" || key == "num_final_outputs";
}

}  // namespace pergola::host
