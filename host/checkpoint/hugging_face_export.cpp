// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/hugging_face_export.h"

#include "host/checkpoint/manifest.h"
#include "host/checkpoint/safetensors.h"
#include "host/checkpoint/staged_folder.h"
#include "host/support/files.h"
#include "host/support/json.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using Sizes = std::map<std::string, std::int64_t>;

constexpr const char* kHeads = "num_attention_heads";
constexpr const char* kLabels = "num_labels";  // config.json has a name for each instead

// Nothing when the weights have no such thing.
std::optional<std::int64_t> find_size(const SizeSource& source, const StateDict& state) {
  std::set<std::string> parts;
  const std::string row = source.name + ".";
  for (const auto& [name, tensor] : state) {
    if (source.dim) {
      if (name != source.name) continue;
      if (static_cast<std::int64_t>(*source.dim) >= tensor.dim()) return std::nullopt;
      return tensor.size(static_cast<std::int64_t>(*source.dim));
    }
    if (!name.starts_with(row)) continue;
    parts.insert(name.substr(row.size(), name.find('.', row.size()) - row.size()));
  }
  if (parts.empty()) return std::nullopt;
  return static_cast<std::int64_t>(parts.size());
}

// The sizes of both; nothing when the weights lack one, or the two say one size differently.
std::optional<Sizes> sizes_of(const HuggingFaceFormat& format, const HuggingFaceClass* of,
                              const StateDict& state) {
  Sizes sizes;
  const auto add = [&](const SizeSources& sources) {
    return std::ranges::all_of(sources, [&](const auto& source) {
      const auto size = find_size(source.second, state);
      return size && sizes.emplace(source.first, *size).first->second == *size;
    });
  };
  if (!add(format.sizes) || (of != nullptr && !add(of->sizes))) return std::nullopt;
  return sizes;
}

bool says(const Value& config, const Value& when) {
  return std::ranges::all_of(when.as_table(), [&](const auto& wanted) {
    const auto found = config.as_table().find(wanted.first);
    return found != config.as_table().end() && found->second == wanted.second;
  });
}

std::int64_t integer_or_0(const Value& config, const char* key) {
  const auto found = config.as_table().find(key);
  const bool given =
      found != config.as_table().end() && found->second.type() == Value::Type::kInteger;
  return given ? found->second.as_integer() : 0;
}

// The published models' rule, head_size, stands only where the config leaves their sizes as they
// are. Models without that rule and without such a key have no heads.
void add_heads(const HuggingFaceFormat& format, const Value& config, HuggingFaceExport& exported) {
  const std::int64_t width = integer_or_0(exported.config, "hidden_size");
  std::int64_t heads = integer_or_0(config, kHeads);
  if (heads == 0) heads = integer_or_0(format.constants, kHeads);
  if (format.head_size == 0 && heads == 0 && !config.as_table().contains(kHeads)) return;
  if (heads == 0 && format.head_size > 0 && integer_or_0(config, "hidden_size") == 0 &&
      width % format.head_size == 0) {
    heads = width / format.head_size;
    exported.guessed_heads = true;
  }
  if (heads < 1 || width % heads != 0) {
    throw Error(ErrorKind::kConfig, kHeads, " = ", heads, " does not fit hidden_size = ", width,
                ", and no shape tells it; give the number that the model was trained with as the "
                "word ",
                kHeads, "=N behind OUT");
  }
  exported.config[kHeads] = heads;
}

// Answers that two numbers have would have one name: then none has its own.
void add_labels(std::int64_t count, const std::vector<std::string>& answers, Value& config) {
  const std::set<std::string> distinct(answers.begin(), answers.end());
  const bool known =
      distinct.size() == answers.size() && static_cast<std::int64_t>(answers.size()) == count;
  Value::Table names;
  Value::Table numbers;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string name = known ? answers[static_cast<std::size_t>(i)] : concat("LABEL_", i);
    names[concat(i)] = name;
    numbers[name] = i;
  }
  config["id2label"] = std::move(names);
  config["label2id"] = std::move(numbers);
}

