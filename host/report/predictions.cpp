// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/predictions.h"

#include "host/report/format.h"
#include "host/support/json.h"
#include "pergola/error.h"
#include "pergola/value.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace pergola::host {
namespace {

constexpr std::size_t kLongestText = 2'000;
constexpr std::size_t kLongestWord = 300;

// Not in the middle of a letter.
std::string cut(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0U) == 0x80U) --most;
  text.resize(most);
  return text + "…";
}

std::string text_of_value(const Value& value) {
  return cut(value.is_string() ? value.as_string() : to_json(value), kLongestText);
}

std::string first_text(const Value& row, std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    const auto found = row.as_table().find(key);
    if (found == row.as_table().end() || found->second.is_null()) continue;
    return text_of_value(found->second);
  }
  return "";
}

// One text, or an array of them.
std::vector<std::string> texts_at(const Value& row, std::string_view key, std::size_t most) {
  std::vector<std::string> texts;
  const auto found = row.as_table().find(key);
  if (found == row.as_table().end() || found->second.is_null()) return texts;
  if (!found->second.is_array()) return {text_of_value(found->second)};
  for (const Value& each : found->second.as_array()) {
    if (texts.size() == most) break;
    std::string text = text_of_value(each);
    if (std::ranges::find(texts, text) == texts.end()) texts.push_back(std::move(text));
  }
  return texts;
}

// Letter case and spaces around it aside, as answers are compared in training.
std::string folded(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\n'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  std::string result(text);
  for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return result;
}

Verdict judge(const Prediction& prediction) {
  if (prediction.targets.empty()) return Verdict::kUnknown;
  const std::string answer = folded(prediction.answer);
  const bool right = std::ranges::any_of(
      prediction.targets, [&](const std::string& target) { return folded(target) == answer; });
  return right ? Verdict::kRight : Verdict::kWrong;
}

