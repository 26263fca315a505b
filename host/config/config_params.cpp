// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/config_params.h"

#include "pergola/error.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace pergola::host {
namespace {

using Type = Value::Type;

const ConfigParam* type_among(const ConfigParams& members) {
  const auto found = std::ranges::find_if(
      members, [](const ConfigParam& member) { return member.spec.name == "type"; });
  return found == members.end() ? nullptr : &*found;
}

bool is_number(const Value& value) {
  return value.type() == Type::kInteger || value.type() == Type::kFloat;
}

bool has_bounds(const ParamSpec& spec) {
  return std::isfinite(spec.low) || std::isfinite(spec.high);
}

// ParamSpec has no number that is not finite, and a model may: where nobody gave bounds, it passes.
bool passes_unbounded(const ParamSpec& spec, const Value& value) {
  if (has_bounds(spec)) return false;
  if (value.is_array()) return spec.type == Type::kArray || spec.type == Type::kNull;
  const bool takes_floats = spec.type == Type::kFloat || spec.type == Type::kNull;
  return takes_floats && value.type() == Type::kFloat;
}

// The type of the items of an array, as far as its default or its bounds tell; kNull: any.
Type item_type(const ParamSpec& spec) {
  const bool has_default = spec.fallback.is_array() && !spec.fallback.as_array().empty();
  if (has_default && std::ranges::all_of(spec.fallback.as_array(), is_number)) {
    const bool integers = std::ranges::all_of(
        spec.fallback.as_array(), [](const Value& v) { return v.type() == Type::kInteger; });
    return integers ? Type::kInteger : Type::kFloat;
  }
  return has_bounds(spec) ? Type::kFloat : Type::kNull;
}

class Checker {
 public:
  Checker(const std::string& shown_by, Missing missing) : shown_by_(shown_by), missing_(missing) {}

  void check(const Config& table, const ConfigParams& params) const {
    if (missing_ == Missing::kIsAllowed) return check_those_there(table, params);
    std::vector<std::string> known;
    for (const ConfigParam& param : params) known.push_back(param.spec.name);
    table.allow_only(known);
    for (const ConfigParam& param : params) check_param(table, param);
  }

 private:
  // In a time that is not the product of what a hostile manifest has in `table` and in `params`.
  void check_those_there(const Config& table, const ConfigParams& params) const {
    const auto name_of = [](const ConfigParam& param) -> const std::string& {
      return param.spec.name;
    };
    for (const auto& [name, value] : table.value().as_table()) {
      const auto found = std::ranges::lower_bound(params, name, {}, name_of);
      if (found != params.end() && found->spec.name == name) check_param(table, *found);
    }
  }

  void check_param(const Config& table, const ConfigParam& param) const {
    const auto& entries = table.value().as_table();
    const auto found = entries.find(param.spec.name);
    const bool is_there = found != entries.end() && !found->second.is_null();
    if (is_there && param.zero == ConfigParam::Zero::kIsAFact && found->second == Value(0)) return;
    if (is_there && !param.members.empty()) return check_members(table, param, found->second);
    explained(param, [&] { check_value(table, param, is_there ? &found->second : nullptr); });
  }

  // As the registry checks a component's params; without a value, whether it is required.
  static void check_value(const Config& table, const ConfigParam& param, const Value* value) {
    Value one{Value::Table{}};
    one.set_origin(table.value().origin());
    if (value != nullptr) one[param.spec.name] = *value;
    const Config alone(std::move(one), table.path());
    ParamSpec spec = param.spec;
    spec.fallback = Value();  // so that `type` is what is expected
    if (value == nullptr || !passes_unbounded(spec, *value)) {
      static_cast<void>(ComponentSpec{"", {std::move(spec)}}.complete(alone));
    }
    if (value == nullptr || !value->is_array()) return;
    const Type items = item_type(param.spec);
    if (items == Type::kInteger) {
      static_cast<void>(alone.get<std::vector<std::int64_t>>(param.spec.name));
    } else if (items == Type::kFloat) {
      static_cast<void>(alone.get<std::vector<double>>(param.spec.name));
    }
  }

  void check_members(const Config& table, const ConfigParam& param, const Value& value) const {
    const std::string& name = param.spec.name;
    if (param.spec.type != Type::kArray) return check_table(table, param, name, value);
    if (!value.is_array()) {
      explained(param, [&] {
        throw table.error(name, concat("is ", value.type_name(), "; expected an array"));
      });
    }
    for (std::size_t i = 0; i < value.as_array().size(); ++i) {
      check_table(table, param, concat(name, "[", i, "]"), value.as_array()[i]);
    }
  }

  // `value` is behind `key` of `table`, and stands for the members of `param`.
  void check_table(const Config& table, const ConfigParam& param, const std::string& key,
                   const Value& value) const {
    if (value.is_table()) {
      return check(Config(value, concat(table.path(), ".", key)), param.members);
    }
    const ConfigParam* type = type_among(param.members);
    explained(param, [&] {
      if (type == nullptr || !value.is_string()) {
        throw table.error(key, concat("is ", value.type_name(), "; expected ",
                                      type == nullptr ? "a table"
                                                      : "a name or {type = \"name\", params = "
                                                        "{...}}"));
      }
      if (type->spec.choices.empty()) return;
      static_cast<void>(table.get_choice(key, "", type->spec.choices));
    });
  }

  // Adds to an error what the key means and where all of them are shown.
  template <class Check>
  void explained(const ConfigParam& param, const Check& check) const {
    try {
      check();
    } catch (const Error& error) {
      const std::string& meaning = param.spec.meaning;
      throw Error(error.kind(), error.what(),
                  meaning.empty() ? "" : concat("; ", param.spec.name, ": ", meaning),
                  shown_by_.empty() ? "" : concat("; ", shown_by_, " shows all keys"));
    }
  }

  const std::string& shown_by_;
  Missing missing_;
};

}  // namespace

void check_params(const Config& table, const ConfigParams& params, const std::string& shown_by,
                  Missing missing) {
  Checker(shown_by, missing).check(table, params);
}

std::vector<ParamSpec> top_specs(const ConfigParams& params) {
  std::vector<ParamSpec> specs;
  for (const ConfigParam& param : params) specs.push_back(param.spec);
  return specs;
}

}  // namespace pergola::host
