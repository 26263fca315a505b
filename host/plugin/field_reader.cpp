// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/field_reader.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

namespace pergola::host {
namespace {

using ValueType = Value::Type;

constexpr std::int64_t kLargestDim = 1 << 24;
constexpr double kLargestInteger = 9007199254740992.0;  // 2^53: beyond, a double skips some

bool is_size_name(const std::string& name) {
  return !name.empty() && name[0] >= 'A' && name[0] <= 'Z' && std::ranges::all_of(name, [](char c) {
    return is_small_letter(c) || is_digit(c) || (c >= 'A' && c <= 'Z') || c == '_';
  });
}

// The dotted paths of the integers in `table`.
void add_integer_keys(const Value& table, const std::string& prefix,
                      std::vector<std::string>& keys) {
  for (const auto& [name, value] : table.as_table()) {
    if (value.type() == ValueType::kInteger) keys.push_back(prefix + name);
    if (value.is_table()) add_integer_keys(value, prefix + name + ".", keys);
  }
}

class FieldTable {
 public:
  FieldTable(const TableReader& reader, const std::string& name, const ExaminedKeys& keys)
      : reader_(reader), keys_(keys) {
    field_.name = name;
  }

  FieldSpec read() {
    reader_.allow_only(
        {"dtype", "shape", "low", "high", "below", "one_hot", "length", "mask", "pad", "meaning"});
    if (reader_.find("meaning") != nullptr) field_.meaning = reader_.text("meaning");
    read_role();
    read_type();
    read_shape();
    read_bounds();
    read_below();
    check_bounds();
    read_pad();
    return field_;
  }

 private:
  [[nodiscard]] bool says(const char* key) const { return reader_.find(key) != nullptr; }

  void refuse_beside(const std::string& what, std::initializer_list<const char*> others) const {
    for (const char* other : others) {
      if (says(other)) reader_.fail_in(other, concat("cannot be beside ", what, "; leave it out"));
    }
  }

  void read_role() {
    for (const char* key : {"length", "mask"}) {
      if (!says(key)) continue;
      field_.size = reader_.text(key);
      if (!is_size_name(field_.size)) {
        reader_.fail_in(key, concat("is '", field_.size,
                                    "'; expected the name of a size, which begins with a capital "
                                    "letter"));
      }
      field_.role = std::string_view(key) == "mask" ? FieldRole::kMask : FieldRole::kLength;
    }
    if (says("length")) refuse_beside("'length'", {"mask"});
    if (!field_.size.empty()) {
      refuse_beside(says("mask") ? "'mask'" : "'length'",
                    {"shape", "low", "high", "below", "one_hot", "pad"});
    }
    const Value* one_hot = reader_.find("one_hot");
    if (one_hot == nullptr) return;
    if (one_hot->type() != ValueType::kBoolean) {
      reader_.fail_in("one_hot", concat("is ", one_hot->type_name(), "; expected true or false"));
    }
    if (!one_hot->as_boolean()) return;
    field_.role = FieldRole::kOneHot;
    refuse_beside("'one_hot'", {"low", "high", "below"});
  }

  void read_type() {
    if (!field_.size.empty()) field_.type = FieldType::kInt64;
    if (says("dtype")) {
      const std::string given = reader_.text("dtype");
      const auto found = std::ranges::find(field_types(), given);
      if (found == field_types().end()) {
        reader_.fail_in("dtype", concat("is '", given, "'", did_you_mean(given, field_types())));
      }
      field_.type = static_cast<FieldType>(found - field_types().begin());
    }
    const auto expect = [&](bool fits, const char* expected) {
      if (!fits) reader_.fail_in("dtype", concat("is '", type_word(), "'; expected ", expected));
    };
    if (field_.role == FieldRole::kLength) {
      expect(field_.type == FieldType::kInt64, "int64, as it is a length");
    } else if (field_.role == FieldRole::kMask) {
      expect(field_.type != FieldType::kString, "int64, bool or float32, as it is a mask");
    } else if (field_.role == FieldRole::kOneHot) {
      expect(field_.type == FieldType::kFloat32, "float32, as it is one_hot");
    }
    const std::string what = concat("dtype = \"", type_word(), "\"");
    if (field_.type == FieldType::kString) {
      refuse_beside(what, {"shape", "low", "high", "below", "pad"});
    } else if (field_.type == FieldType::kBool) {
      refuse_beside(what, {"low", "high", "below"});
    } else if (field_.type == FieldType::kFloat32) {
      refuse_beside(what, {"below"});
    }
  }

  void read_shape() {
    const Value* shape = reader_.find("shape");
    if (shape != nullptr && !shape->is_array()) {
      reader_.fail_in("shape", concat("is ", shape->type_name(),
                                      "; expected an array of numbers, keys of the config and "
                                      "sizes"));
    }
    if (shape != nullptr) {
      for (const Value& item : shape->as_array()) field_.shape.push_back(dimension(item));
    }
    if (field_.role == FieldRole::kOneHot && field_.shape.empty()) {
      reader_.fail_in("one_hot", "is for a field with a shape, in whose last dimension the 1 is");
    }
  }

