// SPDX-License-Identifier: BSD-3-Clause
// A Value is a plain data tree: what a TOML config or a JSON file holds. It owns its children and
// remembers where it was written (`origin`), so that an error can say so. Not thread-safe while it
// is changed; constant ones may be read from any thread.
#pragma once

#include "pergola/export.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pergola {

class PERGOLA_API Value {
 public:
  using Array = std::vector<Value>;
  using Table = std::map<std::string, Value, std::less<>>;
  enum class Type { kNull, kBoolean, kInteger, kFloat, kString, kArray, kTable };

  Value() = default;
  Value(bool value) : data_(value) {}                      // NOLINT(google-explicit-constructor)
  Value(int value) : data_(std::int64_t{value}) {}         // NOLINT(google-explicit-constructor)
  Value(std::int64_t value) : data_(value) {}              // NOLINT(google-explicit-constructor)
  Value(double value) : data_(value) {}                    // NOLINT(google-explicit-constructor)
  Value(const char* value) : data_(std::string(value)) {}  // NOLINT(google-explicit-constructor)
  Value(std::string value) : data_(std::move(value)) {}    // NOLINT(google-explicit-constructor)
  Value(std::string_view value)
      : data_(std::string(value)) {}               // NOLINT(google-explicit-constructor)
  Value(Array value) : data_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Value(Table value) : data_(std::move(value)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] Type type() const noexcept { return static_cast<Type>(data_.index()); }
  [[nodiscard]] bool is_null() const noexcept { return type() == Type::kNull; }
  [[nodiscard]] bool is_table() const noexcept { return type() == Type::kTable; }
  [[nodiscard]] bool is_array() const noexcept { return type() == Type::kArray; }
  [[nodiscard]] bool is_string() const noexcept { return type() == Type::kString; }
  // "a string", "an integer", ...: for error sentences.
  [[nodiscard]] const char* type_name() const noexcept;

  // Throw Error{kCheckpoint} when the value has another type, because it is saved state that is
  // read this way (a config is read through Config, which says more). A NaN that was saved comes
  // back as null: look at type() where that may be. as_float takes integers too.
  [[nodiscard]] bool as_boolean() const;
  [[nodiscard]] std::int64_t as_integer() const;
  [[nodiscard]] double as_float() const;
  [[nodiscard]] const std::string& as_string() const;
  [[nodiscard]] const Array& as_array() const;
  [[nodiscard]] Array& as_array();
  [[nodiscard]] const Table& as_table() const;
  [[nodiscard]] Table& as_table();

  // The value behind a dotted path with optional indices ("training.lr_steps[1]", "[0]"), or null
  // when there is none, or the path is not well-formed.
  [[nodiscard]] const Value* find(std::string_view path) const;
  // A table's member, made when it is missing; a null value becomes a table first.
  Value& operator[](std::string_view key);

  // "configs/runs/my_run.toml:4:9", "command line", "defaults"; "" when unknown.
  [[nodiscard]] const std::string& origin() const noexcept { return origin_; }
  void set_origin(std::string origin) { origin_ = std::move(origin); }

  // Equal data; origins do not count.
  [[nodiscard]] bool operator==(const Value& other) const { return data_ == other.data_; }

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Table> data_;
  std::string origin_;
};

// One line of TOML ("[1, 2]", "\"text\"", "{a = 1}"), for messages and `config show`.
[[nodiscard]] PERGOLA_API std::string to_string(const Value& value);

}  // namespace pergola
