// SPDX-License-Identifier: BSD-3-Clause
// What runs right now, in words: which hook of which class, the plugin that brought the class, the
// update in hand. The sentence about an exception and the report of a crash say the same from here.
// Hooks are plain data, and nobody makes a text of one before something went wrong: a scope costs a
// nanosecond or two. Scopes belong to their thread; the list of plugins and the update are
// process-wide, because a signal handler has nothing else to ask.
#pragma once

#include <array>
#include <atomic>
#include <charconv>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pergola::host {

// A call into a class that may be a plugin's. Borrows its texts.
struct Hook {
  std::string_view name;       // "build()"
  std::string_view kind = {};  // of the class, as kind_name() has it; empty: nothing is known of it
  std::string_view key = {};   // its name in the config; empty: "the optimizer"
  std::string_view split = {};  // of a data set
  std::string_view tail = {};   // " or of its processors"
  std::string_view type = {};   // what a plugin calls it, where `key` is the user's name for it
  std::int64_t batch = -1;      // its number, of a hook that works on one of a split; -1: none
};

// A library, as long as nobody knows whether it is what it says, and as a plugin. Never destroyed.
struct KnownPlugin {
  std::string name;  // safe to print, as the next two are
  std::string version;
  std::string file;                                          // the whole path
  std::string load_path;                                     // what the dynamic loader calls it
  std::vector<std::pair<std::string, std::string>> classes;  // kind and key of all that it brings
  std::atomic<bool> is_registered = false;                   // they are its, and can be made
  const KnownPlugin* next = nullptr;                         // the one that was known before it
};

// Makes a library known, before any of its code runs.  [main thread]
KnownPlugin& remember_plugin(std::unique_ptr<KnownPlugin> plugin);
// The registered plugin whose class the hook is of; null: the host's own, or nobody knows.
// Async-signal-safe, as the next one is.
[[nodiscard]] const KnownPlugin* plugin_of(const Hook& hook) noexcept;
[[nodiscard]] const KnownPlugin* plugin_loaded_as(std::string_view load_path) noexcept;

// While one lives, a training is under way, and has the update in hand that set() said last.
class UpdateScope {
 public:
  static constexpr std::int64_t kNone = -1;

  UpdateScope() = default;
  UpdateScope(const UpdateScope&) = delete;
  UpdateScope& operator=(const UpdateScope&) = delete;
  ~UpdateScope() { set(kNone); }

  static void set(std::int64_t update) noexcept {
    update_.store(update, std::memory_order_relaxed);
  }
  // kNone outside of a training. Any thread.
  [[nodiscard]] static std::int64_t update() noexcept {
    return update_.load(std::memory_order_relaxed);
  }

 private:
  static inline std::atomic<std::int64_t> update_ = kNone;  // NOLINT(readability-identifier-naming)
};

// Says that this thread is in a hook, which outlives the scope.
class HookScope {
 public:
  explicit HookScope(const Hook& hook) noexcept : hook_(hook), outer_(innermost_) {
    std::atomic_signal_fence(std::memory_order_release);  // a handler sees it whole, or not at all
    innermost_ = this;
    std::atomic_signal_fence(std::memory_order_release);
  }
  HookScope(const HookScope&) = delete;
  HookScope& operator=(const HookScope&) = delete;
  ~HookScope() {
    std::atomic_signal_fence(std::memory_order_release);
    innermost_ = outer_;
  }

  using Place = const HookScope*;
  // Where this thread's innermost scope is noted; it holds null outside of all hooks.
  [[nodiscard]] static const Place* place() noexcept { return &innermost_; }
  [[nodiscard]] const Hook& hook() const noexcept { return hook_; }

 private:
  const Hook& hook_;
  const Place outer_;
  // NOLINTNEXTLINE(readability-identifier-naming)
  static inline constinit thread_local Place innermost_ = nullptr;
};

// The texts below go piece by piece into `add`, which takes string_views, so that a signal handler
// can have them without memory.

template <class Add>
void spell(std::int64_t number, Add add) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  add(std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data())));
}

// "get() of data set 'easy_vqa' (val) or of its processors".
template <class Add>
void spell_hook(const Hook& hook, Add add) {
  add(hook.name);
  if (!hook.kind.empty()) {
    add(hook.key.empty() ? " of the " : " of ");
    add(hook.kind == "dataset" ? "data set" : hook.kind);
  }
  if (!hook.key.empty()) {
    add(" '");
    add(hook.key);
    add("'");
  }
  if (!hook.split.empty()) {
    add(" (");
    add(hook.split);
    add(")");
  }
  add(hook.tail);
}

// "update 3, batch 0"; nothing where there is neither.
template <class Add>
void spell_moment(const Hook& hook, Add add) {
  const std::int64_t update = UpdateScope::update();
  if (update != UpdateScope::kNone) {
    add("update ");
    spell(update, add);
  }
  if (hook.batch < 0) return;
  add(update == UpdateScope::kNone ? "batch " : ", batch ");
  spell(hook.batch, add);
}

}  // namespace pergola::host
