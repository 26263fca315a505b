// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/torch_layout.h"

#include "host/checkpoint/torch_file.h"
#include "pergola/error.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

using enum PickleKind;
namespace fs = std::filesystem;

constexpr std::size_t kMostShown = 30;       // keys in a message
constexpr std::size_t kMostTextBytes = 200;  // of what stands beside the weights

// A key of the top level that the weights may be behind.
struct Layout {
  const char* key;
  const char* mark;  // another key that says who wrote it
  const char* written_by;
  const char* otherwise;
};
constexpr Layout kLayouts[] = {
    {"model", "num_updates", "MMF checkpoint", "checkpoint"},
    {"state_dict", "pytorch-lightning_version", "Lightning checkpoint", "checkpoint"},
};

std::string describe(const PickleValue& value) {
  if (!value.is(kDict)) return std::string(kind_text(value.kind));
  return concat("a dict of ", value.items().size() / 2);
}

// "'epoch' (an integer), 'net' (a dict of 12)"
std::string list_keys(const PickleValue& dict) {
  std::string list;
  const PickleItems& items = dict.items();
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    if (i / 2 == kMostShown) {
      list += concat(" and ", items.size() / 2 - kMostShown, " more");
      break;
    }
    const std::string name = items[i]->is(kText)
                                 ? "'" + items[i]->text().substr(0, kMostTextBytes) + "'"
                                 : std::string(kind_text(items[i]->kind));
    list += concat(i == 0 ? "" : ", ", name, " (", describe(*items[i + 1]), ")");
  }
  return list;
}

bool is_state_dict(const PickleValue& value) {
  if (!value.is(kDict) || value.items().empty()) return false;
  const PickleItems& items = value.items();
  for (std::size_t i = 0; i < items.size(); i += 2) {
    if (!items[i]->is(kText) || !items[i + 1]->is(kTensor)) return false;
  }
  return true;
}

// The key of the one member that is a state dict, such as 'model_state_dict' or 'net'; null where
// there is none or several.
const PickleValue* only_state_dict_key(const PickleValue& root) {
  if (!root.is(kDict)) return nullptr;
  const PickleValue* found = nullptr;
  const PickleItems& items = root.items();
  for (std::size_t i = 0; i < items.size(); i += 2) {
    if (!is_state_dict(*items[i + 1])) continue;
    if (found != nullptr || !items[i]->is(kText)) return nullptr;
    found = items[i];
  }
  return found;
}

// The dict of tensors; `format` says what it is.
const PickleValue& find_weights(const fs::path& path, const TorchFile& file, std::string& format) {
  const PickleValue& root = file.root();
  for (const Layout& layout : kLayouts) {
    const PickleValue* weights = root.find(layout.key);
    if (weights == nullptr || !is_state_dict(*weights)) continue;
    const bool known = root.find(layout.mark) != nullptr;
    format = concat(known ? layout.written_by : layout.otherwise, " (its '", layout.key, "'), ",
                    file.container());
    return *weights;
  }
  if (is_state_dict(root)) {
    format = concat("state dict, ", file.container());
    return root;
  }
  if (const PickleValue* key = only_state_dict_key(root)) {
    format = concat("checkpoint (its '", key->text().substr(0, kMostTextBytes), "'), ",
                    file.container());
    return *root.find(key->text());
  }
  throw Error(ErrorKind::kCheckpoint, path.string(), " is a ", file.container(),
              " without weights in a place that is known; its top level is ", describe(root),
              root.is(kDict) && !root.items().empty() ? ": " + list_keys(root) : "",
              "; expected names and tensors alone, or these behind 'model' (MMF), 'state_dict' "
              "(Lightning) or one key: in Python, save the state dict alone");
}

// What stands beside the weights and fits a line each.
Value metadata_of(const PickleValue& root, const PickleValue& weights) {
  Value metadata{Value::Table{}};
  if (&root == &weights) return metadata;
  const PickleItems& items = root.items();
  for (std::size_t i = 0; i < items.size(); i += 2) {
    if (!items[i]->is(kText) || items[i]->text().size() > kMostTextBytes) continue;
    const PickleValue& value = *items[i + 1];
    Value& slot = metadata[items[i]->text()];
    if (value.is(kBoolean)) slot = value.boolean();
    if (value.is(kInteger)) slot = value.integer();
    if (value.is(kFloat)) slot = std::get<double>(value.data);
    if (value.is(kText) && value.text().size() <= kMostTextBytes) slot = value.text();
    if (slot.is_null()) metadata.as_table().erase(items[i]->text());
  }
  return metadata;
}

}  // namespace

bool is_torch_file(const InputFile& file) { return TorchFile::is_one(file); }

WeightsFile open_torch_weights(const fs::path& path) {
  // Shared, because a std::function is copied.
  const auto file = std::make_shared<TorchFile>(path);
  WeightsFile weights;
  const PickleValue& dict = find_weights(path, *file, weights.format);
  const PickleItems& items = dict.items();
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < items.size(); i += 2) {
    const std::string& name = items[i]->text();
    if (!names.insert(name).second) {
      throw Error(ErrorKind::kCheckpoint, path.string(), " has the weight '", name,
                  "' twice; save it again");
    }
    const PickledTensor& tensor = items[i + 1]->tensor();
    weights.tensors.push_back({name, tensor.dtype, tensor.sizes});
  }
  weights.metadata = metadata_of(file->root(), dict);
  weights.load = [file, &items] {  // of `file`
    StateDict state;
    for (std::size_t i = 0; i < items.size(); i += 2) {
      state.emplace_back(items[i]->text(), file->load(items[i + 1]->tensor()));
    }
    return state;
  };
  return weights;
}

}  // namespace pergola::host
