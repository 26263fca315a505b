// SPDX-License-Identifier: BSD-3-Clause
// Calls into a plugin's code, so that whatever it throws reaches the user as a sentence that names
// model, hook, plugin and update, and so that the report of a crash can name them, too.
#pragma once

#include "host/device/process_state.h"
#include "host/support/hook.h"
#include "pergola/error.h"

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>

namespace pergola {
class BaseModel;
}

namespace pergola::host {

// LibTorch's CPU allocator has no exception type of its own, only a text, and neither have some of
// its calls of CUDA.
inline bool is_out_of_memory(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
      dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr) {
    return true;
  }
  const std::string_view text = error.what();
  return text.find("can't allocate memory") != std::string_view::npos ||
         text.starts_with("CUDA error: out of memory") ||
         text.find("_STATUS_ALLOC_FAILED") != std::string_view::npos;  // of cuBLAS and cuDNN
}

// What guarded() makes of memory that ran out, so that who can go on with less of it can tell.
class OutOfMemory final : public Error {
 public:
  using Error::Error;
};

// The key of a model that build_model made, whose config is model_config.<key>; of another one what
// its config has, which may be empty.
[[nodiscard]] std::string_view key_of(const BaseModel& model);

// With plugins.check_state: looks at what all code of the process shares before and after a call
// into a plugin's class, on the thread that switched it on. Costs a branch otherwise.
class StateWatch {
 public:
  // [main-thread]
  static void enable(bool on) noexcept {
    thread_ = std::this_thread::get_id();
    enabled_ = on;
  }

  explicit StateWatch(const Hook& hook) {
    if (enabled_) begin(hook);
  }
  // Throws Error{kPlugin} that says who changed what, when something is not as it was.
  void check() const {
    if (before_) compare();
  }

 private:
  void begin(const Hook& hook);
  void compare() const;

  static inline bool enabled_ = false;         // NOLINT(readability-identifier-naming)
  static inline std::thread::id thread_ = {};  // NOLINT(readability-identifier-naming)

  std::optional<ProcessState> before_;
};

// Throws what guarded() makes of the exception in hand.  REQUIRES: in a catch block.
[[noreturn]] void throw_error_of(const Hook& hook);
// The same where it is of memory that ran out, or of a GPU that failed, and is no Error yet; else
// returns. For code of the host, whose other exceptions are no matter of a hook.
// REQUIRES: in a catch block.
void throw_device_error(const Hook& hook);

// Runs `call` and returns its result. An Error passes through, because its sentence is for the user
// already; one of a plugin's hook gets that hook, its plugin and the update at its end. Stopped
// passes through; memory that ran out becomes an OutOfMemory{kUnexpected}, any other exception an
// Error{kPlugin}, that of a GPU that failed with how to find out why and to go on. All begin with
// the hook: "forward() of model 'pythia' (plugin pythia 0.1.0) failed at update 3: ...".
template <class Call>
auto guarded(const Hook& hook, Call call) {
  const HookScope running(hook);
  try {
    const StateWatch watch(hook);
    if constexpr (std::is_void_v<decltype(call())>) {
      call();
      watch.check();
    } else {
      auto result = call();
      watch.check();
      return result;
    }
  } catch (...) {
    throw_error_of(hook);
  }
}

// The same of what is no hook of a plugin's class alone: `what` is the text.
template <class Call>
auto guarded(const std::string& what, Call call) {
  return guarded(Hook{what}, call);
}

}  // namespace pergola::host
