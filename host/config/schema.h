// SPDX-License-Identifier: BSD-3-Clause
// Every key of a config that the host knows: its type, default, bounds and meaning, in one list.
// configs/defaults.toml is this list as a file. No state; thread-safe.
#pragma once

#include "pergola/value.h"

#include <span>
#include <string>
#include <string_view>

namespace pergola::host {

enum class KeyType {
  kBoolean,
  kInteger,
  kIntegerOrBoolean,
  kStringOrBoolean,
  kFloat,     // takes integers
  kDuration,  // an integer or a string; who reads it says which strings
  kString,
  kStrings,        // an array
  kIntegers,       // an array
  kStringOrArray,  // a string or an array of strings
  kTypedList,      // an array of names and of {type = "name", params = {...}}
  kTables,         // an array of tables, checked by who reads it
  kTable,          // whatever is in it is checked by who reads it
};

// What a number may be: low <= number <= high, or low < number when `low` itself is excluded. Both
// are whole numbers, or infinite.
struct Bounds {
  double low;
  double high;
  enum class Low { kIncluded, kExcluded } kind = Low::kIncluded;
};

struct KeySpec {
  std::string_view path;
  KeyType type;
  std::string_view default_toml;  // "" when the key has no default
  std::string_view doc;
  const Bounds* bounds = nullptr;
};

// All keys; those of one table stand together.
[[nodiscard]] std::span<const KeySpec> schema() noexcept;

// "an integer", "true or false", ...: for sentences.
[[nodiscard]] std::string_view type_text(KeyType type) noexcept;

// The list as TOML: a comment, then the key with its default, or as a comment when it has none.
[[nodiscard]] std::string schema_as_toml();

// What that text holds; the origin of each value is "defaults".
[[nodiscard]] const Value& default_config();

// Throws Error{kConfig} for a key in `root` that is not in the list, with its place and the closest
// one. What is in tables of type kTable is left to others.
void check_keys(const Value& root);

// Throws Error{kConfig} for a value of another type or out of its bounds.
// REQUIRES: check_keys(root) passed, and references are resolved.
void check_values(const Value& root);

}  // namespace pergola::host