std::string dtype_name(const StateDict& state) {
  for (const auto& [name, tensor] : state) {
    if (tensor.scalar_type() == at::kHalf) return "float16";
    if (tensor.scalar_type() == at::kBFloat16) return "bfloat16";
    if (tensor.scalar_type() == at::kDouble) return "float64";
    if (tensor.scalar_type() == at::kFloat) return "float32";
  }
  return "float32";
}

void fill_config(const HuggingFaceFormat& format, const Sizes& sizes, const Value& config,
                 HuggingFaceExport& exported) {
  Value& filled = exported.config;
  filled = format.constants;
  for (const std::string& key : format.config) filled[key] = *config.find(key);
  for (const auto& [key, size] : sizes) {
    if (key == kLabels) {
      add_labels(size, exported.words.answers, filled);
    } else {
      filled[key] = size;
    }
  }
  add_heads(format, config, exported);
  filled["model_type"] = format.model_type;
  filled["architectures"] = Value::Array{exported.architecture};
  filled["torch_dtype"] = dtype_name(exported.state);
}

void write_text(const fs::path& file, const std::string& text) {
  const UniqueFd fd = create_file(file);
  write_all(fd.get(), text, file);
  sync_fd(fd.get(), file);
}

// Of BERT's tokenizer.
void write_tokenizer(const fs::path& folder, const HuggingFaceExport& exported) {
  std::string lines;
  for (const std::string& token : exported.words.vocabulary) lines += token + "\n";
  write_text(folder / "vocab.txt", lines);
  const Value config =
      Value::Table{{"tokenizer_class", "BertTokenizer"},
                   {"do_lower_case", exported.words.lower_case},
                   {"model_max_length", integer_or_0(exported.config, "max_position_embeddings")}};
  write_text(folder / "tokenizer_config.json", to_json(config, 2) + "\n");
}

}  // namespace

bool has_sizes(const HuggingFaceFormat& format, const StateDict& state) {
  return sizes_of(format, nullptr, state).has_value();
}

HuggingFaceExport export_hugging_face(const HuggingFaceFormat& format, const StateDict& state,
                                      const Value& config, CheckpointWords words) {
  for (const HuggingFaceClass& each : format.classes) {
    const auto sizes = sizes_of(format, &each, state);
    if (!sizes || !says(config, each.when)) continue;
    HuggingFaceExport exported;
    exported.architecture = each.name;
    for (const auto& [name, tensor] : state) {
      if (is_skipped(format, name)) continue;
      if (const auto theirs = name_in(format, each, name)) {
        exported.state.emplace_back(*theirs, tensor);
      } else {
        exported.left_out.push_back(name);
      }
    }
    exported.words = std::move(words);
    fill_config(format, *sizes, config, exported);
    if (integer_or_0(exported.config, "vocab_size") !=
        static_cast<std::int64_t>(exported.words.vocabulary.size())) {
      exported.words.vocabulary.clear();
    }
    return exported;
  }
  for (const auto& [key, source] : format.sizes) {
    if (find_size(source, state)) continue;
    throw Error(ErrorKind::kCheckpoint, "the weights have no '", source.name, "', which shows ",
                key, " of ", format.model_type, "; the first of ", state.size(), " is '",
                state.empty() ? "" : state.front().first, "'; convert weights of the whole model");
  }
  throw Error(ErrorKind::kCheckpoint, "none of the plugin's ", format.classes.size(),
              " classes of ", format.model_type, " fits the weights and the config; add one to ",
              "the hugging_face table of its plugin.toml");
}

std::uint64_t write_hugging_face(const fs::path& folder, const HuggingFaceExport& exported) {
  const SaveHooks hooks;
  StagedFolder staged(folder, hooks);
  write_text(staged.path() / "config.json", to_json(exported.config, 2) + "\n");
  if (!exported.words.vocabulary.empty()) write_tokenizer(staged.path(), exported);
  const fs::path weights = staged.path() / kModelFile;
  const UniqueFd fd = create_file(weights);
  const FileDigest written =
      stream_safetensors(fd.get(), exported.state, {{"format", "pt"}}, weights);
  sync_fd(fd.get(), weights);
  staged.publish();
  return written.size;
}

}  // namespace pergola::host
