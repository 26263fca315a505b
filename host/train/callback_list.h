// SPDX-License-Identifier: BSD-3-Clause
// The callbacks of a run, in order, and the one place that calls them: what a hook throws becomes
// an Error that names hook and callback. Owns them. Training thread.
#pragma once

#include "host/checkpoint/checkpoint.h"
#include "host/model/guard.h"
#include "pergola/callback.h"

#include <memory>
#include <string>
#include <vector>

namespace pergola::host {

class CallbackList {
 public:
  // Called in this order; the state is saved under `key`.  REQUIRES: no other one has that key.
  void add(std::string key, std::unique_ptr<Callback> callback);

  // hook(callback) for all of them; `name` is the hook's. The first that throws ends it, with
  // Error{kPlugin} unless it is an Error already.
  template <class Call>
  void call(const char* name, Call hook) {
    for (Entry& entry : entries_) {
      guarded(hook_of(name, entry.key), [&] { hook(*entry.callback); });
    }
  }
  // For all of them, whatever happens.
  void on_exception(TrainerState& state, const std::string& message) noexcept;
  void teardown(TrainerState& state) noexcept;

  // Puts each one's state into content.state["callbacks"][key], and its tensors into
  // content.trainer under "callbacks/<key>/<name>".
  void save(CheckpointContent& content) const;
  // Gives each one its own back; one that the checkpoint does not know stays as it is. Throws
  // Error{kCheckpoint} when the checkpoint has no callbacks at all.
  void restore(const CheckpointContent& content);

 private:
  struct Entry {
    std::string key;
    std::unique_ptr<Callback> callback;
  };
  [[nodiscard]] static Hook hook_of(const char* name, const std::string& key) {
    return {name, "callback", key};
  }
  std::vector<Entry> entries_;
};

}  // namespace pergola::host
