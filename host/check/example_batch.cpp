// SPDX-License-Identifier: BSD-3-Clause
#include "host/check/example_batch.h"

#include "host/config/merge.h"
#include "host/config/size_facts.h"
#include "pergola/error.h"
#include "pergola/rng.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numbers>
#include <optional>
#include <string_view>
#include <utility>

namespace pergola::host {
namespace {

using Sizes = std::map<std::string, std::int64_t>;

constexpr std::int64_t kExampleFact = 12;
constexpr std::int64_t kMostNumbers = std::int64_t{1} << 27;
constexpr std::array<const char*, 8> kWords = {"a",    "red",   "circle", "is",
                                               "left", "above", "two",    "squares"};
constexpr std::uint64_t kMostWords = 6;

// FNV-1a: the same on every machine, unlike std::hash.
std::uint64_t stream_of(std::string_view kind, std::string_view name) {
  std::uint64_t hash = 14695981039346656037U;
  for (const std::string_view part : {kind, name}) {
    for (const char c : part) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  }
  return hash;
}

// Replaces a key by its number. The path was looked up when the manifest was read, but a run's
// config may have put something else there.
void resolve(FieldNumber& number, const std::string& field, const Value& config) {
  if (number.kind != FieldNumber::Kind::kConfigKey) return;
  const Value* value = config.find(number.name);
  constexpr std::int64_t kLargest = std::int64_t{1} << 53;  // as bounds in a manifest
  if (value == nullptr || value->type() != Value::Type::kInteger || value->as_integer() < 1 ||
      value->as_integer() > kLargest) {
    const std::string found = value == nullptr ? "missing" : to_string(*value);
    const std::string origin =
        value == nullptr || value->origin().empty() ? "" : concat(" (", value->origin(), ")");
    throw Error(
        ErrorKind::kConfig, "the model's ", number.name, " is ", found, origin, ", and its field '",
        field,
        "' is described by it; expected an integer from 1 to 2^53, from check.config of the "
        "plugin's manifest or from the command line");
  }
  number.number = value->as_integer();
}

FieldSpec resolved(FieldSpec field, const Value& config) {
  for (FieldNumber& dim : field.shape) resolve(dim, field.name, config);
  if (!field.below) return field;
  resolve(*field.below, field.name, config);
  field.high = static_cast<double>(field.below->number - 1);
  if (*field.low <= *field.high) return field;
  throw Error(ErrorKind::kConfig, "the model's ", field.below->name, " is ", field.below->number,
              ", and its field '", field.name, "' is at least ",
              static_cast<std::int64_t>(*field.low),
              " and below that, so it can be nothing; raise the key");
}

// A field's dimensions where sizes are as `sizes` says.
std::vector<std::int64_t> shape_of(const FieldSpec& field, const Sizes& sizes) {
  std::vector<std::int64_t> shape;
  if (field.role == FieldRole::kMask) return {sizes.at(field.size)};
  for (const FieldNumber& dim : field.shape) {
    shape.push_back(dim.kind == FieldNumber::Kind::kSize ? sizes.at(dim.name) : dim.number);
  }
  return shape;
}

double normal(Rng& rng) {
  const double radius = std::sqrt(-2.0 * std::log1p(-rng.uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * rng.uniform());
}

double float_of(const FieldSpec& field, Rng& rng) {
  if (!field.low) return normal(rng);
  return *field.low + (*field.high - *field.low) * rng.uniform();
}

std::int64_t integer_of(const FieldSpec& field, Rng& rng) {
  const auto low = static_cast<std::int64_t>(*field.low);
  const auto count = static_cast<std::uint64_t>(static_cast<std::int64_t>(*field.high) - low) + 1;
  return low + static_cast<std::int64_t>(rng.below(count));
}

at::ScalarType scalar_type_of(FieldType type) {
  if (type == FieldType::kInt64) return at::kLong;
  return type == FieldType::kBool ? at::kBool : at::kFloat;
}

// One sample's own part of a field that has values.
at::Tensor own_values(const FieldSpec& field, const std::vector<std::int64_t>& shape, Rng& rng) {
  if (field.role == FieldRole::kOneHot) {
    at::Tensor values = at::zeros(shape);
    const at::Tensor rows = values.view({-1, shape.back()});
    for (std::int64_t row = 0; row < rows.size(0); ++row) {
      const std::uint64_t place = rng.below(static_cast<std::uint64_t>(shape.back()));
      rows[row][static_cast<std::int64_t>(place)] = 1.0F;
    }
    return values;
  }
  at::Tensor values = at::empty(shape, scalar_type_of(field.type));
  const auto fill = [&](auto* data, const auto& draw) {
    for (std::int64_t i = 0; i < values.numel(); ++i) data[i] = draw();
  };
  if (field.type == FieldType::kInt64) {
    fill(values.data_ptr<std::int64_t>(), [&] { return integer_of(field, rng); });
  } else if (field.type == FieldType::kBool) {
    fill(values.data_ptr<bool>(), [&] { return rng.below(2) == 1; });
  } else {
    fill(values.data_ptr<float>(), [&] { return static_cast<float>(float_of(field, rng)); });
  }
  return values;
}

std::string text_of(Rng& rng) {
  std::string text = kWords[rng.below(kWords.size())];
  for (std::uint64_t more = rng.below(kMostWords); more > 0; --more) {
    text += concat(" ", kWords[rng.below(kWords.size())]);
  }
  return text;
}

// What all fields of a batch are made from.
struct Samples {
  std::uint64_t seed;
  std::int64_t first;
  std::vector<Sizes> own;  // of each sample
  Sizes longest;
};

Rng rng_of(const FieldSpec& field, const Samples& samples, std::size_t i) {
  return Rng(samples.seed, stream_of("field ", field.name),
             static_cast<std::uint64_t>(samples.first) + i);
}

void check_volume(const FieldSpec& field, const std::vector<std::int64_t>& shape) {
  std::int64_t left = kMostNumbers;
  for (const std::int64_t dim : shape) left /= dim;
  if (left > 0) return;
  throw Error(ErrorKind::kConfig, "the field '", field.name, "' would be of the shape ",
              at::IntArrayRef(shape), ", more than ", kMostNumbers,
              " numbers; make its shape in the plugin's manifest smaller, or what it is made of in "
              "check.config");
}

// [count, ...], each sample's own part in the corner of a batch of padding.
at::Tensor tensor_of(const FieldSpec& field, const Samples& samples) {
  const auto count = static_cast<std::int64_t>(samples.own.size());
  std::vector<std::int64_t> shape = shape_of(field, samples.longest);
  shape.insert(shape.begin(), count);
  check_volume(field, shape);
  const at::ScalarType type = scalar_type_of(field.type);
  at::Tensor batch = at::full(shape, field.pad, type);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<std::size_t>(i);
    const Sizes& sizes = samples.own[index];
    at::Tensor place = batch.select(0, i);
    if (field.role == FieldRole::kLength) {
      place.fill_(sizes.at(field.size));
      continue;
    }
    const std::vector<std::int64_t> own = shape_of(field, sizes);
    for (std::size_t dim = 0; dim < own.size(); ++dim) {
      place = place.narrow(static_cast<std::int64_t>(dim), 0, own[dim]);
    }
    if (field.role == FieldRole::kMask) {
      place.fill_(1);
    } else {
      Rng rng = rng_of(field, samples, index);
      place.copy_(own_values(field, own, rng));
    }
  }
  return batch;
}

Field make_field(const FieldSpec& field, const Samples& samples) {
  if (field.type != FieldType::kString) return tensor_of(field, samples);
  Strings texts;
  for (std::size_t i = 0; i < samples.own.size(); ++i) {
    Rng rng = rng_of(field, samples, i);
    texts.push_back(text_of(rng));
  }
  return texts;
}

// Fields by the parts of their dotted names; a group is built after all that is in it.
struct FieldTree {
  std::optional<Field> field;
  std::map<std::string, FieldTree> members;

