// SPDX-License-Identifier: BSD-3-Clause
// Calls into a plugin's code, so that whatever it throws reaches the user as a sentence that names
// model, hook, plugin and update, and so that the report of a crash can name them, too.
#pragma once

#include "host/support/hook.h"
#include "pergola/error.h"

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>
#include <string_view>

namespace pergola {
class BaseModel;
}

namespace pergola::host {

// LibTorch's CPU allocator has no exception type of its own, only a text.
inline bool is_out_of_memory(const std::exception& error) {
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
         dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         std::string_view(error.what()).find("can't allocate memory") != std::string_view::npos;
}

// What guarded() makes of memory that ran out, so that who can go on with less of it can tell.
class OutOfMemory final : public Error {
 public:
  using Error::Error;
};

// The key of a model that build_model made, whose config is model_config.<key>; of another one what
// its config has, which may be empty.
[[nodiscard]] std::string_view key_of(const BaseModel& model);

// Throws what guarded() makes of the exception in hand.  REQUIRES: in a catch block.
[[noreturn]] void throw_error_of(const Hook& hook);

// Runs `call` and returns its result. An Error passes through, because its sentence is for the user
// already; one of a plugin's hook gets that hook, its plugin and the update at its end. Stopped
// passes through; memory that ran out becomes an OutOfMemory{kUnexpected}, any other exception an
// Error{kPlugin}. Both begin with the hook: "forward() of model 'pythia' (plugin pythia 0.1.0)
// failed at update 3: ...".
template <class Call>
auto guarded(const Hook& hook, Call call) {
  const HookScope running(hook);
  try {
    return call();
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
