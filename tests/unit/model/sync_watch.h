// SPDX-License-Identifier: BSD-3-Clause
// What makes the host wait for the device, found on a machine without one: the operators of ATen
// whose result, or the shape of it, has to reach the host.
#pragma once

#include <ATen/record_function.h>

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

namespace pergola::test {

// While it lives, notes such operators on this thread. One at a time on a thread.
//
//   const SyncWatch watch;
//   metric.update(batch, output);
//   EXPECT_THAT(watch.seen(), IsEmpty());
//
// A copy to the host shows on a GPU only; running the same on tensors of device "meta", which have
// no data at all, finds that too: it throws. So do there operators that need no data but have no
// meta kernel in C++: where (take masked_fill) and logical_and (take &).
class SyncWatch {
 public:
  SyncWatch() {
    names().clear();
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback(&SyncWatch::note).scopes({at::RecordScope::FUNCTION}));
  }
  SyncWatch(const SyncWatch&) = delete;
  SyncWatch& operator=(const SyncWatch&) = delete;
  ~SyncWatch() { at::removeCallback(handle_); }

  // Their names, in the order of the calls.
  [[nodiscard]] const std::vector<std::string>& seen() const { return names(); }

 private:
  static std::vector<std::string>& names() {
    thread_local std::vector<std::string> seen;
    return seen;
  }
  static std::unique_ptr<at::ObserverContext> note(const at::RecordFunction& function) {
    static const std::unordered_set<std::string> waits = {
        "aten::_local_scalar_dense",  // item(), and whatever asks for a number
        "aten::nonzero",              // also index() with a mask
        "aten::masked_select",
        "aten::equal",
        "aten::is_nonzero",
        "aten::_unique2",
        "aten::unique_dim",
        "aten::unique_consecutive",
        "aten::bincount"};
    if (waits.count(function.name()) > 0) names().emplace_back(function.name());
    return nullptr;
  }

  at::CallbackHandle handle_;
};

}  // namespace pergola::test
