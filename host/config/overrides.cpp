// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/overrides.h"

#include "host/config/interpolate.h"
#include "host/config/merge.h"
#include "host/config/toml.h"
#include "pergola/error.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace pergola::host {
namespace {

Error not_a_path(const std::string& text, std::string_view key) {
  return Error(
      ErrorKind::kConfig, "'", text, "' on the command line: '", key,
      "' is not a path; expected words of letters, digits, _ and - with dots between them, "
      "such as training.batch_size=64 or training.lr_steps[1]=10000");
}

bool is_word(std::string_view text) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
  return !text.empty() && text.find_first_not_of(kLetters) == std::string_view::npos;
}

// "[1]" or "[1][2]" behind a word.
bool parse_indices(std::string_view text, std::vector<Override::Step>& path) {
  while (!text.empty()) {
    const std::size_t end = text.find(']');
    if (text.front() != '[' || end == std::string_view::npos) return false;
    std::size_t index = 0;
    const char* last = text.data() + end;
    const auto parsed = std::from_chars(text.data() + 1, last, index);
    if (parsed.ec != std::errc() || parsed.ptr != last) return false;
    path.emplace_back(index);
    text.remove_prefix(end + 1);
  }
  return true;
}

std::optional<std::vector<Override::Step>> parse_path(std::string_view key) {
  constexpr std::size_t kLongest = 64;
  std::vector<Override::Step> path;
  while (true) {
    const std::size_t dot = std::min(key.find('.'), key.size());
    const std::string_view part = key.substr(0, dot);
    const std::size_t bracket = std::min(part.find('['), part.size());
    if (!is_word(part.substr(0, bracket))) return std::nullopt;
    path.emplace_back(std::string(part.substr(0, bracket)));
    if (!parse_indices(part.substr(bracket), path) || path.size() > kLongest) return std::nullopt;
    if (dot == key.size()) return path;
    key.remove_prefix(dot + 1);
  }
}

// "99999999999999999999" and "0xffffffffffffffffff": TOML but for their size, and no strings.
bool is_beyond_64_bits(std::string_view word) {
  if (word.starts_with('-') || word.starts_with('+')) word.remove_prefix(1);
  const bool hex = word.starts_with("0x");
  std::string digits(word.substr(hex ? 2 : 0));
  std::erase(digits, '_');
  std::int64_t number = 0;
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, number, hex ? 16 : 10);
  return parsed.ec == std::errc::result_out_of_range && parsed.ptr == end;
}

// Has an array such a number?
bool has_element_beyond_64_bits(std::string_view text) {
  constexpr std::string_view kBetween = "[], ";
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(kBetween), text.size());
    if (is_beyond_64_bits(text.substr(0, end))) return true;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

Value parse_value(const std::string& key, const std::string& text) {
  const bool one_line = text.find('\n') == std::string::npos;
  const bool meant_as_toml =
      !text.empty() && std::string_view("\"'[{").find(text.front()) != std::string_view::npos;
  if (text.empty() || (!one_line && !meant_as_toml)) return text;
  try {
    // In an array, so that "1 # 2" and "1, 2" are not taken for 1.
    Value list = parse_toml("v = [" + text + "]", key)["v"];
    if (list.as_array().size() == 1 && text.back() != ',') return list.as_array().front();
  } catch (const Error&) {
    if (is_beyond_64_bits(text) ||
        (meant_as_toml && has_element_beyond_64_bits(text))) {  // TOML but for its size
      throw Error(ErrorKind::kConfig, "'", key, "=", text,
                  "' on the command line has an integer out of range; expected one from "
                  "-9223372036854775808 to 9223372036854775807, or \"text\" in quotes");
    }
    if (meant_as_toml) {
      throw Error(
          ErrorKind::kConfig, "'", key, "=", text,
          "' on the command line: the value begins like TOML but is not, expected \"text\", "
          "[1, 2] or {a = 1}; complete it, and quote the whole word for the shell");
    }
  }
  return text;
}

Error leads_through(const Override& change, const std::string& place, const Value& value,
                    const char* expected) {
  const std::string origin = value.origin().empty() ? "" : " (" + value.origin() + ")";
  return Error(ErrorKind::kConfig, "'", change.key, "' on the command line leads through ", place,
               " = ", to_string(value), origin, ", which is ", value.type_name(), "; expected ",
               expected);
}

