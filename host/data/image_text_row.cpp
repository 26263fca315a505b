// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/image_text_row.h"

#include "host/data/class_label.h"
#include "host/support/json.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostFiles = 100;      // of a row
constexpr std::size_t kMostAnswers = 1'000;  // likewise
constexpr std::array<const char*, 3> kTextKeys{"text", "question", "sentence"};
constexpr std::array<const char*, 3> kTargetKeys{"label", "answer", "answers"};

template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  throw Error(ErrorKind::kData, parts..., "; correct the row");
}

// The member, or null when there is none; JSON's null is none.
const Json* find(const Json& row, const char* key) {
  const auto found = row.find(key);
  return found == row.end() || found->is_null() ? nullptr : &*found;
}

// That one of `keys` which the row has, or null; two of them are refused.
template <std::size_t N>
const char* find_one(const Json& row, const std::array<const char*, N>& keys) {
  std::vector<std::string> found;
  const char* last = nullptr;
  for (const char* key : keys) {
    if (find(row, key) == nullptr) continue;
    found.emplace_back(key);
    last = key;
  }
  if (found.size() > 1) refuse("the row has ", join(found, " and "), ", expected one of them");
  return last;
}

// What normalize_answer() drops: of an answer without anything else nothing is left.
bool is_blank_answer(const std::string& text) {
  return text.find_first_not_of(" \t\n\v\f\r,?") == std::string::npos;
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

// The 64-bit integer, or nothing where the JSON has none.
std::optional<std::int64_t> integer_of(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{INT64_MAX}) {
    return std::nullopt;
  }
  return value.get<std::int64_t>();
}

const std::string& string_of(const Json& value, const char* key, const char* expected) {
  if (!value.is_string()) refuse(key, " is ", value.dump(), ", expected ", expected);
  return value.get_ref<const std::string&>();
}

// A string, or an array of 1 to `most` of them.
Strings strings_of(const Json& value, const char* key, const char* expected, std::size_t most) {
  if (!value.is_array()) return {string_of(value, key, expected)};
  if (value.empty() || value.size() > most) {
    refuse(key, " has ", value.size(), " items, expected 1 to ", most);
  }
  Strings list;
  for (const Json& item : value) list.push_back(string_of(item, key, expected));
  return list;
}

Value id_of(const Json& value) {
  if (value.is_string()) return Value(value.get<std::string>());
  if (const auto number = integer_of(value)) return Value(*number);
  refuse("id is ", value.dump(), ", expected a string or a 64-bit integer");
}

std::string text_of(const Json& row) {
  const char* const key = find_one(row, kTextKeys);
  if (key == nullptr) refuse("the row has none of text, question and sentence");
  std::string text = string_of(*find(row, key), key, "a string");
  if (is_blank(text)) refuse(key, " is empty");
  return text;
}

void read_target(const Json& row, ImageTextRow& result) {
  const char* const key = find_one(row, kTargetKeys);
  if (key == nullptr) return;
  const Json& value = *find(row, key);
  const std::string_view name(key);
  result.target = name == "label" ? ImageTextRow::Target::kLabel : ImageTextRow::Target::kAnswers;
  if (name == "label") {
    result.class_number = integer_of(value);
    if (value.is_number_integer() && (!result.class_number || *result.class_number < 0 ||
                                      *result.class_number >= kMostClasses)) {
      refuse("label is ", value.dump(), ", expected a class number from 0 to ", kMostClasses - 1);
    }
    if (result.class_number) return;
    result.answers = {string_of(value, key, "a class number or its word")};
  } else if (name == "answer") {
    result.answers = {string_of(value, key, "a string")};
  } else {
    if (!value.is_array()) refuse("answers is ", value.dump(), ", expected an array of strings");
    result.answers = strings_of(value, key, "strings", kMostAnswers);
  }
  // One of several that is blank is somebody who has not answered.
  if (!std::all_of(result.answers.begin(), result.answers.end(), is_blank_answer)) return;
  refuse(key, " is ", value.dump(), ", expected ", value.is_array() ? "one of them " : "",
         "to have more than spaces, commas and question marks, which do not count");
}

ImageTextRow parse(const Json& row) {
  if (!row.is_object()) {
    refuse("the row is ", row.type_name(), ", expected an object; JSON Lines has one a line");
  }
  ImageTextRow result;
  if (const Json* id = find(row, "id")) result.id = id_of(*id);
  result.text = text_of(row);
  const auto files = [&](const char* key) {
    const Json* const value = find(row, key);
    if (value == nullptr) return Strings{};
    return strings_of(*value, key, "a path or an array of paths", kMostFiles);
  };
  result.images = files("image");
  result.features = files("features");
  if (result.images.empty() && result.features.empty()) {
    refuse("the row has neither image nor features");
  }
  read_target(row, result);
  return result;
}

// How deep brackets are nested in `text`, if it is JSON; those in its strings do not count.
std::size_t depth_of(std::string_view text) {
  std::size_t depth = 0;
  std::size_t deepest = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      deepest = std::max(deepest, ++depth);
    } else if (!in_string && (c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

// Throws Error{kData} with file, line and column.
Json json_of(const JsonLines& lines, std::int64_t row) {
  // What from_json() takes; a message that writes out a deeper value would recurse as deep.
  constexpr std::size_t kDeepest = 200;
  const std::string_view text = lines.text(row);
  if (depth_of(text) <= kDeepest) {
    Json json = Json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
    if (!json.is_discarded()) return json;
  }
  // Says what is wrong, and counts the lines of what it is given.
  const auto before = static_cast<std::size_t>(lines.line_number(row) - 1);
  static_cast<void>(
      from_json(std::string(before, '\n').append(text), lines.file().string(), ErrorKind::kData));
  refuse(lines.place(row), ": the row is no JSON that can be used");  // never: from_json() throws
}

}  // namespace

ImageTextRow parse_image_text_row(const JsonLines& lines, std::int64_t row) {
  const Json json = json_of(lines, row);
  ImageTextRow result;
  blame(lines, row, [&] { result = parse(json); });
  return result;
}

}  // namespace pergola::host