  void put(std::string_view name, Field value) {
    const std::size_t dot = name.find('.');
    if (name.empty()) {
      field = std::move(value);
    } else if (dot == std::string_view::npos) {
      members[std::string(name)].put("", std::move(value));
    } else {
      members[std::string(name.substr(0, dot))].put(name.substr(dot + 1), std::move(value));
    }
  }

  [[nodiscard]] SampleList list() && {
    SampleList all;
    for (auto& [name, member] : members) {
      if (member.field) {
        all.add_field(name, std::move(*member.field));
      } else {
        all.add_field(name, std::make_shared<const SampleList>(std::move(member).list()));
      }
    }
    return all;
  }
};

}  // namespace

ExampleBatches::ExampleBatches(const ModelInputs& inputs, const Value& config)
    : sizes_(inputs.sizes) {
  for (const FieldSpec& field : inputs.fields) fields_.push_back(resolved(field, config));
  for (const auto& [size, range] : sizes_) {
    if (is_counted(inputs, size)) counted_.insert(size);
  }
}

std::map<std::string, std::int64_t> ExampleBatches::sizes_of(const BatchPlan& plan,
                                                             std::int64_t sample) const {
  Sizes sizes;
  for (const auto& [name, range] : sizes_) {
    const auto given = plan.sizes.find(name);
    std::int64_t& size = sizes[name];
    if (plan.ragged && counted_.contains(name)) {
      Rng rng(plan.seed, stream_of("size ", name), static_cast<std::uint64_t>(sample));
      const auto choices = static_cast<std::uint64_t>(range.high - range.low + 1);
      size = range.low + static_cast<std::int64_t>(rng.below(choices));
    } else {
      size = given == plan.sizes.end() ? range.high : given->second;
    }
  }
  return sizes;
}

SampleList ExampleBatches::make(const BatchPlan& plan) const {
  PERGOLA_ASSERT(plan.count > 0 && plan.first >= 0);
  for (const auto& [name, size] : plan.sizes) PERGOLA_ASSERT(sizes_.contains(name) && size > 0);
  Samples samples{plan.seed, plan.first, {}, {}};
  for (std::int64_t i = 0; i < plan.count; ++i) {
    samples.own.push_back(sizes_of(plan, plan.first + i));
    for (const auto& [name, size] : samples.own.back()) {
      samples.longest[name] = std::max(samples.longest[name], size);
    }
  }
  FieldTree tree;
  for (const FieldSpec& field : fields_) tree.put(field.name, make_field(field, samples));
  SampleList batch = std::move(tree).list();
  batch.set_dataset("example", "train");
  return batch;
}

bool ExampleBatches::has_lengths() const { return !counted_.empty(); }

std::vector<std::string> ExampleBatches::float_fields() const {
  std::vector<std::string> names;
  for (const FieldSpec& field : fields_) {
    if (field.type == FieldType::kFloat32) names.push_back(field.name);
  }
  return names;
}

Value examined_config(const ConfigurableManifest& model) {
  Value config = model.config;
  merge(config, model.inputs.check_config);
  std::set<std::string> facts;
  for (const ConfigParam& param : model.params) {
    if (param.zero == ConfigParam::Zero::kIsAFact) facts.insert(param.spec.name);
  }
  for (auto& [key, value] : config.as_table()) {
    if ((facts.contains(key) || is_size_fact(key)) && value == Value(0)) value = kExampleFact;
  }
  return config;
}

}  // namespace pergola::host
