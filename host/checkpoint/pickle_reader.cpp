// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/pickle_reader.h"

#include "host/checkpoint/pickle_bytes.h"
#include "host/checkpoint/pickle_globals.h"
#include "host/checkpoint/pickle_stack.h"
#include "pergola/error.h"

#include <array>
#include <bit>
#include <unordered_map>
#include <utility>

namespace pergola::host {
namespace {

using enum PickleKind;

constexpr std::size_t kMostMemo = 2'000'000;
// A state dict of 100,000 weights has some six million.
constexpr std::size_t kMostOperations = 50'000'000;
// One large value, recalled again and again, must not become many.
constexpr std::size_t kMostCopied = 10'000'000;

// Python's names (pickletools.py) are in the comments where they do not follow from the code.
class Machine {
 public:
  Machine(PickleBytes& bytes, PickleValues& values, PickledStorages& storages)
      : bytes_(bytes),
        storages_(storages),
        stack_(bytes, values),
        none_(values.add({kNone, std::monostate()})),
        true_(values.add({kBoolean, true})),
        false_(values.add({kBoolean, false})) {}

  const PickleValue* run() {
    for (std::size_t operations = 0;; ++operations) {
      const std::uint8_t op = bytes_.byte();
      if (op == '.') break;
      if (operations == kMostOperations) bytes_.refuse("its pickle has too many operations");
      if (!push_constant(op) && !push_text(op) && !build_sequence(op) && !build_mapping(op) &&
          !use_memo(op) && !make_object(op)) {
        bytes_.refuse_foreign(concat("operation 0x", hex(op)));
      }
    }
    const PickleValue* result = stack_.pop();
    if (!stack_.empty()) bytes_.refuse("its pickle ends with values left over");
    return result;
  }

 private:
  static std::string hex(std::uint8_t op) {
    constexpr const char* kDigits = "0123456789abcdef";
    return {kDigits[op >> 4], kDigits[op & 15]};
  }

  bool pushed(PickleValue* value) {
    stack_.push(value);
    return true;
  }
  template <class Data>
  bool push_new(PickleKind kind, Data data) {
    stack_.push_new({kind, std::move(data)});
    return true;
  }

  // A whole number of any length, two's complement.
  bool push_long(std::uint64_t size) {
    std::string digits = bytes_.text(size);
    if (size > sizeof(std::int64_t)) return push_new(kBigInteger, std::move(digits));
    std::uint64_t value = !digits.empty() && (digits.back() & 0x80) != 0 ? ~std::uint64_t{0} : 0;
    for (std::size_t i = digits.size(); i-- > 0;) {
      value = value << 8 | static_cast<unsigned char>(digits[i]);
    }
    return push_new(kInteger, static_cast<std::int64_t>(value));
  }

  bool push_constant(std::uint8_t op) {
    switch (op) {
      case 'N':
        return pushed(none_);
      case 0x88:
        return pushed(true_);
      case 0x89:
        return pushed(false_);
      case 'J':
        return push_new(kInteger, std::int64_t{static_cast<std::int32_t>(bytes_.number(4))});
      case 'K':
        return push_new(kInteger, static_cast<std::int64_t>(bytes_.number(1)));
      case 'M':
        return push_new(kInteger, static_cast<std::int64_t>(bytes_.number(2)));
      case 0x8a:  // LONG1
        return push_long(bytes_.number(1));
      case 0x8b:  // LONG4
        return push_long(bytes_.number(4));
      case 'G':
        return push_new(kFloat, std::bit_cast<double>(__builtin_bswap64(bytes_.number(8))));
      default:
        return false;
    }
  }

  // What differs is how wide the length before the text is.
  bool push_text(std::uint8_t op) {
    switch (op) {
      case 'U':   // SHORT_BINSTRING: a string of Python 2
      case 0x8c:  // SHORT_BINUNICODE
        return push_new(kText, bytes_.text(bytes_.number(1)));
      case 'T':  // BINSTRING
      case 'X':  // BINUNICODE
        return push_new(kText, bytes_.text(bytes_.number(4)));
      case 0x8d:  // BINUNICODE8
        return push_new(kText, bytes_.text(bytes_.number(8)));
      case 'C':  // SHORT_BINBYTES
        return push_new(kBytes, bytes_.text(bytes_.number(1)));
      case 'B':  // BINBYTES
        return push_new(kBytes, bytes_.text(bytes_.number(4)));
      case 0x8e:  // BINBYTES8
        return push_new(kBytes, bytes_.text(bytes_.number(8)));
      default:
        return false;
    }
  }

  bool build_sequence(std::uint8_t op) {
    switch (op) {
      case '(':
        stack_.push_mark();
        return true;
      case ')':
        return push_new(kTuple, PickleItems());
      case 't':
        return push_new(kTuple, stack_.pop_to_mark());
      case 0x85:  // TUPLE1
      case 0x86:
      case 0x87:
        return push_new(kTuple, stack_.pop_last(op - std::size_t{0x84}));
      case ']':
        return push_new(kList, PickleItems());
      case 'l':
        return push_new(kList, stack_.pop_to_mark());
      case 'a':
        stack_.append(kList, stack_.pop_last(1));
        return true;
      case 'e':
        stack_.append(kList, stack_.pop_to_mark());
        return true;
      case 0x8f:  // EMPTY_SET
        return push_new(kSet, PickleItems());
      case 0x90:  // ADDITEMS
        stack_.append(kSet, stack_.pop_to_mark());
        return true;
      case 0x91:  // FROZENSET
        return push_new(kSet, stack_.pop_to_mark());
      default:
        return false;
    }
  }

