// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/defaults.h"

#include "pergola/error.h"

#include <system_error>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

// What is there and cannot be looked at is for who reads it to say.
bool is_missing(const std::filesystem::path& path) {
  std::error_code error;
  return !std::filesystem::exists(path, error) && !error;
}

Value typed(const char* type, Value::Table params) {
  return Value::Table{{"type", type}, {"params", Value(std::move(params))}};
}

}  // namespace

Value easy_vqa_defaults() {
  Value::Table processors{
      {"text_processor",
       typed("vocab", {{"max_length", 14}, {"vocab_file", ""}, {"min_count", 1}})},
      {"answer_processor",
       typed("vqa_answer", {{"vocab_file", kEasyVqaAnswers}, {"num_answers", 10}})},
      {"image_processor", typed("image", {{"mean", 0.5}, {"std", 0.5}})},
  };
  return Value::Table{
      {"data_dir", ""},
      {"split_train", Value::Table{{"val", 0.1}, {"test", 0.0}, {"seed", 123456}}},
      {"processors", std::move(processors)},
  };
}

Value image_text_defaults() {
  const auto of_splits = [](const char* train, const char* val, const char* test) {
    return Value::Table{{"train", train}, {"val", val}, {"test", test}};
  };
  Value::Table processors{
      {"text_processor",
       typed("vocab", {{"max_length", 20}, {"vocab_file", ""}, {"min_count", 1}})},
      {"answer_processor", typed("class_label", {{"vocab_file", ""}})},
      {"image_processor", typed("image", {{"mean", 0.5}, {"std", 0.5}})},
  };
  return Value::Table{
      {"data_dir", ""},
      {"annotations", of_splits("train.jsonl", "val.jsonl", "test.jsonl")},
      {"images", of_splits("", "", "")},
      {"features", of_splits("", "", "")},
      {"split_train", Value::Table{{"val", 0.0}, {"test", 0.0}, {"seed", 123456}}},
      {"image_size", Value::Array{224, 224}},
      {"max_features", 100},
      {"feature_dim", 0},
      {"feature_dtype", "float32"},
      {"paired", false},
      {"check_rows", true},
      {"processors", std::move(processors)},
  };
}

std::optional<Value> host_dataset_defaults(const std::string& name) {
  if (name == kHostDatasets[0]) return easy_vqa_defaults();
  if (name == kHostDatasets[1]) return image_text_defaults();
  return std::nullopt;
}

std::string missing_easy_vqa(const std::string& name, const std::filesystem::path& data_dir,
                             const std::string& part) {
  // Outermost first: without the folder, it is the whole data set that is missing.
  std::vector<std::pair<const char*, std::filesystem::path>> needed = {{"folder", data_dir}};
  if (part == kEasyVqaAnswers) {
    needed.emplace_back("file", data_dir / part);
  } else {
    needed.emplace_back("folder", data_dir / part);
    needed.emplace_back("file", data_dir / part / "questions.json");
    needed.emplace_back("folder", data_dir / part / "images");
  }
  for (const auto& [kind, path] : needed) {
    if (!is_missing(path)) continue;
    return concat("data set '", name, "' has no ", kind, " ", path.string(),
                  "; fetch it with `tools/setup --data easy_vqa`, or set env.data_dir or "
                  "dataset_config.",
                  name, ".data_dir to where it is");
  }
  return "";
}

}  // namespace pergola::host
