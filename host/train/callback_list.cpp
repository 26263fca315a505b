// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/callback_list.h"

#include "host/support/log.h"

#include <map>
#include <utility>

namespace pergola::host {
namespace {

std::string prefix_of(const std::string& key) { return "callbacks/" + key + "/"; }

std::map<std::string, at::Tensor> tensors_of(const std::string& key,
                                             const CheckpointContent& content) {
  const std::string prefix = prefix_of(key);
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : content.trainer) {
    if (name.starts_with(prefix)) tensors.emplace(name.substr(prefix.size()), tensor);
  }
  return tensors;
}

}  // namespace

void CallbackList::add(std::string key, std::unique_ptr<Callback> callback) {
  log::debug("[run] callback ", entries_.size() + 1, ": ", key);
  entries_.push_back({std::move(key), std::move(callback)});
}

void CallbackList::on_exception(TrainerState& state, const std::string& message) noexcept {
  for (Entry& entry : entries_) {
    const Hook hook = hook_of("on_exception", entry.key);
    const HookScope running(hook);
    entry.callback->on_exception(state, message);
  }
}

void CallbackList::teardown(TrainerState& state) noexcept {
  for (Entry& entry : entries_) {
    const Hook hook = hook_of("teardown", entry.key);
    const HookScope running(hook);
    entry.callback->teardown(state);
  }
}

void CallbackList::save(CheckpointContent& content) const {
  Value states{Value::Table{}};
  for (const Entry& entry : entries_) {
    guarded(hook_of("state_dict()", entry.key),
            [&] { states[entry.key] = entry.callback->state_dict(); });
    const auto tensors =
        guarded(hook_of("tensors()", entry.key), [&] { return entry.callback->tensors(); });
    for (const auto& [name, tensor] : tensors) {
      content.trainer.emplace_back(prefix_of(entry.key) + name, tensor);
    }
  }
  content.state["callbacks"] = std::move(states);
}

void CallbackList::restore(const CheckpointContent& content) {
  const Value* const states = content.state.find("callbacks");
  if (states == nullptr || !states->is_table()) {
    throw Error(ErrorKind::kCheckpoint,
                "state.json of the checkpoint has no table 'callbacks'; it ",
                "was not written by this program, or by a newer one");
  }
  for (Entry& entry : entries_) {
    const auto found = states->as_table().find(entry.key);
    if (found == states->as_table().end()) continue;
    guarded(hook_of("load_state_dict()", entry.key),
            [&] { entry.callback->load_state_dict(found->second); });
    guarded(hook_of("load_tensors()", entry.key),
            [&] { entry.callback->load_tensors(tensors_of(entry.key, content)); });
  }
}

}  // namespace pergola::host
