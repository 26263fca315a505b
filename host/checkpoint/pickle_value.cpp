// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/pickle_value.h"

namespace pergola::host {

using enum PickleKind;

std::string_view kind_text(PickleKind kind) noexcept {
  switch (kind) {
    case kNone:
      return "None";
    case kBoolean:
      return "a bool";
    case kInteger:
    case kBigInteger:
      return "an integer";
    case kFloat:
      return "a float";
    case kText:
      return "a string";
    case kBytes:
      return "bytes";
    case kTuple:
      return "a tuple";
    case kList:
      return "a list";
    case kDict:
      return "a dict";
    case kSet:
      return "a set";
    case kDevice:
      return "a device";
    case kGlobal:
      return "a name";
    case kStorage:
      return "a storage";
    case kTensor:
      return "a tensor";
  }
  return "";
}

const PickleValue* PickleValue::find(std::string_view key) const {
  if (!is(kDict)) return nullptr;
  for (std::size_t i = 0; i + 1 < items().size(); i += 2) {
    if (items()[i]->is(kText) && items()[i]->text() == key) return items()[i + 1];
  }
  return nullptr;
}

}  // namespace pergola::host
