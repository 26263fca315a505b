// SPDX-License-Identifier: BSD-3-Clause
// What is known of the host's own data sets without reading them: the config that they start from
// (files and the command line come on top), and whether they are there. LibTorch-free, so that the
// config can be resolved without it. No state; thread-safe.
#pragma once

#include "pergola/value.h"

#include <filesystem>
#include <string>

namespace pergola::host {

// dataset_config.easy_vqa: every key that there is, with its default.
[[nodiscard]] Value easy_vqa_defaults();

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
