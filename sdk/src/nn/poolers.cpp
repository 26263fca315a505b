// SPDX-License-Identifier: BSD-3-Clause
#include "pergola/nn/poolers.h"

#include "pergola/error.h"
#include "pergola/suggest.h"

#include <ATen/ATen.h>

#include <string>

namespace pergola::nn {
namespace {

struct PoolerName {
  const char* name;
  PoolerType type;
  std::vector<std::string> params;
};

const std::vector<PoolerName>& pooler_names() {
  static const std::vector<PoolerName> all = {
      {"average_concat_last_k", PoolerType::kAverageConcatLastK, {"k", "tol"}},
      {"average_k_from_last", PoolerType::kAverageKFromLast, {"k", "tol"}},
      {"average_sum_last_k", PoolerType::kAverageSumLastK, {"k", "tol"}},
      {"identity", PoolerType::kIdentity, {}},
      {"cls", PoolerType::kCls, {"dim", "cls_index"}},
      {"avg", PoolerType::kAvg, {"dim"}}};
  return all;
}

const PoolerName& find_pooler(const TypedConfig& typed) {
  std::vector<std::string> known;
  for (const PoolerName& name : pooler_names()) {
    if (name.name == typed.type) return name;
    known.emplace_back(name.name);
  }
  throw Error(ErrorKind::kConfig, typed.where, " has type '", typed.type,
              "', which is not a pooler", did_you_mean(typed.type, known));
}

void check_shapes(const std::vector<at::Tensor>& layers, const at::Tensor& present_BT) {
  if (layers.empty()) throw Error(ErrorKind::kData, "a pooler got no hidden states of any layer");
  for (const at::Tensor& layer : layers) {
    if (layer.dim() == 3 && layer.sizes().slice(0, 2) == present_BT.sizes() &&
        layer.size(2) == layers.back().size(2)) {
      continue;
    }
    throw Error(ErrorKind::kData, "a pooler got hidden states of the shape ", layer.sizes(),
                " with a mask of ", present_BT.sizes(),
                "; expected [batch, tokens, width], of one width in all layers, and [batch, "
                "tokens]");
  }
}

// Over the tokens that are there: [B, T, W] → [B, W]. `tol`: what is added to their number.
at::Tensor average(const at::Tensor& x_BTW, const TokenMask& mask, double tol) {
  const at::Tensor present_BT1 = mask.present().unsqueeze(2);
  const at::ScalarType type = at::promote_types(x_BTW.scalar_type(), at::kFloat);
  const at::Tensor sum_BW = x_BTW.masked_fill(present_BT1.logical_not(), 0).sum(1, false, type);
  const at::Tensor count_B1 = present_BT1.sum(1, false, type).clamp_min(1);
  return (sum_BW / (count_B1 + tol)).to(x_BTW.scalar_type());
}

}  // namespace

PoolerConfig PoolerConfig::defaults(PoolerType type) {
  PoolerConfig pooler;
  pooler.type = type;
  if (type == PoolerType::kAverageKFromLast) pooler.k = 2;
  return pooler;
}

PoolerConfig PoolerConfig::parse(const Config& config, std::string_view key) {
  constexpr std::int64_t kMaxLayers = 1024;
  constexpr std::int64_t kMaxTokens = 1 << 20;
  const TypedConfig typed = config.typed(key);
  typed.options.allow_only({"type", "params"});
  const PoolerName& name = find_pooler(typed);
  typed.params.allow_only(name.params);
  PoolerConfig pooler = defaults(name.type);
  pooler.params = typed.params;
  pooler.k = typed.params.get_integer("k", pooler.k, 1, kMaxLayers);
  pooler.tol = typed.params.get_float("tol", pooler.tol, 0, 1);
  pooler.cls_index = typed.params.get_integer("cls_index", 0, -kMaxTokens, kMaxTokens);
  static_cast<void>(typed.params.get_integer("dim", 1, 1, 1));  // tokens are nowhere else
  return pooler;
}

at::Tensor pool(const PoolerConfig& config, const std::vector<at::Tensor>& layers,
                const TokenMask& mask) {
  check_shapes(layers, mask.present());
  const at::Tensor& last_BTD = layers.back();
  const auto found = static_cast<std::int64_t>(layers.size());
  const auto last_k = [&] {
    if (config.k > found) {
      throw config.params.error("k", concat("asks for layer ", config.k, " from the last; the ",
                                            "encoder has ", found, "; set k to at most that"));
    }
    return at::TensorList(layers).slice(layers.size() - static_cast<std::size_t>(config.k));
  };
  switch (config.type) {
    case PoolerType::kAverageConcatLastK:
      return average(at::cat(last_k(), 2), mask, config.tol);
    case PoolerType::kAverageKFromLast:
      return average(last_k().front(), mask, config.tol);
    case PoolerType::kAverageSumLastK:
      return average(at::stack(last_k()).sum(0), mask, config.tol);
    case PoolerType::kIdentity:
      return last_BTD;
    case PoolerType::kAvg:
      break;
    case PoolerType::kCls:
      if (config.cls_index >= last_BTD.size(1) || config.cls_index < -last_BTD.size(1)) {
        throw config.params.error(
            "cls_index", concat("names no token; there are ", last_BTD.size(1), " in a sample"));
      }
      return last_BTD.select(1, config.cls_index);
  }
  return average(last_BTD, mask, 0);
}

}  // namespace pergola::nn
