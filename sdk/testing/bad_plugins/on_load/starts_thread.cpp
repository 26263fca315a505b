// SPDX-License-Identifier: BSD-3-Clause
// Starts a thread when it is loaded that never ends. It goes on while the host clears up.
#include <chrono>
#include <thread>

namespace {

struct Starter {
  Starter() {
    std::thread([] {
      while (true) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }).detach();
  }
};

const Starter starter;

}  // namespace
