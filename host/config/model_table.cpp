// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/model_table.h"

#include "host/config/interpolate.h"
#include "host/config/merge.h"
#include "pergola/config.h"

#include <utility>

namespace pergola::host {

void expand_model_table(const Value& root, const SavedModelReader& read, Value& user,
                        std::vector<Override>& overrides) {
  const Value table = resolve_references_at(root, "model");
  if (!table.is_table()) return;
  const Config model(table, "model");
  model.allow_only({"type", "pretrained"});
  const auto text = [&](const char* key) {
    auto value = model.get<std::string>(key);
    if (value.empty()) throw model.error(key, "is empty; leave it out, or say which");
    return value;
  };
  std::string path = text("pretrained");
  if (root.find("checkpoint.pretrained") != nullptr) {
    throw model.error("pretrained", "says what checkpoint.pretrained says, too; leave out one");
  }
  Value layer = Value::Table{};
  if (model.has("type")) {
    layer["model"] = text("type");
  } else if (!read) {
    throw model.error("type", "is missing; it names the model");
  } else {
    const Value run_dir = resolve_references_at(root, "env.save_dir");
    const SavedModel saved = read(path, run_dir.is_string() ? run_dir.as_string() : "");
    layer["model"] = saved.name;
    layer["model_config"] = Value::Table{{saved.name, saved.config}};
    path = saved.checkpoint.string();
  }
  layer["checkpoint"] = Value::Table{{"pretrained", escape_references(path)}};
  set_origins(layer, table.origin());
  user.as_table().erase("model");
  std::erase_if(overrides, [](const Override& o) { return o.path[0] == Override::Step("model"); });
  merge(layer, user);
  user = std::move(layer);
}

}  // namespace pergola::host
