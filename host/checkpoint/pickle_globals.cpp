// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/pickle_globals.h"

#include "pergola/error.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace pergola::host {
namespace {

using enum PickleKind;

constexpr std::size_t kMostKeyBytes = 100;   // PyTorch's are numbers
constexpr std::size_t kMostDimensions = 64;  // LibTorch's iterators take no more
// A tensor that repeats what its storage has (a stride of 0) may be a little larger than the
// storage; one of 2^60 elements over a storage of one is made to fill the memory of who copies it.
constexpr std::int64_t kMostExpandedBytes = std::int64_t{1} << 26;

using Globals = std::map<std::string, PickleGlobal, std::less<>>;

constexpr TorchDtype kTorchDtypes[] = {
    {"float64", "DoubleStorage", at::kDouble},
    {"float32", "FloatStorage", at::kFloat},
    {"float16", "HalfStorage", at::kHalf},
    {"bfloat16", "BFloat16Storage", at::kBFloat16},
    {"int64", "LongStorage", at::kLong},
    {"int32", "IntStorage", at::kInt},
    {"int16", "ShortStorage", at::kShort},
    {"int8", "CharStorage", at::kChar},
    {"uint8", "ByteStorage", at::kByte},
    {"bool", "BoolStorage", at::kBool},
    {"complex128", "ComplexDoubleStorage", at::kComplexDouble},
    {"complex64", "ComplexFloatStorage", at::kComplexFloat},
    {"complex32", nullptr, at::kComplexHalf},
    {"uint64", nullptr, at::kUInt64},
    {"uint32", nullptr, at::kUInt32},
    {"uint16", nullptr, at::kUInt16},
    {"float8_e4m3fn", nullptr, at::kFloat8_e4m3fn},
    {"float8_e5m2", nullptr, at::kFloat8_e5m2},
    {"float8_e4m3fnuz", nullptr, at::kFloat8_e4m3fnuz},
    {"float8_e5m2fnuz", nullptr, at::kFloat8_e5m2fnuz},
    {"float8_e8m0fnu", nullptr, at::kFloat8_e8m0fnu},
    {"float4_e2m1fn_x2", nullptr, at::kFloat4_e2m1fn_x2},
    {"bits16", nullptr, at::kBits16},
    {"bits8", nullptr, at::kBits8},
    {"bits4x2", nullptr, at::kBits4x2},
    {"bits2x4", nullptr, at::kBits2x4},
    {"bits1x8", nullptr, at::kBits1x8},
};

void add_dtypes(Globals& globals) {
  for (const TorchDtype& dtype : kTorchDtypes) {
    const std::string name = concat("torch.", dtype.name);
    globals[name] = {name, GlobalKind::kDtype, dtype.type};
    if (dtype.storage == nullptr) continue;
    const std::string storage = concat("torch.", dtype.storage);
    globals[storage] = {storage, GlobalKind::kStorageType, dtype.type};
  }
}

Globals make_globals() {
  Globals globals;
  add_dtypes(globals);
  const std::pair<const char*, GlobalKind> others[] = {
      {"collections.OrderedDict", GlobalKind::kOrderedDict},
      {"__builtin__.set", GlobalKind::kSet},
      {"__builtin__.frozenset", GlobalKind::kSet},
      {"__builtin__.bytes", GlobalKind::kBytes},
      {"builtins.set", GlobalKind::kSet},
      {"builtins.frozenset", GlobalKind::kSet},
      {"builtins.bytes", GlobalKind::kBytes},
      {"_codecs.encode", GlobalKind::kEncode},
      {"torch.Size", GlobalKind::kSize},
      {"torch.device", GlobalKind::kDevice},
      {"torch.UntypedStorage", GlobalKind::kStorageType},
      {"torch.storage.UntypedStorage", GlobalKind::kStorageType},
      {"torch.storage._UntypedStorage", GlobalKind::kStorageType},
      {"torch._utils._rebuild_tensor", GlobalKind::kTensor},
      {"torch._utils._rebuild_tensor_v2", GlobalKind::kTensor},
      {"torch._utils._rebuild_tensor_v3", GlobalKind::kWideTensor},
      {"torch._utils._rebuild_parameter", GlobalKind::kParameter},
      {"torch._utils._rebuild_parameter_with_state", GlobalKind::kParameter},
  };
  for (const auto& [name, kind] : others) globals[name] = {name, kind};
  return globals;
}

template <class... Parts>
CallResult problem(const Parts&... parts) {
  return {std::nullopt, nullptr, concat(parts...)};
}

// Each of `items` as a whole number from 0 on; nothing when one is not.
std::optional<std::vector<std::int64_t>> numbers_of(const PickleValue& items) {
  if (!items.is(kTuple)) return std::nullopt;
  std::vector<std::int64_t> numbers;
  for (const PickleValue* item : items.items()) {
    if (!item->is(kInteger) || item->integer() < 0) return std::nullopt;
    numbers.push_back(item->integer());
  }
  return numbers;
}

// Why `tensor` cannot be a tensor in [view.begin, view.end) bytes of its storage; "" when it can.
std::string misfit(const PickledTensor& tensor, const StorageView& view) {
  const auto width = static_cast<std::int64_t>(c10::elementSize(tensor.dtype));
  std::int64_t bytes = width;  // LibTorch multiplies the sizes even of an empty tensor
  std::int64_t last = tensor.offset;
  bool empty = false;
  bool overflow = false;
  for (std::size_t i = 0; i < tensor.sizes.size(); ++i) {
    const std::int64_t size = tensor.sizes[i];
    std::int64_t reach = 0;
    overflow |= __builtin_mul_overflow(bytes, std::max<std::int64_t>(size, 1), &bytes);
    overflow |=
        __builtin_mul_overflow(std::max<std::int64_t>(size, 1) - 1, tensor.strides[i], &reach);
    overflow |= __builtin_add_overflow(last, reach, &last);
    empty |= size == 0;
  }
  std::int64_t end = 0;
  overflow |= __builtin_add_overflow(empty ? tensor.offset : last, empty ? 0 : 1, &end) ||
              __builtin_mul_overflow(end, width, &end);
  if (overflow) return "its sizes or strides need more than 2^63-1 bytes";
  if (end > view.end) {
    return concat("it reaches to byte ", end, " of storage '", view.key, "', which ends at ",
                  view.end);
  }
  if (!empty && bytes > view.storage_bytes && bytes > kMostExpandedBytes) {
    return concat("it makes ", bytes, " bytes of the ", view.storage_bytes, " of storage '",
                  view.key, "'");
  }
  return "";
}

// A wide tensor has its dtype behind its hooks, and both may have a table of marks at the end.
CallResult make_tensor(const PickleGlobal& global, const PickleItems& arguments) {
  const bool wide = global.kind == GlobalKind::kWideTensor;
  if (arguments.size() < (wide ? 7U : 4U) || arguments.size() > (wide ? 8U : 7U)) {
    return problem(arguments.size(), " arguments");
  }
  if (!arguments[0]->is(kStorage)) return problem(kind_text(arguments[0]->kind), " for a storage");
  const StorageView& view = arguments[0]->storage();
  const auto sizes = numbers_of(*arguments[2]);
  const auto strides = numbers_of(*arguments[3]);
  if (!arguments[1]->is(kInteger) || arguments[1]->integer() < 0 || !sizes || !strides ||
      sizes->size() != strides->size()) {
    return problem("an offset, sizes or strides that are none");
  }
  if (sizes->size() > kMostDimensions) return problem(sizes->size(), " dimensions");
  auto tensor = std::make_unique<PickledTensor>();
  tensor->storage = view.key;
  tensor->dtype = view.dtype;
  if (wide) {
    if (!arguments[6]->is(kGlobal) || arguments[6]->global().kind != GlobalKind::kDtype) {
      return problem("no dtype");
    }
    tensor->dtype = arguments[6]->global().dtype;
  }
  const PickleValue* marks = arguments.size() == (wide ? 8U : 7U) ? arguments.back() : nullptr;
  if (marks != nullptr && (!marks->is(kDict) || !marks->items().empty())) {
    return problem("a conjugated or negated view; save tensor.resolve_conj() or resolve_neg()");
  }
  const auto width = static_cast<std::int64_t>(c10::elementSize(tensor->dtype));
  if (view.begin % width != 0 ||
      __builtin_add_overflow(view.begin / width, arguments[1]->integer(), &tensor->offset)) {
    return problem("an offset that is none");
  }
  tensor->sizes = *sizes;
  tensor->strides = *strides;
  if (std::string why = misfit(*tensor, view); !why.empty()) return problem("a tensor: ", why);
  return {PickleValue{kTensor, std::move(tensor)}, nullptr, ""};
}

// Python writes bytes in protocol 2 as a text of the characters U+0000 to U+00FF.
CallResult encode_latin1(const PickleItems& arguments) {
  if (arguments.size() != 2 || !arguments[0]->is(kText)) return problem("no text");
  std::string bytes;
  const std::string& text = arguments[0]->text();
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto first = static_cast<unsigned char>(text[i]);
    if (first < 0x80) {
      bytes += text[i];
    } else if ((first == 0xc2 || first == 0xc3) && i + 1 < text.size()) {
      bytes += static_cast<char>((first & 3) << 6 | (text[++i] & 0x3f));
    } else {
      return problem("a text that is not Latin-1");
    }
  }
  return {PickleValue{kBytes, std::move(bytes)}, nullptr, ""};
}

