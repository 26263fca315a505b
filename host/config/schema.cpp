// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/schema.h"

#include "host/config/mmf_keys.h"
#include "pergola/config.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace pergola::host {
namespace {

std::string join_path(std::string_view parent, std::string_view key) {
  return parent.empty() ? std::string(key) : concat(parent, ".", key);
}

std::string_view leaf_of(std::string_view path) { return path.substr(path.rfind('.') + 1); }

const KeySpec* find_key(std::string_view path) {
  const auto keys = schema();
  const auto found =
      std::find_if(keys.begin(), keys.end(), [&](const KeySpec& key) { return key.path == path; });
  return found == keys.end() ? nullptr : &*found;
}

// The keys and tables that the table `parent` may have, without their parent's path.
std::vector<std::string> members_of(std::string_view parent) {
  std::vector<std::string> members;
  const std::string prefix = parent.empty() ? "" : concat(parent, ".");
  for (const KeySpec& key : schema()) {
    if (key.path.substr(0, prefix.size()) != prefix) continue;
    const std::string_view rest = key.path.substr(prefix.size());
    const std::string member(rest.substr(0, rest.find('.')));
    if (std::find(members.begin(), members.end(), member) == members.end()) {
      members.push_back(member);
    }
  }
  return members;
}

// Where a key of about this name is in some other table: "training.batch_size" for "batch_sise".
std::string closest_elsewhere(std::string_view name) {
  std::vector<std::string> leaves;
  for (const KeySpec& key : schema()) leaves.emplace_back(leaf_of(key.path));
  const std::string leaf = closest(name, leaves);
  if (leaf.empty()) return "";
  const auto index = std::find(leaves.begin(), leaves.end(), leaf) - leaves.begin();
  return std::string(schema()[static_cast<std::size_t>(index)].path);
}

// The value's place, or that of the first thing in it: `training.x.y=1` makes a table of its own.
std::string origin_within(const Value& value) {
  if (!value.origin().empty() || !value.is_table() || value.as_table().empty()) {
    return value.origin();
  }
  return origin_within(value.as_table().begin()->second);
}

Error unknown_key(std::string_view parent, const std::string& name, const Value& value) {
  const std::string path = join_path(parent, name);
  const std::string at = origin_within(value).empty() ? "" : " (" + origin_within(value) + ")";
  if (const std::string_view instead = instead_of_mmf_key(path); !instead.empty()) {
    return Error(ErrorKind::kConfig, path, at,
                 " is a key of MMF's that Pergola does not take: ", instead);
  }
  const std::vector<std::string> members = members_of(parent);
  const std::string sibling = closest(name, members);
  std::string near = sibling.empty() ? closest_elsewhere(name) : join_path(parent, sibling);
  if (near.empty() && std::ranges::find(members, "params") != members.end()) {
    near = concat(join_path(parent, "params"), ".", name);  // optimizer.params.lr
  }
  return Error(ErrorKind::kConfig, path, at, " is not a known key",
               near.empty() ? did_you_mean(name, members) : "; did you mean '" + near + "'?");
}

bool is_string(const Value& value) { return value.is_string(); }
bool is_table(const Value& value) { return value.is_table(); }
bool is_integer(const Value& value) { return value.type() == Value::Type::kInteger; }

bool has_type(const Value& value, KeyType type) {
  switch (type) {
    case KeyType::kBoolean:
      return value.type() == Value::Type::kBoolean;
    case KeyType::kInteger:
      return is_integer(value);
    case KeyType::kIntegerOrBoolean:
      return is_integer(value) || value.type() == Value::Type::kBoolean;
    case KeyType::kStringOrBoolean:
      return value.is_string() || value.type() == Value::Type::kBoolean;
    case KeyType::kDuration:
      return is_integer(value) || value.is_string();
    case KeyType::kFloat:
      return value.type() == Value::Type::kFloat || is_integer(value);
    case KeyType::kString:
      return value.is_string();
    case KeyType::kStringOrArray:
      return value.is_string() || value.is_array();
    case KeyType::kStrings:
    case KeyType::kIntegers:
    case KeyType::kTables:
    case KeyType::kTypedList:
      return value.is_array();
    case KeyType::kTable:
      return value.is_table();
  }
  return false;
}

// What each element of an array must be.
struct ElementRule {
  bool (*fits)(const Value& element);
  const char* text;
};

ElementRule element_rule(KeyType type) {
  if (type == KeyType::kIntegers) return {&is_integer, "an integer"};
  if (type == KeyType::kTables) return {&is_table, "a table"};
  return {&is_string, "a string"};
}

void check_type(const Config& config, const KeySpec& key, const Value& value) {
  if (!has_type(value, key.type)) {
    throw config.error(key.path,
                       concat("is ", value.type_name(), "; expected ", type_text(key.type)));
  }
  if (key.type == KeyType::kTypedList) static_cast<void>(config.typed_list(key.path));
  if (!value.is_array() || key.type == KeyType::kTypedList) return;
  const ElementRule rule = element_rule(key.type);
  for (std::size_t i = 0; i < value.as_array().size(); ++i) {
    const Value& element = value.as_array()[i];
    if (rule.fits(element)) continue;
    throw config.error(concat(key.path, "[", i, "]"),
                       concat("is ", element.type_name(), "; expected ", rule.text));
  }
}

// 1000000, not 1e+06.
std::string bound_text(double bound) { return concat(static_cast<std::int64_t>(bound)); }

void check_bounds(const Config& config, const KeySpec& key, const Value& value) {
  const Bounds& bounds = *key.bounds;
  const double number = value.as_float();
  const bool excluded = bounds.kind == Bounds::Low::kExcluded;
  if ((excluded ? number > bounds.low : number >= bounds.low) && number <= bounds.high) return;
  const bool has_high = bounds.high < std::numeric_limits<double>::infinity();
  const std::string low = bound_text(bounds.low);
  std::string expected = concat(excluded ? "more than " : "at least ", low);
  if (has_high && excluded) expected += concat(" and at most ", bound_text(bounds.high));
  if (has_high && !excluded) expected = concat(low, " to ", bound_text(bounds.high));
  throw config.error(key.path, concat("is out of range; expected ", expected));
}

void check_table(const Value& table, const std::string& path) {
  for (const auto& [name, value] : table.as_table()) {
    const std::string full = join_path(path, name);
    const KeySpec* key = find_key(full);
    if (key != nullptr && (key->type != KeyType::kTable || value.is_table())) continue;
    if (key == nullptr && members_of(full).empty()) throw unknown_key(path, name, value);
    if (!value.is_table()) {
      throw Error(ErrorKind::kConfig, full, " = ", to_string(value), " (", value.origin(), ") is ",
                  value.type_name(), "; expected a table, such as [", full, "]");
    }
    check_table(value, full);
  }
}

}  // namespace

