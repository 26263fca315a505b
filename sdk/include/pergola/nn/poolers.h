// SPDX-License-Identifier: BSD-3-Clause
// From the hidden states of a transformer to one vector a sample: the six poolers of MMF, for
// users' plugins: those that come along have BertPooler (bert.h), which has weights. These have
// none, so they are a function. Values; used on the training thread. Legend: B = batch, T = tokens,
// D = width of a hidden state.
#pragma once

#include "pergola/config.h"
#include "pergola/nn/attention.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace pergola::nn {

enum class PoolerType {
  kAverageConcatLastK,  // the last k layers side by side, averaged over the tokens: [B, k * D]
  kAverageKFromLast,    // the k-th layer from the last (1: the last), averaged: [B, D]
  kAverageSumLastK,     // the sum of the last k layers, averaged: [B, D]
  kIdentity,            // the last layer as it is: [B, T, D]
  kCls,                 // one token of the last layer: [B, D]
  kAvg,                 // the last layer, averaged: [B, D]
};

// {type = "average_concat_last_k", params = {...}}
struct PERGOLA_API PoolerConfig {
  PoolerType type = PoolerType::kCls;
  std::int64_t k = 4;          // of the three average_*: which layers
  double tol = 1e-6;           // of these: added to the number of tokens
  std::int64_t cls_index = 0;  // cls: the token; from the end of the padded ones below 0
  Config params;               // what it was parsed from, for messages

  // MMF's numbers for that type.
  [[nodiscard]] static PoolerConfig defaults(PoolerType type);
  // The one that `key` of `config` names, a name or {type, params}: the types are
  // average_concat_last_k, average_k_from_last, average_sum_last_k, identity, cls and avg. Throws
  // Error{kConfig} when the key is missing, for another type, unknown params and numbers out of
  // bounds.  [main-thread]
  [[nodiscard]] static PoolerConfig parse(const Config& config, std::string_view key);

  // The width of the result for hidden states of `hidden_size`.
  [[nodiscard]] std::int64_t out_dim(std::int64_t hidden_size) const {
    return type == PoolerType::kAverageConcatLastK ? k * hidden_size : hidden_size;
  }
};

// `layers`: the output of each layer, [B, T, D], the last one last, as BertTrace::hidden_states
// has them; one is enough for identity, cls and avg. What stands in places without a token means
// nothing, also for avg, which in MMF sees no mask and so averages over padding too; identity alone
// passes it on. A sample without a token gives 0. Half precision is averaged in single.
// Throws Error{kConfig} when there are fewer than k layers or no token cls_index, Error{kData} for
// other shapes.
[[nodiscard]] PERGOLA_API at::Tensor pool(const PoolerConfig& config,
                                          const std::vector<at::Tensor>& layers,
                                          const TokenMask& mask);

}  // namespace pergola::nn