  [[nodiscard]] FieldNumber dimension(const Value& item) const {
    if (item.is_string() && is_size_name(item.as_string())) {
      return {FieldNumber::Kind::kSize, 0, item.as_string()};
    }
    if (item.is_string()) return config_key("shape", item.as_string());
    if (item.type() != ValueType::kInteger || item.as_integer() < 1 ||
        item.as_integer() > kLargestDim) {
      reader_.fail_in("shape",
                      concat("has ", to_string(item), " in it; expected numbers from 1 to ",
                             kLargestDim, ", keys of the config and sizes"));
    }
    return {FieldNumber::Kind::kNumber, item.as_integer(), ""};
  }

  // A key whose integer is not known yet: a fact of the data set, or one that a run sets.
  [[nodiscard]] FieldNumber config_key(const char* where, const std::string& path) const {
    const Value* value = keys_.check_config.find(path);
    if (value == nullptr) value = keys_.defaults.find(path);
    if (value == nullptr) {
      std::vector<std::string> known;
      add_integer_keys(keys_.defaults, "", known);
      reader_.fail_in(where, concat("names '", path, "', which is neither a key of the model's ",
                                    "config nor a size, whose name begins with a capital letter",
                                    did_you_mean(path, known)));
    }
    if (value->type() != ValueType::kInteger) {
      reader_.fail_in(where, concat("names '", path, "', which is ", value->type_name(),
                                    " in the model's config; expected an integer"));
    }
    return {FieldNumber::Kind::kConfigKey, 0, path};
  }

  // A number of the field's type; nothing when it is missing.
  [[nodiscard]] std::optional<double> number(const char* key) const {
    const Value* value = reader_.find(key);
    if (value == nullptr) return std::nullopt;
    const bool whole = field_.type == FieldType::kInt64;
    const bool is_number =
        value->type() == ValueType::kInteger || (!whole && value->type() == ValueType::kFloat);
    const double limit = whole ? kLargestInteger : static_cast<double>(INT64_MAX);
    if (!is_number || !(std::abs(value->as_float()) <= limit)) {
      reader_.fail_in(
          key, concat("is ", to_string(*value), "; expected ",
                      whole ? "an integer" : "a finite number", ", as dtype is ", type_word()));
    }
    return value->as_float();
  }

  void read_bounds() {
    field_.low = number("low");
    field_.high = number("high");
  }

  void read_below() {
    const Value* below = reader_.find("below");
    if (below == nullptr) return;
    refuse_beside("'below'", {"high"});
    if (below->is_string()) {
      field_.below = config_key("below", below->as_string());
      return;
    }
    if (below->type() != ValueType::kInteger || *number("below") < 1.0) {
      reader_.fail_in("below",
                      concat("is ", to_string(*below),
                             "; expected an integer of 1 or more, or a key of the config"));
    }
    field_.below = FieldNumber{FieldNumber::Kind::kNumber, below->as_integer(), ""};
  }

  void check_bounds() {
    if (field_.role != FieldRole::kValues) return;
    if (field_.type == FieldType::kFloat32 && field_.low.has_value() != field_.high.has_value()) {
      reader_.fail_in(field_.low ? "low" : "high",
                      "is one bound of two; add the other, or leave both out for normal numbers");
    }
    if (field_.type == FieldType::kInt64) {
      if (!field_.high && !field_.below) {
        reader_.fail(concat(reader_.name(),
                            " has no upper bound, and an index beyond a table ends "
                            "a model; add below = \"<key of the config>\", or a high"));
      }
      if (!field_.low) field_.low = 0.0;
    }
    if (field_.high && *field_.low > *field_.high) {
      reader_.fail_in("high", "is less than 'low', so no number is between them; swap the two");
    }
    const bool is_known = field_.below && field_.below->kind == FieldNumber::Kind::kNumber;
    if (is_known && *field_.low >= static_cast<double>(field_.below->number)) {
      reader_.fail_in("below", "is not more than 'low', so no number is between them; raise it");
    }
  }

  void read_pad() {
    const Value* pad = reader_.find("pad");
    if (pad == nullptr) return;
    if (field_.type != FieldType::kBool) {
      field_.pad = *number("pad");
    } else if (pad->type() == ValueType::kBoolean) {
      field_.pad = pad->as_boolean() ? 1.0 : 0.0;
    } else {
      reader_.fail_in("pad", concat("is ", to_string(*pad), "; expected true or false"));
    }
  }

  [[nodiscard]] const std::string& type_word() const {
    return field_types()[static_cast<std::size_t>(field_.type)];
  }

  const TableReader& reader_;
  const ExaminedKeys& keys_;
  FieldSpec field_;
};

}  // namespace

const std::vector<std::string>& field_types() {
  static const std::vector<std::string> kTypes = {"float32", "int64", "bool", "string"};
  return kTypes;
}

FieldSpec read_field(const TableReader& reader, const std::string& name, const ExaminedKeys& keys) {
  return FieldTable(reader, name, keys).read();
}

}  // namespace pergola::host
