// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/defaults.h"

#include <utility>

namespace pergola::host {
namespace {

Value typed(const char* type, Value::Table params) {
  return Value::Table{{"type", type}, {"params", Value(std::move(params))}};
}

}  // namespace

Value easy_vqa_defaults() {
  Value::Table processors{
      {"text_processor",
       typed("vocab", {{"max_length", 14}, {"vocab_file", ""}, {"min_count", 1}})},
      {"answer_processor",
       typed("vqa_answer", {{"vocab_file", "answers.txt"}, {"num_answers", 10}})},
      {"image_processor", typed("image", {{"mean", 0.5}, {"std", 0.5}})},
  };
  return Value::Table{
      {"data_dir", ""},
      {"split_train", Value::Table{{"val", 0.1}, {"seed", 123456}}},
      {"processors", std::move(processors)},
  };
}

}  // namespace pergola::host
