// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/pickle_stack.h"

#include "pergola/error.h"

namespace pergola::host {
namespace {

// Python's own writer has at most 1,000 items of a container on its stack, and a tuple at once.
constexpr std::size_t kMostStack = 1'000'000;
constexpr std::size_t kMostMarks = 100'000;
constexpr std::size_t kMostValues = 2'000'000;
constexpr std::size_t kMostAppended = 10'000'000;
constexpr const char* kNothingThere = "its pickle takes a value that is not there";

}  // namespace

void PickleStack::push(PickleValue* value) {
  if (values_on_stack_.size() == kMostStack) bytes_.refuse("its pickle needs too large a stack");
  values_on_stack_.push_back(value);
}

void PickleStack::push_new(PickleValue value) {
  if (values_.size() >= kMostValues) bytes_.refuse("its pickle has too many values");
  push(values_.add(std::move(value)));
}

void PickleStack::push_mark() {
  if (marks_.size() == kMostMarks) bytes_.refuse("its pickle is nested too deep");
  marks_.push_back(values_on_stack_.size());
}

PickleValue* PickleStack::pop() {
  PickleValue* value = top();
  values_on_stack_.pop_back();
  return value;
}

PickleItems PickleStack::pop_last(std::size_t count) {
  if (available() < count) bytes_.refuse(kNothingThere);
  const auto first = values_on_stack_.end() - static_cast<std::ptrdiff_t>(count);
  PickleItems items(first, values_on_stack_.end());
  values_on_stack_.erase(first, values_on_stack_.end());
  return items;
}

PickleItems PickleStack::pop_to_mark() {
  if (marks_.empty()) bytes_.refuse("its pickle takes a mark that is not there");
  PickleItems items = pop_last(available());
  marks_.pop_back();
  return items;
}

PickleValue* PickleStack::top() const {
  if (available() == 0) bytes_.refuse(kNothingThere);
  return values_on_stack_.back();
}

PickleValue& PickleStack::top(PickleKind kind) const {
  PickleValue* value = top();
  if (!value->is(kind)) {
    bytes_.refuse(concat("its pickle puts something into ", kind_text(value->kind),
                         " as if it were ", kind_text(kind)));
  }
  return *value;
}

void PickleStack::append(PickleKind kind, const PickleItems& items) {
  if (kind == PickleKind::kDict && items.size() % 2 != 0) {
    bytes_.refuse("its pickle has a key without a value");
  }
  PickleItems& all = top(kind).items();
  appended_ += items.size();
  if (appended_ > kMostAppended) bytes_.refuse("its pickle has too many items");
  all.insert(all.end(), items.begin(), items.end());
}

}  // namespace pergola::host
