// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/config_spec.h"

#include "host/support/printable.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

using Type = Value::Type;

// The words of `type`, at the index of what they stand for.
const std::vector<std::string>& spec_types() {
  static const std::vector<std::string> kTypes = {"any",    "boolean", "integer", "float",
                                                  "string", "array",   "table"};
  return kTypes;
}

// Names that Config can read: without dots and brackets.
bool is_plain(const std::string& name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return is_small_letter(c) || is_digit(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
  });
}

bool has_tables(const TableReader& spec) {
  return std::ranges::any_of(spec.entries(), [](const auto& e) { return e.second.is_table(); });
}

using Defaults = std::map<std::string, const Value*>;  // by name

// The defaults of the keys within `value`: those of the table, or the first ones of each name among
// the tables of the array.
Defaults defaults_in(const Value* value) {
  Defaults defaults;
  const auto add = [&defaults](const Value& table) {
    if (!table.is_table()) return;
    for (const auto& [name, item] : table.as_table()) defaults.emplace(name, &item);
  };
  if (value == nullptr) return defaults;
  if (value->is_array()) std::ranges::for_each(value->as_array(), add);
  add(*value);
  return defaults;
}

// What a key may be of which nobody says anything: an author who wrote 0 may have meant 0.5, and a
// name may stand where a table can.
Type loose_type(const Value& value) {
  if (value.type() == Type::kInteger) return Type::kFloat;
  const bool is_scalar = value.type() == Type::kBoolean || value.type() == Type::kFloat;
  return is_scalar ? value.type() : Type::kNull;
}

// `meaning`, and that the data set has a say.
std::string of_fact(const std::string& meaning) {
  return concat(meaning, meaning.empty() ? "" : "; ", "where it is 0, the data set gives it");
}

// Reads the fields of one key into its ParamSpec.
class FieldReader {
 public:
  FieldReader(const TableReader& spec, const Value* value, ConfigParam& param)
      : spec_(spec), value_(value), param_(param) {}

  void read(SpecOf of, bool is_top) {
    allow_fields();
    if (field("meaning") != nullptr) param_.spec.meaning = spec_.text("meaning");
    read_type(of);
    read_bounds();
    read_choices();
    read_need(of, is_top);
  }

 private:
  // Null when the field is missing, or is a key within instead.
  [[nodiscard]] const Value* field(const char* name) const {
    const Value* value = spec_.find(name);
    return value == nullptr || value->is_table() ? nullptr : value;
  }

  void allow_fields() const {
    static const std::vector<std::string> kFields = {"meaning", "type", "low",
                                                     "high",    "need", "choices"};
    for (const auto& [name, value] : spec_.entries()) {
      if (value.is_table() || std::ranges::find(kFields, name) != kFields.end()) continue;
      spec_.fail_in(name, concat("says nothing that is known", did_you_mean(name, kFields)));
    }
  }

  // Without a `type`, it is the default's, a table's where keys within are described, or a string's
  // where there are choices.
  void read_type(SpecOf of) {
    Type& type = param_.spec.type;
    const bool has_members = has_tables(spec_);
    if (value_ != nullptr) type = value_->type();
    if (value_ == nullptr && field("choices") != nullptr) type = Type::kString;
    if (has_members && type != Type::kArray) type = Type::kTable;
    if (field("type") == nullptr) return;
    const std::string given = spec_.text("type");
    const auto found = std::ranges::find(spec_types(), given);
    if (found == spec_types().end()) {
      spec_.fail_in("type", concat("is '", given, "'", did_you_mean(given, spec_types())));
    }
    const auto declared = static_cast<Type>(found - spec_types().begin());
    const bool widens =
        declared == Type::kNull || (declared == Type::kFloat && type == Type::kInteger);
    const bool fits = has_members ? declared == Type::kTable || declared == Type::kArray
                                  : value_ == nullptr || widens || declared == type;
    if (!fits || (of == SpecOf::kComponent && widens && value_ != nullptr)) {
      spec_.fail_in("type", concat("is '", given, "', but the key is ", default_text()));
    }
    type = declared;
  }

  [[nodiscard]] std::string default_text() const {
    if (has_tables(spec_)) return "one with keys within, so a table or an array";
    return concat(value_->type_name(), " by its default");
  }

  void read_bounds() {
    for (const auto& [name, bound] :
         {std::pair("low", &param_.spec.low), std::pair("high", &param_.spec.high)}) {
      const Value* value = field(name);
      if (value == nullptr) continue;
      const bool is_number = value->type() == Type::kInteger || value->type() == Type::kFloat;
      if (!is_number || std::isnan(value->as_float())) {
        spec_.fail_in(name, concat("is ", value->type_name(), "; expected a number"));
      }
      const Type type = param_.spec.type;
      if (type != Type::kInteger && type != Type::kFloat && type != Type::kArray) {
        spec_.fail_in(name, concat("is for numbers and arrays of them, and ", param_.spec.name,
                                   " is of type ", type_name(type), "; leave it out"));
      }
      *bound = value->as_float();
    }
    if (param_.spec.low <= param_.spec.high) return;
    spec_.fail_in("low", "is above 'high', so nothing would be in bounds; swap the two");
  }

  void read_choices() {
    if (field("choices") == nullptr) return;
    param_.spec.choices = spec_.texts("choices");
    if (param_.spec.choices.empty()) {
      spec_.fail_in("choices", "is empty; list what the key may be, or leave it out");
    }
    if (param_.spec.type == Type::kString) return;
    spec_.fail_in("choices", concat("is for strings, and ", param_.spec.name, " is of type ",
                                    type_name(param_.spec.type), "; leave it out"));
  }

