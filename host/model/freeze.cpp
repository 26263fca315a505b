// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/freeze.h"

#include "host/support/log.h"
#include "pergola/error.h"
#include "pergola/suggest.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace pergola::host {
namespace {

// What a pattern without its last `.*` could have meant: "a.b.c" and the modules "a" and "a.b".
std::vector<std::string> names_and_modules(const std::vector<std::string>& names) {
  std::set<std::string> all(names.begin(), names.end());
  for (const std::string& name : names) {
    for (std::size_t dot = name.find('.'); dot != std::string::npos;
         dot = name.find('.', dot + 1)) {
      all.insert(name.substr(0, dot));
    }
  }
  return {all.begin(), all.end()};
}

// The closest pattern that matches something, or which modules there are.
std::string suggestion(const std::string& pattern, const std::vector<std::string>& names) {
  const std::size_t stem = std::min(pattern.find_last_not_of(".*") + 1, pattern.size());
  const std::string near = closest(pattern.substr(0, stem), names_and_modules(names));
  if (near.empty()) {
    std::set<std::string> tops;
    for (const std::string& name : names) tops.insert(name.substr(0, name.find('.')));
    return "; the model has " + join({tops.begin(), tops.end()});
  }
  const bool is_name = std::find(names.begin(), names.end(), near) != names.end();
  return "; did you mean '" + near + (is_name ? "" : ".*") + "'?";
}

using Parameters = torch::OrderedDict<std::string, at::Tensor>;

const void* identity(const at::Tensor& parameter) { return parameter.unsafeGetTensorImpl(); }

std::int64_t count_elements(const std::vector<at::Tensor>& parameters) {
  std::int64_t elements = 0;
  for (const at::Tensor& parameter : parameters) elements += parameter.numel();
  return elements;
}

// "4 tensors with 18 elements"
std::string describe(const std::vector<at::Tensor>& parameters) {
  return concat(parameters.size(), parameters.size() == 1 ? " tensor" : " tensors", " with ",
                count_elements(parameters), " elements");
}

// The parameters that an entry names and that training.freeze leaves, each once.
std::vector<at::Tensor> named_parameters(const Parameters& all, const UnfreezeConfig& config) {
  std::vector<at::Tensor> found;
  std::set<const void*> seen;
  for (std::size_t k = 0; k < config.parameters.size(); ++k) {
    const std::string& pattern = config.parameters[k];
    bool matched = false;
    for (const auto& item : all) {
      if (!matches(pattern, item.key())) continue;
      matched = true;
      if (!item.value().requires_grad() || !seen.insert(identity(item.value())).second) continue;
      found.push_back(item.value());
    }
    if (matched) continue;
    throw Error(ErrorKind::kConfig, config.where, ": parameters[", k, "] = \"", pattern,
                "\" matches no parameter of the model", suggestion(pattern, all.keys()));
  }
  if (!found.empty()) return found;
  throw Error(ErrorKind::kConfig, config.where,
              ": all parameters that it names are frozen for the whole run by training.freeze; "
              "take them out of one of the two");
}

std::int64_t updates_until(const UnfreezeConfig& config, std::int64_t updates_per_epoch) {
  if (config.after.unit != Duration::Unit::kSeconds) {
    return config.after.to_updates(updates_per_epoch);
  }
  throw Error(ErrorKind::kConfig, config.where,
              ": `after` is a time; expected updates or epochs, such as after = \"2 epochs\"");
}

}  // namespace

bool matches(std::string_view pattern, std::string_view name) noexcept {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::string_view::npos;  // the last `*` seen
  std::size_t after_star = 0;                 // where in `name` what follows it is tried
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after_star = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++after_star;  // the `*` takes one character more
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

void freeze_parameters(BaseModel& model, const Config& training) {
  const auto patterns = training.get<std::vector<std::string>>("freeze");
  if (patterns.empty()) return;
  const auto parameters = model.named_parameters();
  std::set<const void*> frozen;  // one that is registered twice counts once
  std::int64_t elements = 0;
  for (std::size_t k = 0; k < patterns.size(); ++k) {
    bool found = false;
    for (const auto& item : parameters) {
      if (!matches(patterns[k], item.key())) continue;
      found = true;
      item.value().set_requires_grad(false);
      if (!frozen.insert(identity(item.value())).second) continue;
      elements += item.value().numel();
    }
    if (found) continue;
    throw training.error(concat("freeze[", k, "]"), "matches no parameter of the model" +
                                                        suggestion(patterns[k], parameters.keys()));
  }
  if (model.num_trained_parameters() == 0) {
    throw training.error("freeze", "leaves no parameter to train; freeze less");
  }
  log::info("[model] frozen by training.freeze: ", frozen.size(), " tensors with ", elements,
            " elements; ", model.num_trained_parameters(), " elements are trained");
}

FreezeSchedule::FreezeSchedule(const BaseModel& model, const std::vector<UnfreezeConfig>& config,
                               std::int64_t updates_per_epoch) {
  const Parameters all = model.named_parameters();
  std::map<const void*, std::size_t> last;  // the entry that frees a parameter last
  std::vector<std::vector<at::Tensor>> named;
  for (std::size_t k = 0; k < config.size(); ++k) {
    named.push_back(named_parameters(all, config[k]));
    entries_.push_back({config[k].where, updates_until(config[k], updates_per_epoch), {}, false});
    for (const at::Tensor& parameter : named.back()) {
      const auto [found, first] = last.emplace(identity(parameter), k);
      if (!first && entries_[k].after > entries_[found->second].after) found->second = k;
    }
  }
  for (std::size_t k = 0; k < config.size(); ++k) {
    for (const at::Tensor& parameter : named[k]) {
      if (last.at(identity(parameter)) == k) entries_[k].parameters.push_back(parameter);
    }
  }
  check_begin(model);
}

// A loss that depends on no trained parameter has no backward pass.
void FreezeSchedule::check_begin(const BaseModel& model) const {
  std::int64_t left = model.num_trained_parameters();
  const Entry* first = nullptr;  // to thaw
  for (const Entry& entry : entries_) {
    if (entry.after == 0) continue;
    left -= count_elements(entry.parameters);
    if (first == nullptr || entry.after < first->after) first = &entry;
  }
  if (first == nullptr || left > 0) return;
  throw Error(ErrorKind::kConfig, first->where,
              ": with the other entries of training.unfreeze and training.freeze it leaves no "
              "parameter to train in the first ",
              first->after, first->after == 1 ? " update" : " updates", "; freeze less");
}

void FreezeSchedule::apply(std::int64_t updates) {
  for (Entry& entry : entries_) {
    const bool frozen = updates < entry.after;
    if (frozen == entry.frozen || entry.parameters.empty()) continue;
    entry.frozen = frozen;
    for (at::Tensor& parameter : entry.parameters) parameter.set_requires_grad(!frozen);
    const std::string when = frozen ? concat(" are frozen in the first ", entry.after,
                                             entry.after == 1 ? " update" : " updates")
                                    : concat(" are trained from update ", updates + 1, " on");
    log::info("[model] ", describe(entry.parameters), " of ", entry.where, when);
  }
}

std::vector<std::string> FreezeSchedule::frozen_until_end(std::int64_t max_updates) const {
  std::vector<std::string> places;
  for (const Entry& entry : entries_) {
    if (entry.after >= max_updates && !entry.parameters.empty()) places.push_back(entry.where);
  }
  return places;
}

}  // namespace pergola::host
