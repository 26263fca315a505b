// SPDX-License-Identifier: BSD-3-Clause
// The names that VisualBERT's weights had elsewhere. No state; thread-safe.
#pragma once

#include <string>

namespace pergola::visual_bert {

// The name that a weight has here: of MMF's earlier releases (`bert.bert.*`), of Hugging Face's
// VisualBertModel, VisualBertForQuestionAnswering and BertModel, with or without their prefix, and
// of BERT's first release (gamma, beta). A name of today is itself.
[[nodiscard]] std::string current_name(const std::string& key);

}  // namespace pergola::visual_bert
