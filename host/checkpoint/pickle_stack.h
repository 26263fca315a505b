// SPDX-License-Identifier: BSD-3-Clause
// The stack of the machine that reads a pickle: values, and marks between them below which nothing
// is taken. Whatever a pickle asks of it that cannot be is refused. Not thread-safe.
#pragma once

#include "host/checkpoint/pickle_bytes.h"
#include "host/checkpoint/pickle_value.h"

#include <cstddef>
#include <utility>
#include <vector>

namespace pergola::host {

class PickleStack {
 public:
  // Borrows both.
  PickleStack(const PickleBytes& bytes, PickleValues& values) : bytes_(bytes), values_(values) {}

  void push(PickleValue* value);
  void push_new(PickleValue value);
  void push_mark();

  [[nodiscard]] PickleValue* pop();
  [[nodiscard]] PickleItems pop_last(std::size_t count);
  [[nodiscard]] PickleItems pop_to_mark();

  // The value on top, which stays there and is of this kind.
  [[nodiscard]] PickleValue& top(PickleKind kind) const;
  [[nodiscard]] PickleValue* top() const;
  // Adds `items` to the list, set or dict on top. All together they are limited: a few bytes can
  // add one value many times.
  void append(PickleKind kind, const PickleItems& items);

  [[nodiscard]] bool empty() const noexcept { return values_on_stack_.empty() && marks_.empty(); }

 private:
  [[nodiscard]] std::size_t available() const noexcept {
    return values_on_stack_.size() - (marks_.empty() ? 0 : marks_.back());
  }

  const PickleBytes& bytes_;
  PickleValues& values_;
  PickleItems values_on_stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::size_t appended_ = 0;        // items, by append()
};

}  // namespace pergola::host
