// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/checkpoint.h"
#include "host/checkpoint/hugging_face_export.h"
#include "host/checkpoint/manifest.h"
#include "host/checkpoint/safetensors.h"
#include "host/checkpoint/staged_folder.h"
#include "host/checkpoint/store.h"
#include "host/checkpoint/torch_export.h"
#include "host/checkpoint/weights.h"
#include "host/run/checkpoints.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "host/support/log.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <system_error>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;

// Names that one line shows.
constexpr std::size_t kMostNames = 24;
constexpr std::uintmax_t kMostConfigBytes = 16'000'000;
constexpr const char* kHeads = "num_attention_heads";

// Whatever is there, a folder, a device or the weights themselves, is not ours to replace.
void expect_nothing_at(const std::filesystem::path& to, const char* kind) {
  std::error_code error;
  const std::filesystem::file_status there = std::filesystem::symlink_status(to, error);
  if (!std::filesystem::exists(there)) return;
  throw Error(ErrorKind::kCheckpoint, "there is something at ", to.string(), " already; name ",
              kind, " that does not exist, or remove that one first");
}

// The weights, and what is known of the model that they are of.
struct Source {
  StateDict state;
  std::string format;
  std::string model;              // "" when they do not say it
  Value config = Value::Table{};  // of the model, as it was trained
  CheckpointWords words;
};

const std::string* text_in(const Value& state, const char* key) {
  const Value* value = state.find(key);
  return value != nullptr && value->is_string() ? &value->as_string() : nullptr;
}

// Those of a processor; none where it has none.
std::vector<std::string> words_in(const Value& state, const char* processor) {
  std::vector<std::string> words;
  const Value* found = state.find(concat("data.processors.", processor, ".words"));
  if (found == nullptr || !found->is_array()) return words;
  for (const Value& word : found->as_array()) {
    if (word.is_string()) words.push_back(word.as_string());
  }
  return words;
}

// `config`: of the whole run.
CheckpointWords words_of(const Value& state, const Value& config) {
  CheckpointWords words;
  words.answers = words_in(state, "answer_processor");
  const std::string* dataset = text_in(state, "dataset");
  if (dataset == nullptr) return words;
  const Value* processor =
      config.find(concat("dataset_config.", *dataset, ".processors.text_processor"));
  const std::string* type = processor == nullptr ? nullptr : text_in(*processor, "type");
  if (type == nullptr || (*type != "bert_tokenizer" && *type != "masked_token")) return words;
  words.vocabulary = words_in(state, "text_processor");
  const Value* lower = processor->find("params.do_lower_case");
  words.lower_case = lower == nullptr || *lower == Value(true);
  return words;
}

Source read_source(const fs::path& from) {
  std::error_code error;
  if (!fs::exists(present_folder(from) / kManifestFile, error)) {
    Weights weights = read_weights(from);
    return {std::move(weights.state), std::move(weights.format), "", Value::Table{}, {}};
  }
  CheckpointContent content = load_checkpoint(from, CheckpointParts::kModel);
  const Value root = saved_config(content.state, from);
  const std::string* model = text_in(root, "model");
  if (model == nullptr) {
    throw Error(ErrorKind::kCheckpoint, from.string(), " has a config without a model; ",
                "convert its model.safetensors instead");
  }
  Source source{std::move(content.model), concat("checkpoint ", from.string()), *model, {}, {}};
  const Value* config = root.find(concat("model_config.", *model));
  source.config = config != nullptr && config->is_table() ? *config : Value(Value::Table{});
  source.words = words_of(content.state, root);
  return source;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kMostNames; ++i) {
    text += concat(i == 0 ? "" : ", ", names[i]);
  }
  if (names.size() > kMostNames) text += concat(" and ", names.size() - kMostNames, " more");
  return text;
}

// The models that Hugging Face has, by key.
ConfigurableManifests known_models(const PluginCatalog& catalog) {
  ConfigurableManifests models;
  for (const PluginFile& file : catalog.files()) {
    if (!file.usable()) continue;
    for (const auto& [key, entry] : file.manifest->models) {
      if (entry.hugging_face) models.emplace(key, entry);
    }
  }
  return models;
}

std::vector<std::string> keys_of(const ConfigurableManifests& models) {
  std::vector<std::string> keys;
  for (const auto& [key, entry] : models) keys.push_back(key);
  return keys;
}

