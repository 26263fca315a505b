// SPDX-License-Identifier: BSD-3-Clause
// The names that VisualBERT's weights had elsewhere. No state; thread-safe.
#pragma once

#include <string>

namespace pergola::visual_bert {

// The name that a weight has here: of MMF's earlier releases (`bert.bert.*`) and of BERT's first
// one (gamma, beta). A name of today is itself. Those of Hugging Face are in plugin.toml.
[[nodiscard]] std::string current_name(const std::string& key);

}  // namespace pergola::visual_bert
