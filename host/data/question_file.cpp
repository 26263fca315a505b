// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/question_file.h"

#include "host/support/files.h"
#include "host/support/json.h"
#include "pergola/error.h"

#include <nlohmann/json.hpp>

#include <string>
#include <unordered_map>
#include <utility>

namespace pergola::host {
namespace {

using Json = nlohmann::json;

// Numbers distinct texts in the order in which they come.
class Interner {
 public:
  Interner(Strings& texts, std::vector<std::int64_t>& first_rows)
      : texts_(texts), first_rows_(first_rows) {}

  std::uint32_t index(std::string& text, std::int64_t row) {
    const auto [entry, is_new] =
        indices_.try_emplace(text, static_cast<std::uint32_t>(texts_.size()));
    if (is_new) {
      texts_.push_back(std::move(text));
      first_rows_.push_back(row);
    }
    return entry->second;
  }

 private:
  Strings& texts_;
  std::vector<std::int64_t>& first_rows_;
  std::unordered_map<std::string, std::uint32_t> indices_;
};

// Fills a QuestionFile from the parser's events: no JSON tree of 40,000 rows is made.
class RowReader final : public Json::json_sax_t {
 public:
  explicit RowReader(QuestionFile& file)
      : file_(file),
        questions_(file.questions, file.first_question_row),
        answers_(file.answers, file.first_answer_row) {}

  bool null() override { return bad("null"); }
  bool boolean(bool /*value*/) override { return bad("a boolean"); }
  bool number_float(double /*value*/, const std::string& text) override {
    return bad("the number " + text);
  }
  bool number_unsigned(std::uint64_t value) override {
    if (value > static_cast<std::uint64_t>(INT64_MAX)) return bad("a number beyond 64 bits");
    return number_integer(static_cast<std::int64_t>(value));
  }
  bool number_integer(std::int64_t value) override {
    if (depth_ != 2 || column_ != 2) return bad("the number " + std::to_string(value));
    if (value < 0) return bad("the image number " + std::to_string(value));
    current_.image = value;
    return next_column();
  }
  bool string(std::string& text) override {
    if (depth_ == 2 && column_ == 0) {
      current_.question = questions_.index(text, row());
      return next_column();
    }
    if (depth_ == 2 && column_ == 1) {
      current_.answer = answers_.index(text, row());
      return next_column();
    }
    return bad("the string '" + text + "'");
  }
  bool start_array(std::size_t /*size*/) override {
    if (depth_ == 2) return bad("an array");
    ++depth_;
    column_ = 0;
    return true;
  }
  bool end_array() override {
    if (depth_ == 2) {
      if (column_ != 3) return bad("only " + std::to_string(column_) + " elements");
      file_.rows.push_back(current_);
    }
    --depth_;
    return true;
  }
  bool start_object(std::size_t /*size*/) override { return bad("an object"); }
  bool key(std::string& /*key*/) override { return false; }
  bool end_object() override { return false; }
  bool binary(Json::binary_t& /*value*/) override { return false; }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const Json::exception& /*error*/) override {
    return false;
  }

 private:
  [[nodiscard]] std::int64_t row() const { return static_cast<std::int64_t>(file_.rows.size()); }
  bool next_column() {
    ++column_;
    return true;
  }
  [[noreturn]] bool bad(const std::string& found) const {
    if (depth_ == 0) {
      throw Error(ErrorKind::kData, file_.path.string(), " holds ", found,
                  ", expected an array of rows [question, answer, image number]; restore the file");
    }
    throw Error(ErrorKind::kData, row_name(file_, row()), " has ", found,
                " where it should be [\"question\", \"answer\", image number]; correct the row");
  }

  QuestionFile& file_;
  Interner questions_;
  Interner answers_;
  QuestionRow current_{};
  int depth_ = 0;   // 1 in the file's array, 2 in a row
  int column_ = 0;  // of the current row
};

}  // namespace

QuestionFile read_question_file(const std::filesystem::path& path) {
  constexpr std::uintmax_t kMostBytes = 1'000'000'000;
  const std::string text = read_file(path, ErrorKind::kData, kMostBytes);
  QuestionFile file{path, {}, {}, {}, {}, {}};
  RowReader reader(file);
  if (!Json::sax_parse(text, &reader)) {
    (void)from_json(text, path.string(), ErrorKind::kData);  // says where and why
    PERGOLA_ASSERT(false);
  }
  if (file.rows.empty()) {
    throw Error(ErrorKind::kData, path.string(),
                " has no questions; expected rows [question, answer, image number]; restore the "
                "file");
  }
  return file;
}

std::string row_name(const QuestionFile& file, std::int64_t row) {
  return concat(file.path.string(), " row ", row);
}

}  // namespace pergola::host