// A list or tuple of pairs, if any: Python 2 writes an OrderedDict that way.
CallResult make_dict(const PickleItems& arguments) {
  PickleItems items;
  if (arguments.size() > 1) return problem(arguments.size(), " arguments");
  if (!arguments.empty()) {
    if (!arguments[0]->is(kList) && !arguments[0]->is(kTuple)) return problem("no list of pairs");
    for (PickleValue* pair : arguments[0]->items()) {
      if ((!pair->is(kList) && !pair->is(kTuple)) || pair->items().size() != 2) {
        return problem("no list of pairs");
      }
      items.insert(items.end(), pair->items().begin(), pair->items().end());
    }
  }
  return {PickleValue{kDict, std::move(items)}, nullptr, ""};
}

CallResult copy_items(const PickleItems& arguments, PickleKind kind) {
  if (arguments.size() > 1) return problem(arguments.size(), " arguments");
  if (arguments.empty()) return {PickleValue{kind, PickleItems()}, nullptr, ""};
  if (!arguments[0]->is(kList) && !arguments[0]->is(kTuple)) return problem("no list");
  return {PickleValue{kind, arguments[0]->items()}, nullptr, ""};
}

}  // namespace

const TorchDtype* find_torch_dtype(at::ScalarType type) {
  const auto* const found = std::ranges::find(kTorchDtypes, type, &TorchDtype::type);
  return found == std::end(kTorchDtypes) ? nullptr : found;
}

