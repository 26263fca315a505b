// SPDX-License-Identifier: BSD-3-Clause
// What of a prediction file is shown: some of the wrong answers, and some of the right ones. Rows
// are objects of which `question`, `text` or `sentence`, `answer`, `probability`, `target` and
// `image` are known, and none is needed. Plain values; thread-safe.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

enum class Verdict { kRight, kWrong, kUnknown };

struct Prediction {
  std::string question;
  std::string answer;
  std::vector<std::string> targets;  // any of them is right
  std::vector<std::string> images;   // their files
  double probability = std::numeric_limits<double>::quiet_NaN();
  Verdict verdict = Verdict::kUnknown;  // where there are no targets
  std::string more;                     // other short values of the row
};

struct PredictionFile {
  std::string name;  // "easy_vqa_test"
  std::size_t rows = 0;
  std::size_t right = 0;
  std::size_t wrong = 0;
  std::size_t damaged_lines = 0;
  std::vector<Prediction> samples;  // wrong ones first, and of each kind the surest

  // Of the samples.
  [[nodiscard]] std::size_t count(Verdict verdict) const;
};

// Reads a JSON array with a row a line, as predictions are written, or in any other form. Keeps
// `most` rows: half of them wrong ones, those that the model was surest of, and half right ones,
// spread over the file; more of one kind where there are fewer of the other.
[[nodiscard]] PredictionFile read_predictions(std::string_view json, const std::string& name,
                                              std::size_t most);

}  // namespace pergola::host
