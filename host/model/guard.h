// SPDX-License-Identifier: BSD-3-Clause
// Calls into a plugin's code, so that whatever it throws reaches the user as a sentence that names
// the plugin's hook.
#pragma once

#include "host/support/signals.h"
#include "pergola/error.h"

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>
#include <string_view>

namespace pergola::host {

// LibTorch's CPU allocator has no exception type of its own, only a text.
inline bool is_out_of_memory(const std::exception& error) {
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
         dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
         std::string_view(error.what()).find("can't allocate memory") != std::string_view::npos;
}

// Runs `call` and returns its result. `what` is the hook, "forward() of model 'pythia'". An Error
// passes through, because its sentence is for the user already, and so does Stopped; memory that
// ran out becomes an Error{kUnexpected}, any other exception an Error{kPlugin}. Both begin with
// `what`.
template <class Call>
auto guarded(const std::string& what, Call call) {
  try {
    return call();
  } catch (const Error&) {
    throw;
  } catch (const Stopped&) {
    throw;
  } catch (const std::exception& error) {
    const std::string text = error.what();  // LibTorch's messages go on with a stack trace
    if (is_out_of_memory(error)) {
      throw Error(ErrorKind::kUnexpected, what,
                  " ran out of memory: ", text.substr(0, text.find('\n')),
                  "; try a smaller training.batch_size or model");
    }
    throw Error(ErrorKind::kPlugin, what, " failed: ", text.substr(0, text.find('\n')),
                "; this is a matter for the plugin's author");
  } catch (...) {
    throw Error(ErrorKind::kPlugin, what,
                " failed with an exception that is no std::exception; this is a matter for the "
                "plugin's author");
  }
}

}  // namespace pergola::host