  bool build_mapping(std::uint8_t op) {
    switch (op) {
      case '}':
        return push_new(kDict, PickleItems());
      case 's':
        stack_.append(kDict, stack_.pop_last(2));
        return true;
      case 'u':
        stack_.append(kDict, stack_.pop_to_mark());
        return true;
      default:
        return false;
    }
  }

  bool use_memo(std::uint8_t op) {
    switch (op) {
      case 'q':
        return remember(bytes_.number(1));
      case 'r':
        return remember(bytes_.number(4));
      case 0x94:  // MEMOIZE
        return remember(memo_.size());
      case 'h':
        return recall(bytes_.number(1));
      case 'j':
        return recall(bytes_.number(4));
      default:
        return false;
    }
  }

  bool remember(std::uint64_t index) {
    PickleValue* value = stack_.top();
    if (memo_.size() == kMostMemo) bytes_.refuse("its pickle remembers too many values");
    memo_[index] = value;
    return true;
  }

  bool recall(std::uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) bytes_.refuse("its pickle recalls a value that is not there");
    return pushed(found->second);
  }

  bool make_object(std::uint8_t op) {
    switch (op) {
      case 0x80:  // PROTO
        if (bytes_.number(1) > 5) bytes_.refuse("its pickle is of a protocol above 5");
        return true;
      case 0x95:  // FRAME: a hint for readers that work in pieces
        static_cast<void>(bytes_.number(8));
        return true;
      case '0':
        static_cast<void>(stack_.pop());
        return true;
      case '1':
        static_cast<void>(stack_.pop_to_mark());
        return true;
      case 'c': {
        const std::string module = bytes_.line();
        push_global(module, bytes_.line());
        return true;
      }
      case 0x93: {  // STACK_GLOBAL
        const PickleItems names = stack_.pop_last(2);
        if (!names[0]->is(kText) || !names[1]->is(kText)) bytes_.refuse("a name in it is no text");
        push_global(names[0]->text(), names[1]->text());
        return true;
      }
      case 'R':
        return call();
      case 'b':
        return set_state();
      case 'Q':
        return refer_to_storage();
      default:
        return false;
    }
  }

  void push_global(const std::string& module, const std::string& name) {
    const std::string full = module + '.' + name;
    const PickleGlobal* global = find_global(full);
    if (global == nullptr) bytes_.refuse_foreign(full);
    push_new(kGlobal, global);
  }

  void push_result(const std::string& name, CallResult result) {
    if (!result.problem.empty()) bytes_.refuse(concat(name, " is given ", result.problem));
    if (result.same != nullptr) return stack_.push(result.same);
    stack_.push_new(std::move(*result.value));
  }

  bool call() {
    const PickleItems both = stack_.pop_last(2);
    if (!both[0]->is(kGlobal) || !both[1]->is(kTuple)) {
      bytes_.refuse(concat("its pickle calls ", kind_text(both[0]->kind)));
    }
    const PickleGlobal& global = both[0]->global();
    for (const PickleValue* argument : both[1]->items()) {
      copied_ += size_of(*argument);
      if (copied_ > kMostCopied) bytes_.refuse("its pickle makes too much of what it has");
    }
    push_result(global.name, call_global(global, both[1]->items()));
    return true;
  }

  // How much of a value a call may copy.
  static std::size_t size_of(const PickleValue& value) {
    if (const auto* items = std::get_if<PickleItems>(&value.data)) return 1 + items->size();
    if (const auto* text = std::get_if<std::string>(&value.data)) return 1 + text->size();
    return 1;
  }

  // The attributes of an OrderedDict: a state dict has its _metadata there.
  bool set_state() {
    const PickleValue* state = stack_.pop();
    static_cast<void>(stack_.top(kDict));
    if (!state->is(kDict)) bytes_.refuse("its pickle gives a dict a state that is no dict");
    return true;
  }

  bool refer_to_storage() {
    push_result("a storage", make_storage(*stack_.pop()));
    const StorageView& view = stack_.top()->storage();
    const PickledStorage storage{view.storage_bytes,
                                 static_cast<std::int64_t>(c10::elementSize(view.dtype))};
    const auto [known, is_new] = storages_.emplace(view.key, storage);
    if (!is_new && known->second.bytes != storage.bytes) {
      bytes_.refuse(concat("storage '", view.key, "' has two sizes"));
    }
    return true;
  }

  PickleBytes& bytes_;
  PickledStorages& storages_;
  PickleStack stack_;
  std::unordered_map<std::uint64_t, PickleValue*> memo_;
  std::size_t copied_ = 0;
  // Of a byte each in the pickle, so they must cost nothing.
  PickleValue* none_;
  PickleValue* true_;
  PickleValue* false_;
};

}  // namespace

const PickleValue* read_pickle(const InputFile& file, ByteRange& range, PickleValues& values,
                               PickledStorages& storages) {
  PickleBytes bytes(file, range);
  const PickleValue* value = Machine(bytes, values, storages).run();
  range.begin = bytes.position();
  return value;
}

}  // namespace pergola::host