const PickleGlobal* find_global(std::string_view name) {
  static const Globals kGlobals = make_globals();
  const auto found = kGlobals.find(name);
  return found == kGlobals.end() ? nullptr : &found->second;
}

CallResult call_global(const PickleGlobal& global, const PickleItems& arguments) {
  switch (global.kind) {
    case GlobalKind::kOrderedDict:
      return make_dict(arguments);
    case GlobalKind::kSet:
      return copy_items(arguments, kSet);
    case GlobalKind::kSize:
      return copy_items(arguments, kTuple);
    case GlobalKind::kBytes:
      if (!arguments.empty()) return problem("arguments");
      return {PickleValue{kBytes, std::string()}, nullptr, ""};
    case GlobalKind::kEncode:
      return encode_latin1(arguments);
    case GlobalKind::kDevice:
      if (arguments.empty() || !arguments[0]->is(kText)) return problem("no name of a device");
      return {PickleValue{kDevice, arguments[0]->text()}, nullptr, ""};
    case GlobalKind::kTensor:
    case GlobalKind::kWideTensor:
      return make_tensor(global, arguments);
    case GlobalKind::kParameter:
      if (arguments.empty() || !arguments[0]->is(kTensor)) return problem("no tensor");
      return {std::nullopt, arguments[0], ""};
    case GlobalKind::kStorageType:
    case GlobalKind::kDtype:
      break;
  }
  return problem("a call, and it is no function");
}

CallResult make_storage(const PickleValue& id) {
  const auto is_count = [](const PickleValue& value) {
    return value.is(kInteger) && value.integer() >= 0;
  };
  if (!id.is(kTuple)) return problem("a reference that is no tuple");
  const PickleItems& items = id.items();
  if (items.size() < 5 || items.size() > 6 || !items[0]->is(kText) || !items[2]->is(kText)) {
    return problem("a reference that is not ('storage', type, key, location, count)");
  }
  if (items[0]->text() != "storage") return problem("a reference that is of no storage");
  if (items[2]->text().size() > kMostKeyBytes) return problem("a key that is too long");
  if (!items[1]->is(kGlobal) || items[1]->global().kind != GlobalKind::kStorageType ||
      !is_count(*items[4])) {
    return problem("a storage without type or count");
  }
  auto view = std::make_unique<StorageView>();
  view->key = items[2]->text();
  view->dtype = items[1]->global().dtype;
  const auto width = static_cast<std::int64_t>(c10::elementSize(view->dtype));
  if (__builtin_mul_overflow(items[4]->integer(), width, &view->storage_bytes)) {
    return problem("a storage of more than 2^63-1 bytes");
  }
  view->end = view->storage_bytes;
  if (items.size() == 6 && !items[5]->is(kNone)) {
    if (!items[5]->is(kTuple) || items[5]->items().size() != 3)
      return problem("a view that is none");
    const PickleItems& part = items[5]->items();
    std::int64_t bytes = 0;
    if (!is_count(*part[1]) || !is_count(*part[2]) ||
        __builtin_mul_overflow(part[1]->integer(), width, &view->begin) ||
        __builtin_mul_overflow(part[2]->integer(), width, &bytes) ||
        __builtin_add_overflow(view->begin, bytes, &view->end) || view->end > view->storage_bytes) {
      return problem("a view beyond storage '", view->key, "'");
    }
  }
  return {PickleValue{kStorage, std::move(view)}, nullptr, ""};
}

}  // namespace pergola::host
