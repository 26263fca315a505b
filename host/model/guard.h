// SPDX-License-Identifier: BSD-3-Clause
// Calls into a plugin's code, so that whatever it throws reaches the user as a sentence that names
// the plugin's hook.
#pragma once

#include "pergola/error.h"

#include <exception>
#include <string>

namespace pergola::host {

// Runs `call` and returns its result. `what` is the hook, "forward() of model 'pythia'". An Error
// passes through, because its sentence is for the user already; any other exception becomes an
// Error{kPlugin} that begins with `what`.
template <class Call>
auto guarded(const std::string& what, Call call) {
  try {
    return call();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    const std::string text = error.what();  // LibTorch's messages go on with a stack trace
    throw Error(ErrorKind::kPlugin, what, " failed: ", text.substr(0, text.find('\n')),
                "; this is a matter for the plugin's author");
  } catch (...) {
    throw Error(ErrorKind::kPlugin, what,
                " failed with an exception that is no std::exception; this is a matter for the "
                "plugin's author");
  }
}

}  // namespace pergola::host
