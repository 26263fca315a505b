// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/field_spec.h"

#include "host/plugin/field_reader.h"
#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <set>
#include <utility>

namespace pergola::host {
namespace {

constexpr const char* kFieldsKey = "fields";
constexpr const char* kCheckKey = "check";
constexpr std::int64_t kLargestSize = 1 << 20;

using SizeNames = std::set<std::string>;
using NamedReaders = std::vector<std::pair<std::string, TableReader>>;

bool is_field_name(const std::string& name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return is_small_letter(c) || is_digit(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
  });
}

// A group of fields has nothing but tables in it, a field none.
bool is_group(const TableReader& reader) {
  std::size_t tables = 0;
  for (const auto& [name, value] : reader.entries()) tables += value.is_table() ? 1 : 0;
  if (tables != 0 && tables != reader.entries().size()) {
    reader.fail(concat(reader.name(),
                       " has fields in it and is one itself; give the field or the group another "
                       "name"));
  }
  return tables != 0;
}

// The fields of `group`, and of the groups in it, by their whole names.
void collect_fields(const TableReader& group, const std::string& prefix, NamedReaders& fields) {
  for (const auto& [name, value] : group.entries()) {
    if (!is_field_name(name)) {
      group.fail_in(name, "is no name of a field; expected letters, digits, underscores or dashes");
    }
    if (!value.is_table()) {
      group.fail_in(name, concat("is ", value.type_name(),
                                 "; expected a table such as { dtype = \"int64\", shape = [] }"));
    }
    const TableReader reader = group.table(name);
    if (is_group(reader)) {
      collect_fields(reader, prefix + name + ".", fields);
    } else {
      fields.emplace_back(prefix + name, reader);
    }
  }
}

// Throws for a key that is not among `params`, in the words of Config::allow_only.
void refuse_unknown_keys(const Config& table, const ConfigParams& params) {
  const auto name_of = [](const ConfigParam& param) -> const std::string& {
    return param.spec.name;
  };
  for (const auto& [name, value] : table.value().as_table()) {
    const auto found = std::ranges::lower_bound(params, name, {}, name_of);
    if (found == params.end() || found->spec.name != name) {
      std::vector<std::string> known;
      for (const ConfigParam& param : params) known.push_back(param.spec.name);
      table.allow_only(known);
    }
    if (found->members.empty()) continue;
    const std::string path = concat(table.path(), ".", name);
    if (value.is_table()) refuse_unknown_keys(Config(value, path), found->members);
    if (!value.is_array()) continue;
    for (std::size_t i = 0; i < value.as_array().size(); ++i) {
      const Value& item = value.as_array()[i];
      if (!item.is_table()) continue;
      refuse_unknown_keys(Config(item, concat(path, "[", i, "]")), found->members);
    }
  }
}

Value parse_check_config(const TableReader& check, const ConfigParams& params) {
  const Value* given = check.find("config");
  if (given == nullptr) return Value::Table{};
  (void)check.table("config");  // checks that it is one
  const Config config(*given, check.path_of("config"));
  try {
    refuse_unknown_keys(config, params);
    check_params(config, params, "", Missing::kIsAllowed);
  } catch (const Error& error) {
    throw Error(ErrorKind::kPlugin, printable(error.what()));
  }
  return *given;
}

SizeRange parse_range(const TableReader& sizes, const std::string& name) {
  const Value& value = *sizes.find(name);
  const auto is_size = [](const Value& item) {
    return item.type() == Value::Type::kInteger && item.as_integer() >= 1 &&
           item.as_integer() <= kLargestSize;
  };
  if (!value.is_array() || value.as_array().size() != 2 ||
      !std::ranges::all_of(value.as_array(), is_size)) {
    sizes.fail_in(name, concat("is ", to_string(value), "; expected [least, most], each from 1 to ",
                               kLargestSize));
  }
  const SizeRange range{value.as_array()[0].as_integer(), value.as_array()[1].as_integer()};
  if (range.low > range.high) {
    sizes.fail_in(name,
                  concat("is ", to_string(value), ", which is from more to less; swap the two"));
  }
  return range;
}

void parse_sizes(const TableReader& check, ModelInputs& inputs) {
  if (check.find("sizes") == nullptr) return;
  const TableReader sizes = check.table("sizes");
  for (const auto& [name, value] : sizes.entries()) {
    const auto found = inputs.sizes.find(name);
    if (found == inputs.sizes.end()) {
      std::vector<std::string> known;
      for (const auto& [size, range] : inputs.sizes) known.push_back(size);
      sizes.fail_in(name,
                    concat("is a size that no field has in its shape", did_you_mean(name, known)));
    }
    found->second = parse_range(sizes, name);
  }
}

// What one field alone cannot tell: lengths and masks of sizes that there are, and padding where
// there can be some.
void check_together(const NamedReaders& readers, const ModelInputs& inputs) {
  SizeNames counted;
  for (const FieldSpec& field : inputs.fields) counted.insert(field.size);
  std::vector<std::string> known;
  for (const auto& [size, range] : inputs.sizes) known.push_back(size);
  for (std::size_t i = 0; i < readers.size(); ++i) {
    const FieldSpec& field = inputs.fields[i];
    const TableReader& reader = readers[i].second;
    if (!field.size.empty() && !inputs.sizes.contains(field.size)) {
      reader.fail_in(field.role == FieldRole::kMask ? "mask" : "length",
                     concat("is '", field.size, "', a size that no field has in its shape",
                            did_you_mean(field.size, known)));
    }
    const bool has_padding = std::ranges::any_of(field.shape, [&](const FieldNumber& dim) {
      return dim.kind == FieldNumber::Kind::kSize && counted.contains(dim.name);
    });
    if (reader.find("pad") == nullptr || has_padding) continue;
    reader.fail_in("pad",
                   "is for padding, and no size in the shape has a length or a mask; leave it out, "
                   "or add the field that tells what is padding");
  }
}

std::string number_text(const FieldNumber& number) {
  return number.kind == FieldNumber::Kind::kNumber ? concat(number.number) : number.name;
}

std::string values_text(const FieldSpec& field) {
  if (field.role == FieldRole::kOneHot) return ", one 1 in the last dimension";
  std::string text;
  const auto bound = [&](const char* word, const std::optional<double>& value) {
    if (value) text += concat(", ", word, " ", to_string(Value(*value)));
  };
  const auto whole = [&](const char* word, const std::optional<double>& value) {
    if (value) text += concat(", ", word, " ", static_cast<std::int64_t>(*value));
  };
  if (field.type == FieldType::kInt64) {
    whole("at least", field.low);
    whole("at most", field.high);
  } else {
    bound("at least", field.low);
    bound("at most", field.high);
  }
  if (field.below) text += concat(", below ", number_text(*field.below));
  return text;
}

}  // namespace