  void read_need(SpecOf of, bool is_top) {
    if (field("need") == nullptr) return;
    const std::string need = spec_.text("need");
    const std::vector<std::string> known = {"optional", "required", "fact"};
    if (std::ranges::find(known, need) == known.end()) {
      spec_.fail_in("need", concat("is '", need, "'", did_you_mean(need, known)));
    }
    if (need == "required") {
      param_.spec.need = ParamSpec::Need::kRequired;
      if (value_ != nullptr) {
        spec_.fail_in("need", "is 'required', but the key has a default; leave out one of the two");
      }
    }
    if (need != "fact") return;
    if (of != SpecOf::kModel || !is_top || value_ == nullptr ||
        param_.spec.type != Type::kInteger) {
      spec_.fail_in("need",
                    "is 'fact', which is for keys at the top of a model's config with an integer "
                    "as default; leave it out");
    }
    param_.zero = ConfigParam::Zero::kIsAFact;
    param_.spec.meaning = of_fact(param_.spec.meaning);
  }

  static const std::string& type_name(Type type) {
    return spec_types()[static_cast<std::size_t>(type)];
  }

  const TableReader& spec_;
  const Value* value_;  // the default, or null
  ConfigParam& param_;
};

class SpecParser {
 public:
  explicit SpecParser(SpecOf of) : of_(of) {}

  // The keys of `defaults`, and those that `spec` has tables for.
  [[nodiscard]] ConfigParams level(const std::optional<TableReader>& spec, Defaults defaults,
                                   bool is_top) const {
    if (spec) {
      for (const auto& [name, value] : spec->entries()) {
        if (!value.is_table() || defaults.contains(name)) continue;
        expect_type(spec->table(name), name, defaults);
      }
      for (const auto& [name, value] : spec->entries()) {
        if (value.is_table()) defaults.emplace(name, nullptr);
      }
    }
    ConfigParams params;
    for (const auto& [name, value] : defaults) {
      const Value* entry = spec ? spec->find(name) : nullptr;
      params.push_back(entry != nullptr && entry->is_table()
                           ? described(spec->table(name), name, value, is_top)
                           : undescribed(name, *value, is_top));
    }
    return params;
  }

 private:
  // A key without default says itself what a config may give: by `type`, choices, or keys within.
  static void expect_type(const TableReader& spec, const std::string& name,
                          const Defaults& defaults) {
    const auto says = [&](const char* field) { return spec.find(field) != nullptr; };
    if (says("type") || says("choices") || has_tables(spec)) return;
    std::vector<std::string> names;
    for (const auto& [key, value] : defaults) names.push_back(key);
    const std::string near = closest(name, names);
    spec.fail(concat(spec.name(), " is about a key without a default; ",
                     near.empty() ? "give it one, or say its type (type = \"integer\")"
                                  : concat("did you mean '", near, "'?")));
  }

  [[nodiscard]] ConfigParam undescribed(const std::string& name, const Value& value,
                                        bool is_top) const {
    ConfigParam param;
    param.spec.name = name;
    param.spec.fallback = value;
    if (is_plain(name)) param.spec.type = loose_type(value);
    const bool may_be_fact = of_ == SpecOf::kModel && is_top && value == Value(0);
    if (may_be_fact) param.spec.meaning = "where it is 0, the data set gives it if it has it";
    return param;
  }

  [[nodiscard]] ConfigParam described(const TableReader& spec, const std::string& name,
                                      const Value* value, bool is_top) const {
    if (!is_plain(name)) {
      spec.fail(spec.name() +
                " cannot be described: only keys of letters, digits, underscores and dashes can");
    }
    ConfigParam param;
    param.spec.name = name;
    if (value != nullptr) param.spec.fallback = *value;
    FieldReader(spec, value, param).read(of_, is_top);
    if (!has_tables(spec)) return param;
    if (of_ == SpecOf::kComponent) {
      spec.fail(spec.name() +
                " describes keys within, which only models and data sets can; describe the table");
    }
    param.members = level(spec, defaults_in(value), /*is_top=*/false);
    return param;
  }

  SpecOf of_;
};

// At the top, all is about keys.
void expect_tables(const TableReader& spec) {
  for (const auto& [name, value] : spec.entries()) {
    if (value.is_table()) continue;
    spec.fail_in(name, concat("is ", value.type_name(),
                              "; expected a table such as { meaning = \"...\", low = 0 }"));
  }
}

}  // namespace

ConfigParams parse_config_spec(const TableReader& entry, const std::string& defaults_key,
                               const Value& defaults, SpecOf of) {
  std::optional<TableReader> spec;
  if (entry.find(kSpecKey) != nullptr) spec = entry.table(kSpecKey);
  if (spec) expect_tables(*spec);
  ConfigParams params = SpecParser(of).level(spec, defaults_in(&defaults), /*is_top=*/true);
  if (!spec) return params;
  try {
    check_params(Config(defaults, entry.path_of(defaults_key)), params, "", Missing::kIsAllowed);
  } catch (const Error& error) {
    throw Error(ErrorKind::kPlugin, printable(error.what()), "; change the default, or what ",
                entry.path_of(kSpecKey), " says of it");
  }
  return params;
}

}  // namespace pergola::host
