// SPDX-License-Identifier: BSD-3-Clause
// Calls into a plugin's code, so that whatever it throws reaches the user as a sentence that names
// the plugin's hook.
#pragma once

#include "host/device/device.h"
#include "host/support/signals.h"
#include "pergola/error.h"

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>

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

// `what` of guarded(): a text, or what makes one, where making it each time would cost too much.
template <class What>
std::string name_of_hook(const What& what) {
  if constexpr (std::is_invocable_v<const What&>) {
    return what();
  } else {
    return what;
  }
}

// Runs `call` and returns its result. `what` is the hook, "forward() of model 'pythia'". An Error
// passes through, because its sentence is for the user already, and so does Stopped; memory that
// ran out becomes an OutOfMemory{kUnexpected}, any other exception an Error{kPlugin}. Both begin
// with `what`.
template <class What, class Call>
auto guarded(const What& what, Call call) {
  try {
    return call();
  } catch (const Error&) {
    throw;
  } catch (const Stopped&) {
    throw;
  } catch (const std::exception& error) {
    const std::string text = error.what();  // LibTorch's messages go on with a stack trace
    if (is_out_of_memory(error)) {
      throw OutOfMemory(ErrorKind::kUnexpected, name_of_hook(what),
                        " ran out of memory: ", text.substr(0, text.find('\n')),
                        "; try a smaller training.batch_size or model");
    }
    if (const std::string operation = without_deterministic_form(text); !operation.empty()) {
      throw Error(ErrorKind::kConfig, name_of_hook(what), " uses ", operation,
                  ", which has no deterministic form on this device; set training.deterministic = "
                  "false");
    }
    throw Error(ErrorKind::kPlugin, name_of_hook(what),
                " failed: ", text.substr(0, text.find('\n')),
                "; this is a matter for the plugin's author");
  } catch (...) {
    throw Error(ErrorKind::kPlugin, name_of_hook(what),
                " failed with an exception that is no std::exception; this is a matter for the "
                "plugin's author");
  }
}

}  // namespace pergola::host
