// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/state_mapping.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

#include <optional>
#include <string_view>

namespace pergola::host {
namespace {

// `name` without `part` and the dot behind it; nothing when it has no such part.
std::optional<std::string> without(std::string name, const std::string& part) {
  if (part.empty()) return name;
  const std::string needle = part + '.';
  std::size_t at = name.find(needle);
  if (at == std::string::npos) return std::nullopt;
  for (; at != std::string::npos; at = name.find(needle, at)) name.erase(at, needle.size());
  return name;
}

std::string describe(const std::string& own_part, const std::string& part) {
  return concat("checkpoint.pretrained_state_mapping: \"", own_part, "\" = \"", part, "\"");
}

// The weights whose names have `part`, by the rest of the name.
std::map<std::string, std::size_t> by_rest(const StateDict& state, const std::string& own_part,
                                           const std::string& part) {
  std::map<std::string, std::size_t> rests;
  for (std::size_t i = 0; i < state.size(); ++i) {
    const auto rest = without(state[i].first, part);
    if (!rest) continue;
    const auto [known, is_new] = rests.emplace(*rest, i);
    if (is_new) continue;
    throw Error(ErrorKind::kCheckpoint, describe(own_part, part), " takes both '",
                state[known->second].first, "' and '", state[i].first, "' for one weight; name ",
                "more of the one that is meant");
  }
  return rests;
}

bool is_position_table(std::string_view name) {
  return name.starts_with("position_embeddings") ||
         name.find(".position_embeddings") != std::string_view::npos;
}

bool is_position_ids(std::string_view name) {
  return name == "position_ids" || name.ends_with(".position_ids");
}

}  // namespace

StateDict map_state(const StateDict& state, const std::vector<std::string>& own,
                    const StateMapping& mapping) {
  StateDict mapped;
  std::map<std::string, std::string> taken;  // the model's name, and the file's
  for (const auto& [own_part, part] : mapping) {
    const auto rests = by_rest(state, own_part, part);
    bool fits = false;
    for (const std::string& name : own) {
      const auto rest = without(name, own_part);
      const auto found = rest ? rests.find(*rest) : rests.end();
      if (found == rests.end()) continue;
      fits = true;
      const auto& [from, tensor] = state[found->second];
      const auto [known, is_new] = taken.emplace(name, from);
      if (!is_new) {
        throw Error(ErrorKind::kCheckpoint, describe(own_part, part), " gives '", name, "' the ",
                    "weight '", from, "', and another line gives it '", known->second,
                    "'; take one of the two out");
      }
      mapped.emplace_back(name, tensor);
    }
    if (fits) continue;
    throw Error(ErrorKind::kCheckpoint, describe(own_part, part),
                " fits no weight: it is {part of the model's names = part of the file's}, the "
                "model has such as '",
                own.empty() ? "" : own.front(), "', the file such as '",
                state.empty() ? "" : state.front().first, "'");
  }
  return mapped;
}

StateDict resize_position_tables(StateDict& state, const StateDict& own) {
  const std::map<std::string, at::Tensor> models(own.begin(), own.end());
  StateDict before;
  for (auto& [name, tensor] : state) {
    const auto found = models.find(name);
    if (found == models.end() || tensor.sizes() == found->second.sizes()) continue;
    const at::Tensor& model = found->second;
    const at::Tensor old = tensor;
    if (is_position_ids(name)) {
      tensor = model;
    } else if (is_position_table(name) && tensor.dim() == 2 && model.dim() == 2 &&
               tensor.size(1) == model.size(1) && tensor.size(0) > 0) {
      tensor = tensor.index_select(0, at::arange(model.size(0)).remainder(tensor.size(0)));
    } else {
      continue;
    }
    before.emplace_back(name, old);
  }
  return before;
}

}  // namespace pergola::host
