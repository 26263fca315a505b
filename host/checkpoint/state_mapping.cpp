// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/state_mapping.h"

#include "pergola/error.h"

#include <ATen/ATen.h>

#include <iterator>
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

// Where weights are in the state, by what is left of their names without a part.
using Rests = std::multimap<std::string, std::size_t>;

// A line of the mapping, against the names of the file: as they are there, and as each renaming
// makes them.
class MappingLine {
 public:
  MappingLine(const std::string& own_part, const std::string& part, const StateDict& state,
              const std::vector<Renaming>& renamings)
      : own_part_(own_part), part_(part), state_(state), forms_(renamings.size() + 1) {
    for (std::size_t i = 0; i < state.size(); ++i) {
      const std::string& name = state[i].first;
      if (const auto rest = without(name, part)) forms_.front().emplace(*rest, i);
      for (std::size_t k = 0; k < renamings.size(); ++k) {
        if (const auto rest = without(renamings[k](name), part)) forms_[k + 1].emplace(*rest, i);
      }
    }
  }

  // Where the weight for the model's `name` is; nothing when the line has none for it.
  [[nodiscard]] std::optional<std::size_t> find(const std::string& name) const {
    const auto rest = without(name, own_part_);
    if (!rest) return std::nullopt;
    for (const Rests& form : forms_) {
      const auto [begin, end] = form.equal_range(*rest);
      if (begin == end) continue;
      if (std::next(begin) == end) return begin->second;
      throw Error(ErrorKind::kCheckpoint, text(), " takes both '", state_[begin->second].first,
                  "' and '", state_[std::next(begin)->second].first, "' for one weight; name ",
                  "more of the one that is meant");
    }
    return std::nullopt;
  }

  [[nodiscard]] std::string text() const {
    return concat("checkpoint.pretrained_state_mapping: \"", own_part_, "\" = \"", part_, "\"");
  }

 private:
  const std::string& own_part_;
  const std::string& part_;
  const StateDict& state_;
  std::vector<Rests> forms_;
};

bool is_position_table(std::string_view name) {
  return name.starts_with("position_embeddings") ||
         name.find(".position_embeddings") != std::string_view::npos;
}

bool is_position_ids(std::string_view name) {
  return name == "position_ids" || name.ends_with(".position_ids");
}

}  // namespace

StateDict map_state(const StateDict& state, const std::vector<std::string>& own,
                    const StateMapping& mapping, const std::vector<Renaming>& renamings) {
  StateDict mapped;
  std::map<std::string, std::string> taken;  // the model's name, and the file's
  for (const auto& [own_part, part] : mapping) {
    const MappingLine line(own_part, part, state, renamings);
    bool fits = false;
    for (const std::string& name : own) {
      const auto found = line.find(name);
      if (!found) continue;
      fits = true;
      const auto& [from, tensor] = state[*found];
      const auto [known, is_new] = taken.emplace(name, from);
      if (!is_new) {
        throw Error(ErrorKind::kCheckpoint, line.text(), " gives '", name, "' the weight '", from,
                    "', and another line gives it '", known->second, "'; take one of the two out");
      }
      mapped.emplace_back(name, tensor);
    }
    if (fits) continue;
    throw Error(ErrorKind::kCheckpoint, line.text(),
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