// Checks that the steps but the last lead through tables or through nothing at all.
void check_path(const Value& root, const Override& change) {
  const Value* value = &root;
  std::string place;
  for (std::size_t i = 0; i + 1 < change.path.size(); ++i) {
    const std::string& key = std::get<std::string>(change.path[i]);
    place += (place.empty() ? "" : ".") + key;
    const auto found = value->as_table().find(key);
    if (found == value->as_table().end()) return;
    value = &found->second;
    if (!value->is_table()) throw leads_through(change, place, *value, "a table");
  }
}

void put(Value& layer, const Override& change) {
  check_path(layer, change);
  Value* value = &layer;
  for (const Override::Step& step : change.path) value = &(*value)[std::get<std::string>(step)];
  *value = change.value;
}

Value& element(const Override& change, Value& value, const std::string& place, std::size_t index) {
  if (!value.is_array()) throw leads_through(change, place, value, "an array");
  Value::Array& array = value.as_array();
  if (index < array.size()) return array[index];
  throw Error(ErrorKind::kConfig, "'", change.key, "' on the command line: ", place, " has ",
              array.size(), " elements", value.origin().empty() ? "" : " (" + value.origin() + ")",
              ", so there is no [", index, "]; give the whole array instead: ", place, "=[...]");
}

Value& member(const Override& change, Value& value, const std::string& place,
              const std::string& key) {
  if (!value.is_table()) throw leads_through(change, place, value, "a table");
  const auto found = value.as_table().find(key);
  if (found != value.as_table().end()) return found->second;
  throw Error(ErrorKind::kConfig, "'", change.key,
              "' on the command line: ", place.empty() ? key : place + "." + key,
              " is not set, so it has no elements; give the whole array instead");
}

void put_indexed(Value& root, const Override& change) {
  Value* value = &root;
  std::string place;
  for (std::size_t i = 0; i + 1 < change.path.size(); ++i) {
    if (const auto* index = std::get_if<std::size_t>(&change.path[i])) {
      value = &element(change, *value, place, *index);
      place += concat("[", *index, "]");
    } else {
      const auto& key = std::get<std::string>(change.path[i]);
      value = &member(change, *value, place, key);
      place += (place.empty() ? "" : ".") + key;
    }
  }
  if (const auto* index = std::get_if<std::size_t>(&change.path.back())) {
    element(change, *value, place, *index) = change.value;
    return;
  }
  if (!value->is_table()) throw leads_through(change, place, *value, "a table");
  Value layer;
  layer[std::get<std::string>(change.path.back())] = change.value;
  merge(*value, layer);  // so that another `type` drops the old `params` here too
}

}  // namespace

bool Override::has_index() const {
  return std::any_of(path.begin(), path.end(),
                     [](const Step& step) { return std::holds_alternative<std::size_t>(step); });
}

Override parse_override(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) {
    throw Error(ErrorKind::kConfig, "'", text,
                "' on the command line has no '='; expected key=value, such as "
                "training.batch_size=64");
  }
  const std::string key = text.substr(0, equals);
  std::optional<std::vector<Override::Step>> path = parse_path(key);
  if (!path) throw not_a_path(text, key);
  Value value = parse_value(key, text.substr(equals + 1));
  set_origins(value, kCommandLine);
  return {key, std::move(*path), std::move(value)};
}

std::vector<Override> parse_overrides(const std::vector<std::string>& words) {
  std::vector<Override> overrides;
  for (const std::string& word : words) overrides.push_back(parse_override(word));
  return overrides;
}

Override string_override(const std::string& key, std::string_view text) {
  std::optional<std::vector<Override::Step>> path = parse_path(key);
  PERGOLA_ASSERT(path.has_value());
  Value value(escape_references(text));
  value.set_origin(kCommandLine);
  return {key, std::move(*path), std::move(value)};
}

void apply_overrides(Value& root, const std::vector<Override>& overrides) {
  Value layer{Value::Table{}};
  for (const Override& change : overrides) {
    if (change.has_index()) continue;
    check_path(root, change);
    put(layer, change);
  }
  merge(root, layer);
  for (const Override& change : overrides) {
    if (change.has_index()) put_indexed(root, change);
  }
}

}  // namespace pergola::host
