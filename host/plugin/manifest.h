// SPDX-License-Identifier: BSD-3-Clause
// What a plugin says about itself in its plugin.toml, which pergola_add_plugin puts into the file.
// Plain data; owns everything. Thread-safe.
#pragma once

#include "host/config/config_params.h"
#include "host/plugin/field_spec.h"
#include "host/plugin/hugging_face.h"
#include "pergola/component.h"
#include "pergola/value.h"

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pergola::host {

inline constexpr std::size_t kMaxManifestSize = 1U << 20U;

// What can be registered, as the registry names it: "model", "loss", "metric", ...
[[nodiscard]] const std::vector<std::string>& registered_kinds();

// What a plugin says of one thing that it registers.
struct ConfigurableManifest {
  std::string description;
  // The defaults of model_config.<model> or dataset_config.<dataset>, or of a component's params: a
  // table, each value with its origin.
  Value config = Value(Value::Table{});
  ConfigParams params;  // the same keys, and those without a default: what they mean and may be
  std::optional<HuggingFaceFormat> hugging_face;  // of a model
  ModelInputs inputs;                             // of a model: what it reads of a batch
};
using ConfigurableManifests = std::map<std::string, ConfigurableManifest, std::less<>>;  // by key

// All text is safe to print.
struct PluginManifest {
  std::string name;     // [a-z][a-z0-9_]*, as all keys are
  std::string version;  // "1.2.3", "1.2.3-beta.1"
  std::string license;  // SPDX
  std::string description;
  std::vector<std::string> authors;
  ConfigurableManifests models;
  ConfigurableManifests datasets;
  std::map<std::string, ConfigurableManifests, std::less<>> provides;  // the other kinds

  // All of a kind; "model" and "dataset" are kinds too.
  [[nodiscard]] const ConfigurableManifests& all(std::string_view kind) const;
  // Their keys, sorted.
  [[nodiscard]] std::vector<std::string> keys(std::string_view kind) const;
};

// What `list` prints of one, and what the registry completes params by where the class itself has
// no spec().
[[nodiscard]] ComponentSpec component_spec(const ConfigurableManifest& manifest);

// Parses a plugin.toml. `source` names it in messages and in the origins of the defaults.
// Throws Error{kPlugin}, with the place, for broken TOML, unknown, missing or ill-formed keys, a
// `spec` as parse_config_spec does, `fields` and `check` as parse_model_inputs does, and a manifest
// that offers nothing.
[[nodiscard]] PluginManifest parse_manifest(std::string_view text, const std::string& source);

}  // namespace pergola::host