StateDict with_own_names(const HuggingFaceFormat& format, StateDict state) {
  for (auto& [name, tensor] : state) name = own_name(format, name);
  return state;
}

// The models whose sizes the weights have, under their names or Hugging Face's. One that shows more
// of them is the more special one: VisualBERT's weights are BERT's, and the regions' besides.
std::vector<std::string> fitting(const StateDict& state, const ConfigurableManifests& models) {
  std::vector<std::string> best;
  std::size_t most = 0;
  for (const auto& [key, entry] : models) {
    const HuggingFaceFormat& format = *entry.hugging_face;
    if (format.sizes.size() < most || !has_sizes(format, with_own_names(format, state))) continue;
    if (format.sizes.size() > most) best.clear();
    most = format.sizes.size();
    best.push_back(key);
  }
  return best;
}

// The only model that fits.
std::string recognise(const Source& source, const fs::path& from,
                      const ConfigurableManifests& models, const PluginCatalog& catalog) {
  const std::vector<std::string> found = fitting(source.state, models);
  if (found.size() == 1) return found.front();
  if (found.size() > 1) {
    throw Error(ErrorKind::kCheckpoint, from.string(), " (", source.format,
                ") may be of the models ", listed(found),
                "; train one of them from it (checkpoint.pretrained), and convert ", "that run");
  }
  throw Error(ErrorKind::kCheckpoint, from.string(), " (", source.format,
              ") has the weights of no model that Hugging Face has, which are ",
              models.empty() ? "none here" : listed(keys_of(models)), "; its first of ",
              source.state.size(), " is '", source.state.empty() ? "" : source.state.front().first,
              "'; older names become today's in a run that starts from it ",
              "(checkpoint.pretrained); convert that run", catalog.note_of_unusable());
}

const ConfigurableManifest& manifest_of(const std::string& model,
                                        const ConfigurableManifests& models,
                                        const PluginCatalog& catalog) {
  const auto found = models.find(model);
  if (found != models.end()) return found->second;
  static_cast<void>(catalog.require("model", model, "the checkpoint's model"));
  throw Error(ErrorKind::kCheckpoint, "Hugging Face has no model '", model,
              "': the plugin.toml of ", "its plugin has no [models.", model,
              ".hugging_face]; those with one are ",
              models.empty() ? "none here" : listed(keys_of(models)),
              "; without --to hf, safetensors is written");
}

// Of the type of its default, where that is a number or a truth; whole numbers may be fractions.
Value typed(const std::string& key, const Value& value, const Value& fallback) {
  const Value::Type type = fallback.type();
  if (type == Value::Type::kFloat && value.type() == Value::Type::kInteger) {
    return value.as_float();
  }
  const bool is_fixed =
      type == Value::Type::kFloat || type == Value::Type::kInteger || type == Value::Type::kBoolean;
  if (!is_fixed || value.type() == type) return value;
  throw Error(ErrorKind::kConfig, key, " is ", value.type_name(), ", ", to_string(value),
              "; expected ", fallback.type_name(), ", such as its default ", to_string(fallback));
}

// What the config.json of Hugging Face's folder says under keys that the model's config has too,
// and what its class means. An empty table where `from` is no such folder.
Value config_of_theirs(const fs::path& from, const ConfigurableManifest& manifest) {
  const HuggingFaceFormat& format = *manifest.hugging_face;
  const fs::path file = from / "config.json";
  Value config = Value::Table{};
  std::error_code error;
  if (!is_hugging_face_folder(from) || !fs::exists(file, error)) return config;
  const Value theirs = from_json(read_file(file, ErrorKind::kCheckpoint, kMostConfigBytes),
                                 file.string(), ErrorKind::kCheckpoint);
  if (!theirs.is_table()) {
    throw Error(ErrorKind::kCheckpoint, file.string(), " is ", theirs.type_name(),
                "; expected a table, with keys such as model_type");
  }
  const Value* const classes = theirs.find("architectures");
  for (const HuggingFaceClass& each : format.classes) {
    if (classes == nullptr || *classes != Value(Value::Array{each.name})) continue;
    config = each.when;
    break;
  }
  for (const auto& [key, value] : theirs.as_table()) {
    const bool is_known = key == kHeads || std::ranges::count(format.config, key) > 0;
    if (is_known && manifest.config.as_table().contains(key)) config[key] = value;
  }
  return config;
}