ModelInputs parse_model_inputs(const TableReader& entry, const Value& defaults,
                               const ConfigParams& params) {
  ModelInputs inputs;
  std::optional<TableReader> check;
  if (entry.find(kCheckKey) != nullptr) {
    check = entry.table(kCheckKey);
    check->allow_only({"config", "sizes", "without_gradient"});
    inputs.check_config = parse_check_config(*check, params);
    inputs.without_gradient = check->texts("without_gradient");
  }
  NamedReaders readers;
  if (entry.find(kFieldsKey) != nullptr) collect_fields(entry.table(kFieldsKey), "", readers);
  for (const auto& [name, reader] : readers) {
    inputs.fields.push_back(read_field(reader, name, {defaults, inputs.check_config}));
    for (const FieldNumber& dim : inputs.fields.back().shape) {
      if (dim.kind == FieldNumber::Kind::kSize) inputs.sizes.emplace(dim.name, SizeRange());
    }
  }
  check_together(readers, inputs);
  if (check) parse_sizes(*check, inputs);
  return inputs;
}

bool is_counted(const ModelInputs& inputs, const std::string& size) {
  return std::ranges::any_of(inputs.fields,
                             [&](const FieldSpec& field) { return field.size == size; });
}

std::string field_text(const FieldSpec& field) {
  std::string text = concat(field.name, ": ", field_types()[static_cast<std::size_t>(field.type)]);
  std::vector<std::string> shape;
  for (const FieldNumber& dim : field.shape) shape.push_back(number_text(dim));
  if (field.role == FieldRole::kLength) {
    text += concat(", how many of ", field.size, " are the sample's own");
  } else if (field.role == FieldRole::kMask) {
    text += concat(" [", field.size, "], 1 for the sample's own and then 0");
  } else if (field.type != FieldType::kString) {
    text += concat(" [", join(shape), "]", values_text(field));
  }
  return field.meaning.empty() ? text : concat(text, "; ", field.meaning);
}

}  // namespace pergola::host
