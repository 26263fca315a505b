// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/defaults.h"

#include "pergola/error.h"

#include <system_error>
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

std::string missing_easy_vqa(const std::string& name, const std::filesystem::path& data_dir,
                             const std::string& split) {
  std::error_code error;
  const bool known = std::filesystem::is_directory(data_dir, error);
  // Without the folder above, it is the whole data set that is missing.
  const std::filesystem::path folder = known ? data_dir / split : data_dir;
  if (known && std::filesystem::is_directory(folder, error)) return "";
  return concat("data set '", name, "' has no folder ", folder.string(),
                "; fetch it with `tools/setup --data easy_vqa`, or set dataset_config.", name,
                ".data_dir to where it is");
}

}  // namespace pergola::host