std::string_view type_text(KeyType type) noexcept {
  switch (type) {
    case KeyType::kBoolean:
      return "true or false";
    case KeyType::kInteger:
      return "an integer";
    case KeyType::kIntegerOrBoolean:
      return "an integer, true or false";
    case KeyType::kStringOrBoolean:
      return "a string, true or false";
    case KeyType::kDuration:
      return "a number of updates, or text such as \"2 epochs\" or \"30 minutes\"";
    case KeyType::kFloat:
      return "a number";
    case KeyType::kString:
      return "a string";
    case KeyType::kStrings:
      return "an array of strings";
    case KeyType::kIntegers:
      return "an array of integers";
    case KeyType::kStringOrArray:
      return "a string or an array of strings";
    case KeyType::kTypedList:
      return "an array of names or {type = \"name\", params = {...}}";
    case KeyType::kTables:
      return "an array of tables";
    case KeyType::kTable:
      return "a table";
  }
  return "";
}

void check_keys(const Value& root) { check_table(root, ""); }

void check_values(const Value& root) {
  const Config config(root);
  for (const KeySpec& key : schema()) {
    const Value* value = root.find(key.path);
    if (value == nullptr) continue;
    check_type(config, key, *value);
    if (key.bounds != nullptr) check_bounds(config, key, *value);
  }
}

}  // namespace pergola::host
