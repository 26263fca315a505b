// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/error.h"
#include "pergola/nn/fusions.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <string>

namespace pergola::nn {
namespace {

constexpr std::int64_t kMaxFusionDim = 1 << 16;
constexpr std::int64_t kMaxFactor = 1024;
constexpr std::int64_t kMaxBilinear = 2048;  // with its cube of numbers, 34 GB in single precision
constexpr std::size_t kMaxHiddenLayers = 64;

struct FusionName {
  const char* name;
  FusionType type;
  std::vector<std::string> params;
};

const std::vector<FusionName>& fusion_names() {
  using Type = FusionType;
  static const std::vector<FusionName> all = {
      {"block",
       Type::kBlock,
       {"mm_dim", "chunks", "rank", "shared", "pos_norm", "dropout_input", "dropout_pre_lin",
        "dropout_output"}},
      {"block_tucker",
       Type::kBlockTucker,
       {"mm_dim", "chunks", "shared", "pos_norm", "dropout_input", "dropout_pre_lin",
        "dropout_output"}},
      {"mutan",
       Type::kMutan,
       {"mm_dim", "rank", "shared", "normalize", "dropout_input", "dropout_pre_lin",
        "dropout_output"}},
      {"tucker",
       Type::kTucker,
       {"mm_dim", "shared", "normalize", "dropout_input", "dropout_pre_lin", "dropout_output"}},
      {"mlb",
       Type::kMlb,
       {"mm_dim", "activ_input", "activ_output", "normalize", "dropout_input", "dropout_pre_lin",
        "dropout_output"}},
      {"mfb",
       Type::kMfb,
       {"mm_dim", "factor", "activ_input", "activ_output", "normalize", "dropout_input",
        "dropout_pre_norm", "dropout_output"}},
      {"mfh",
       Type::kMfh,
       {"mm_dim", "factor", "activ_input", "activ_output", "normalize", "dropout_input",
        "dropout_pre_lin", "dropout_output"}},
      {"mcb", Type::kMcb, {"mm_dim", "activ_output", "dropout_output"}},
      {"linear_sum",
       Type::kLinearSum,
       {"mm_dim", "activ_input", "activ_output", "normalize", "dropout_input", "dropout_pre_lin",
        "dropout_output"}},
      {"concat_mlp", Type::kConcatMlp, {"dimensions", "activation", "dropout"}}};
  return all;
}

const FusionName& find_fusion(const TypedConfig& typed) {
  std::vector<std::string> known;
  for (const FusionName& name : fusion_names()) {
    if (name.name == typed.type) return name;
    known.emplace_back(name.name);
  }
  throw Error(ErrorKind::kConfig, typed.where, " has type '", typed.type,
              "', which is not a fusion", did_you_mean(typed.type, known));
}

std::optional<Activation> parse_activation(const Config& params, std::string_view key,
                                           std::optional<Activation> fallback) {
  if (!params.has(key)) return fallback;
  const std::string name =
      params.get_choice(key, "none", {"none", "relu", "gelu", "gelu_new", "tanh"});
  if (name == "relu") return Activation::kRelu;
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_new") return Activation::kGeluTanh;
  if (name == "tanh") return Activation::kTanh;
  return std::nullopt;
}

FusionNorm parse_norm(const Config& params, FusionNorm fallback) {
  if (params.has("pos_norm")) {
    const std::string place = params.get_choice("pos_norm", "", {"before_cat", "after_cat"});
    return place == "before_cat" ? FusionNorm::kEachChunk : FusionNorm::kWhole;
  }
  if (!params.has("normalize")) return fallback;
  return params.get<bool>("normalize") ? FusionNorm::kWhole : FusionNorm::kNone;
}

void check_sizes(const FusionConfig& fusion) {
  const bool chunked = fusion.type == FusionType::kBlock || fusion.type == FusionType::kBlockTucker;
  if (chunked && fusion.chunks > fusion.mm_dim) {
    throw fusion.params.error("chunks", concat("is more than mm_dim = ", fusion.mm_dim,
                                               "; each chunk needs a part of it"));
  }
  const bool bilinear =
      fusion.type == FusionType::kTucker || fusion.type == FusionType::kBlockTucker;
  const std::int64_t widest = chunked ? fusion.chunk_sizes().front() : fusion.mm_dim;
  if (bilinear && widest > kMaxBilinear) {
    throw fusion.params.error(
        "mm_dim", concat("makes a bilinear layer with ", widest, "^3 weights; expected at most ",
                         kMaxBilinear, "^3: use a smaller mm_dim, ",
                         chunked ? "more chunks" : "or block_tucker"));
  }
}

}  // namespace

FusionConfig FusionConfig::defaults(FusionType type) {
  FusionConfig fusion;
  fusion.type = type;
  const bool chunked = type == FusionType::kBlock || type == FusionType::kBlockTucker;
  fusion.norm = chunked ? FusionNorm::kEachChunk : FusionNorm::kNone;
  switch (type) {
    case FusionType::kMlb:
    case FusionType::kMfb:
    case FusionType::kMfh:
    case FusionType::kLinearSum:
      fusion.mm_dim = 1200;
      fusion.activ_input = fusion.activ_output = Activation::kRelu;
      break;
    case FusionType::kMcb:
      fusion.mm_dim = 16000;
      fusion.activ_output = Activation::kRelu;
      break;
    default:  // those of the struct
      break;
  }
  return fusion;
}

FusionConfig FusionConfig::parse(const Config& config, std::string_view key) {
  const TypedConfig typed = config.typed(key);
  typed.options.allow_only({"type", "params"});
  const FusionName& name = find_fusion(typed);
  const Config& params = typed.params;
  params.allow_only(name.params);
  FusionConfig fusion = defaults(name.type);
  fusion.params = params;
  fusion.mm_dim = params.get_integer("mm_dim", fusion.mm_dim, 1, kMaxFusionDim);
  fusion.chunks = params.get_integer("chunks", fusion.chunks, 1, kMaxFusionDim);
  fusion.rank = params.get_integer("rank", fusion.rank, 1, kMaxFactor);
  fusion.factor = params.get_integer("factor", fusion.factor, 1, kMaxFactor);
  fusion.shared = params.get<bool>("shared", false);
  fusion.norm = parse_norm(params, fusion.norm);
  fusion.activ_input = parse_activation(params, "activ_input", fusion.activ_input);
  fusion.activ_output = parse_activation(params, "activ_output", fusion.activ_output);
  fusion.dropout_input = params.get_float("dropout_input", 0, 0, 1);
  fusion.dropout_pre_norm = params.get_float("dropout_pre_norm", 0, 0, 1);
  fusion.dropout_pre_lin = params.get_float("dropout_pre_lin", 0, 0, 1);
  fusion.dropout_output = params.get_float("dropout_output", 0, 0, 1);
  fusion.dimensions = params.get<std::vector<std::int64_t>>("dimensions", fusion.dimensions);
  if (fusion.dimensions.size() > kMaxHiddenLayers ||
      std::ranges::any_of(fusion.dimensions, [](auto n) { return n < 1 || n > kMaxFusionDim; })) {
    throw params.error("dimensions", concat("must list the widths of up to ", kMaxHiddenLayers,
                                            " hidden layers, each from 1 to ", kMaxFusionDim));
  }
  fusion.activation = parse_activation(params, "activation", fusion.activation);
  fusion.dropout = params.get_float("dropout", 0, 0, 1);
  check_sizes(fusion);
  return fusion;
}

std::vector<std::int64_t> FusionConfig::chunk_sizes() const {
  const std::int64_t widest = (mm_dim + chunks - 1) / chunks;
  const std::int64_t missing = widest * chunks - mm_dim;
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(chunks), widest);
  if (missing < widest) {  // the last chunk is narrower by all of it
    sizes.back() -= missing;
    return sizes;
  }
  // The last `missing` ones are narrower by one. In MMF an empty last chunk is kept, and fails.
  std::for_each(sizes.end() - missing, sizes.end(), [](std::int64_t& size) { --size; });
  return sizes;
}

}  // namespace pergola::nn
