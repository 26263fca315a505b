// SPDX-License-Identifier: BSD-3-Clause
// What is known of the host's own data sets without reading them: the config that they start from
// (files and the command line come on top), and whether they are there. LibTorch-free, so that the
// config can be resolved without it. No state; thread-safe.
#pragma once

#include "pergola/value.h"

#include <filesystem>
#include <optional>
#include <string>

namespace pergola::host {

// The host's data sets, and dataset_config.<name> of each: every key that there is, with its
// default; nothing for a name that is not the host's.
inline constexpr const char* kHostDatasets[] = {"easy_vqa", "image_text"};
[[nodiscard]] std::optional<Value> host_dataset_defaults(const std::string& name);
[[nodiscard]] Value easy_vqa_defaults();
[[nodiscard]] Value image_text_defaults();

// The parts of the data set's folder: two folders, each with questions.json and images/, and a
// file.
inline constexpr const char* kEasyVqaAnswers = "answers.txt";
inline constexpr const char* kEasyVqaParts[] = {"train", "test", kEasyVqaAnswers};

// Why that part of data set `name` cannot be read: a sentence with the file or folder that is
// missing and how to fetch it, or "".
[[nodiscard]] std::string missing_easy_vqa(const std::string& name,
                                           const std::filesystem::path& data_dir,
                                           const std::string& part);

}  // namespace pergola::host
