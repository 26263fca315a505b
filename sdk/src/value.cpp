// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/value.h"

#include "pergola/error.h"

#include <charconv>
#include <cmath>
#include <utility>

namespace pergola {
namespace {

template <class T>
const T& require(const T* value, const Value& holder, const char* wanted) {
  if (value == nullptr) {
    const bool null = holder.is_null();
    throw Error(ErrorKind::kCheckpoint, "a saved value is ", null ? "" : to_string(holder) + ", ",
                holder.type_name(), holder.origin().empty() ? "" : " (" + holder.origin() + ")",
                "; expected ", wanted, null ? ", and a NaN is saved as null" : "",
                "; use a checkpoint that the same version of the model wrote");
  }
  return *value;
}

void append_quoted(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_key(std::string& out, std::string_view key) {
  const bool bare = !key.empty() && key.find_first_not_of(
                                        "abcdefghijklmnopqrstuvwxyz"
                                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789_-") == std::string_view::npos;
  if (bare) {
    out += key;
  } else {
    append_quoted(out, key);
  }
}

void append_float(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += std::isnan(number) ? "nan" : number > 0 ? "inf" : "-inf";
    return;
  }
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;  // shortest exact
  const std::string_view text(digits, static_cast<std::size_t>(end - digits));
  out += text;
  if (text.find_first_of(".e") == std::string_view::npos) out += ".0";
}

void append(std::string& out, const Value& value) {
  switch (value.type()) {
    case Value::Type::kNull:
      out += "null";
      return;
    case Value::Type::kBoolean:
      out += value.as_boolean() ? "true" : "false";
      return;
    case Value::Type::kInteger:
      out += std::to_string(value.as_integer());
      return;
    case Value::Type::kFloat:
      append_float(out, value.as_float());
      return;
    case Value::Type::kString:
      append_quoted(out, value.as_string());
      return;
    case Value::Type::kArray: {
      const char* separator = "[";
      for (const Value& item : value.as_array()) {
        out += separator;
        append(out, item);
        separator = ", ";
      }
      out += value.as_array().empty() ? "[]" : "]";
      return;
    }
    case Value::Type::kTable: {
      const char* separator = "{";
      for (const auto& [key, item] : value.as_table()) {
        out += separator;
        append_key(out, key);
        out += " = ";
        append(out, item);
        separator = ", ";
      }
      out += value.as_table().empty() ? "{}" : "}";
      return;
    }
  }
}

// The child of `value` for one step of a path ("key" or "[3]"), or null.
const Value* child(const Value& value, std::string_view step) {
  if (step.front() == '[') {
    if (step.size() < 3 || step.back() != ']' || !value.is_array()) return nullptr;
    std::size_t index = 0;
    const char* end = step.data() + step.size() - 1;
    const auto parsed = std::from_chars(step.data() + 1, end, index);
    if (parsed.ec != std::errc() || parsed.ptr != end) return nullptr;
    return index < value.as_array().size() ? &value.as_array()[index] : nullptr;
  }
  if (!value.is_table()) return nullptr;
  const auto found = value.as_table().find(step);
  return found == value.as_table().end() ? nullptr : &found->second;
}

}  // namespace

const char* Value::type_name() const noexcept {
  constexpr const char* kNames[] = {"null",     "a boolean", "an integer", "a float",
                                    "a string", "an array",  "a table"};
  return kNames[data_.index()];
}

bool Value::as_boolean() const { return require(std::get_if<bool>(&data_), *this, "a boolean"); }

std::int64_t Value::as_integer() const {
  return require(std::get_if<std::int64_t>(&data_), *this, "an integer");
}

double Value::as_float() const {
  if (const auto* integer = std::get_if<std::int64_t>(&data_)) return static_cast<double>(*integer);
  return require(std::get_if<double>(&data_), *this, "a float");
}

const std::string& Value::as_string() const {
  return require(std::get_if<std::string>(&data_), *this, "a string");
}

const Value::Array& Value::as_array() const {
  return require(std::get_if<Array>(&data_), *this, "an array");
}

Value::Array& Value::as_array() { return const_cast<Array&>(std::as_const(*this).as_array()); }

const Value::Table& Value::as_table() const {
  return require(std::get_if<Table>(&data_), *this, "a table");
}

Value::Table& Value::as_table() { return const_cast<Table&>(std::as_const(*this).as_table()); }

const Value* Value::find(std::string_view path) const {
  const Value* value = this;
  while (value != nullptr && !path.empty()) {
    const std::size_t end = std::min(path.find_first_of(".[", 1), path.size());
    value = child(*value, path.substr(0, end));
    path.remove_prefix(end);
    if (path.empty() || path.front() == '[') continue;
    path.remove_prefix(1);
    if (path.empty() || path.front() == '[') return nullptr;  // "a.", "a.[0]"
  }
  return value;
}

Value& Value::operator[](std::string_view key) {
  if (is_null()) data_ = Table{};
  return as_table().try_emplace(std::string(key)).first->second;
}

std::string to_string(const Value& value) {
  std::string out;
  append(out, value);
  return out;
}

}  // namespace pergola
