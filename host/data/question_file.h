// SPDX-License-Identifier: BSD-3-Clause
// The question file of easy-VQA: a JSON array of rows [question, answer, image number]. The texts
// repeat a lot, so each distinct one is kept once. LibTorch-free; a plain value.
#pragma once

#include "pergola/sample_list.h"

#include <cstdint>
#include <filesystem>
#include <vector>

namespace pergola::host {

struct QuestionRow {
  std::uint32_t question;  // index into questions
  std::uint32_t answer;    // index into answers
  std::int64_t image;      // images/<image>.png
};

struct QuestionFile {
  std::filesystem::path path;
  std::vector<QuestionRow> rows;  // the first one is row 0
  Strings questions;              // distinct ones, in the order of their first row
  Strings answers;
  std::vector<std::int64_t> first_question_row;  // for each of `questions`
  std::vector<std::int64_t> first_answer_row;
};

// Throws Error{kData} when the file cannot be read, is not JSON (with line and column), has no
// rows, or has a row of another form, a negative image number among them (with the number of the
// row).
[[nodiscard]] QuestionFile read_question_file(const std::filesystem::path& path);

// How messages name a row: "train/questions.json row 17".
[[nodiscard]] std::string row_name(const QuestionFile& file, std::int64_t row);

}  // namespace pergola::host