// Shapes tell the sizes: other words are of another model. 0 is for what nobody says.
void check_words(const std::vector<Override>& words, const Value& config, const Value& exported) {
  for (const Override& word : words) {
    const auto said = config.as_table().find(word.key);
    auto shown = exported.as_table().find(word.key);
    if (said == config.as_table().end() || said->second == Value(0)) continue;
    Value size = shown == exported.as_table().end() ? said->second : shown->second;
    if (word.key == "num_labels") {
      shown = exported.as_table().find("id2label");
      if (shown != exported.as_table().end()) {
        size = static_cast<std::int64_t>(shown->second.as_table().size());
      }
    }
    if (size == said->second) continue;
    throw Error(ErrorKind::kConfig, word.key, " = ", to_string(said->second), " behind OUT, but ",
                "the weights show ", to_string(size), "; leave that word out");
  }
}

// The defaults, under what the model was trained with, under `words`.
Value full_config(const ConfigurableManifest& manifest, const std::string& model,
                  const Value& trained, const std::vector<Override>& words) {
  Value config = manifest.config;
  for (const auto& [key, value] : trained.as_table()) config[key] = value;
  std::vector<std::string> known;
  for (const auto& [key, value] : config.as_table()) known.push_back(key);
  for (const Override& word : words) {
    const std::string key = word.key.substr(0, word.key.find_first_of(".["));
    if (config.as_table().contains(key)) continue;
    throw Error(ErrorKind::kConfig, "'", key, "' is no key of model_config.", model,
                did_you_mean(key, known), "; words behind OUT say how the model was trained");
  }
  apply_overrides(config, words);
  for (const auto& [key, fallback] : manifest.config.as_table()) {
    config[key] = typed(key, *config.find(key), fallback);
  }
  return config;
}

}  // namespace

std::string convert_checkpoint(const fs::path& from, const fs::path& to, WeightsFormat format) {
  expect_nothing_at(to, "a file");
  const Weights weights = read_weights(checkpoint_at(from));
  const bool is_torch = format == WeightsFormat::kTorch;
  const FileDigest written = is_torch ? write_torch_file(to, weights.state)
                                      : write_safetensors(to, weights.state, {{"format", "pt"}});
  return concat(to.string(), ": ", weights.state.size(), " tensors, ", written.size, " bytes of ",
                is_torch ? "a PyTorch file" : "safetensors", "; from: ", weights.format, '\n');
}

std::string convert_to_hugging_face(const fs::path& from, const fs::path& to,
                                    const PluginCatalog& catalog,
                                    const std::vector<Override>& words) {
  expect_nothing_at(to, "a folder");
  const ConfigurableManifests models = known_models(catalog);
  const fs::path folder = checkpoint_at(from);
  Source source = read_source(folder);
  const bool is_told = !source.model.empty();
  if (!is_told) source.model = recognise(source, from, models, catalog);
  const ConfigurableManifest& manifest = manifest_of(source.model, models, catalog);
  const HuggingFaceFormat& format = *manifest.hugging_face;
  if (!is_told) {
    source.state = with_own_names(format, std::move(source.state));
    source.config = config_of_theirs(folder, manifest);
  }
  const Value config = full_config(manifest, source.model, source.config, words);
  const HuggingFaceExport exported =
      export_hugging_face(format, source.state, config, source.words);
  check_words(words, config, exported.config);
  const std::uint64_t bytes = write_hugging_face(to, exported);
  if (!exported.left_out.empty()) {
    log::warning("[convert] ", exported.architecture, " has no place for ",
                 exported.left_out.size(),
                 " weights, which were left out: ", listed(exported.left_out));
  }
  if (!is_told) {
    log::warning("[convert] ",
                 source.config.as_table().empty() ? "the file has no config: taken as '"
                                                  : "taken by its config.json as '",
                 source.model, "' with its defaults",
                 exported.guessed_heads ? concat(" and ", to_string(*exported.config.find(kHeads)),
                                                 " attention heads of ", format.head_size)
                                        : "",
                 "; key=value words behind OUT say what was different");
  }
  if (!format.note.empty()) log::info("[convert] ", format.note);
  return concat(to.string(), ": ", exported.architecture, ", ", exported.state.size(), " tensors, ",
                bytes, " bytes; from: ", source.format, '\n');
}

}  // namespace pergola::host