// "question_id 12, image_id 3"
std::string more_of(const Value& row) {
  static constexpr std::string_view kShown[] = {"question", "text",  "sentence",   "answer",
                                                "target",   "image", "probability"};
  constexpr std::size_t kMost = 6;
  std::vector<std::string> parts;
  for (const auto& [key, value] : row.as_table()) {
    const bool shown = std::ranges::find(kShown, key) != std::end(kShown);
    if (shown || value.is_table() || value.is_null() || parts.size() == kMost) continue;
    const bool is_float = value.type() == Value::Type::kFloat;
    parts.push_back(
        cut(key, kLongestWord) + " " +
        (is_float ? short_number(value.as_float()) : cut(text_of_value(value), kLongestWord)));
  }
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

Prediction prediction_of(const Value& row) {
  constexpr std::size_t kMostTargets = 20;
  constexpr std::size_t kMostImages = 4;
  Prediction prediction;
  prediction.question = first_text(row, {"question", "text", "sentence"});
  prediction.answer = first_text(row, {"answer"});
  prediction.targets = texts_at(row, "target", kMostTargets);
  prediction.images = texts_at(row, "image", kMostImages);
  const auto found = row.as_table().find("probability");
  if (found != row.as_table().end()) {
    const Value& value = found->second;
    const bool integer = value.type() == Value::Type::kInteger;
    if (integer || value.type() == Value::Type::kFloat) prediction.probability = value.as_float();
  }
  prediction.verdict = judge(prediction);
  prediction.more = more_of(row);
  return prediction;
}

// What is no number comes last.
double sureness(const Prediction& prediction) {
  return std::isfinite(prediction.probability) ? prediction.probability : -1;
}

bool surer(const Prediction& one, const Prediction& other) {
  return sureness(one) > sureness(other);
}

// Keeps the surest of all that come.
class Surest {
 public:
  explicit Surest(std::size_t most) : most_(most) {}

  void add(Prediction prediction) {
    kept_.push_back(std::move(prediction));
    if (kept_.size() > 2 * most_ + 1) shrink();
  }
  std::vector<Prediction> take(std::size_t count) {
    shrink();
    kept_.resize(std::min(count, kept_.size()));
    return std::move(kept_);
  }

 private:
  void shrink() {
    std::ranges::stable_sort(kept_, surer);
    kept_.resize(std::min(most_, kept_.size()));
  }

  std::size_t most_;
  std::vector<Prediction> kept_;
};

// Keeps some of all that come, evenly spread, without knowing how many will: each second one is
// dropped whenever there are too many.
class Spread {
 public:
  explicit Spread(std::size_t most) : most_(std::max<std::size_t>(1, most)) {}

  void add(Prediction prediction) {
    if (seen_++ % step_ != 0) return;
    kept_.push_back(std::move(prediction));
    if (kept_.size() < 2 * most_) return;
    for (std::size_t i = 0; i < most_; ++i) kept_[i] = std::move(kept_[2 * i]);
    kept_.resize(most_);
    step_ *= 2;
  }
  [[nodiscard]] std::size_t size() const noexcept { return kept_.size(); }
  std::vector<Prediction> take(std::size_t count) {
    std::vector<Prediction> taken;
    count = std::min(count, kept_.size());
    for (std::size_t i = 0; i < count; ++i) {
      taken.push_back(std::move(kept_[i * kept_.size() / count]));
    }
    return taken;
  }

 private:
  std::size_t most_;
  std::size_t seen_ = 0;
  std::size_t step_ = 1;
  std::vector<Prediction> kept_;
};

class Chooser {
 public:
  Chooser(const std::string& name, std::size_t most)
      : most_(most), wrong_(most), right_(most), unknown_(most) {
    file_.name = name;
  }

  void add(const Value& row) {
    Prediction prediction = prediction_of(row);
    ++file_.rows;
    if (prediction.verdict == Verdict::kWrong) {
      ++file_.wrong;
      wrong_.add(std::move(prediction));
    } else if (prediction.verdict == Verdict::kRight) {
      ++file_.right;
      right_.add(std::move(prediction));
    } else {
      unknown_.add(std::move(prediction));
    }
  }
  void add_damaged_line() { ++file_.damaged_lines; }
  [[nodiscard]] bool has_only_damaged_lines() const {
    return file_.rows == 0 && file_.damaged_lines > 0;
  }

  PredictionFile take() {
    const std::size_t right = std::min(right_.size(), most_ - std::min(file_.wrong, most_ / 2));
    const std::size_t wrong = std::min(file_.wrong, most_ - right);
    for (auto list :
         {wrong_.take(wrong), right_.take(right), unknown_.take(most_ - right - wrong)}) {
      std::ranges::stable_sort(list, surer);
      std::ranges::move(list, std::back_inserter(file_.samples));
    }
    return std::move(file_);
  }

 private:
  std::size_t most_;
  PredictionFile file_;
  Surest wrong_;
  Spread right_;
  Spread unknown_;
};

// The row of a line; null for a line without one.
Value row_of(std::string_view line) {
  while (!line.empty() && (line.back() == ',' || line.back() == '\r')) line.remove_suffix(1);
  if (line.empty() || line == "[" || line == "]" || line == "[]") return {};
  return from_json(line, "");
}

void read_lines(std::string_view json, Chooser& chooser) {
  while (!json.empty()) {
    const std::size_t end = json.find('\n');
    try {
      const Value row = row_of(json.substr(0, end));
      if (row.is_table())
        chooser.add(row);
      else if (!row.is_null())
        chooser.add_damaged_line();
    } catch (const Error&) {
      chooser.add_damaged_line();
    }
    json.remove_prefix(end == std::string_view::npos ? json.size() : end + 1);
  }
}

// In another form than one row a line.
bool read_whole(std::string_view json, Chooser& chooser) {
  try {
    const Value rows = from_json(json, "");
    if (!rows.is_array()) return false;
    for (const Value& row : rows.as_array()) {
      if (row.is_table())
        chooser.add(row);
      else
        chooser.add_damaged_line();
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::size_t PredictionFile::count(Verdict verdict) const {
  return static_cast<std::size_t>(std::ranges::count(samples, verdict, &Prediction::verdict));
}

PredictionFile read_predictions(std::string_view json, const std::string& name, std::size_t most) {
  constexpr std::size_t kMost = 1'000'000;  // whatever was asked for
  most = std::min(most, kMost);
  Chooser chooser(name, most);
  read_lines(json, chooser);
  if (!chooser.has_only_damaged_lines()) return chooser.take();
  Chooser whole(name, most);
  return read_whole(json, whole) ? whole.take() : chooser.take();
}

}  // namespace pergola::host
