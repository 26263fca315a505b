// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/aliases.h"

#include "pergola/error.h"

#include <algorithm>
#include <set>
#include <utility>

namespace pergola::host {
namespace {

// The table of the section's names that the file has, or null.
const Value::Table* names_of(const Value& user, const std::string& section) {
  const Value* value = user.find(section);
  return value != nullptr && value->is_table() ? &value->as_table() : nullptr;
}

bool is_in(const Override& change, const std::string& section) {
  return change.path.front() == Override::Step(section);
}

// The name behind the section's, or null.
const std::string* name_in(const Override& change) {
  return change.path.size() < 2 ? nullptr : std::get_if<std::string>(&change.path[1]);
}

// Calls visit(name, value) for all that sets a name as a whole, in the order of the layers, and
// visit(name, null) for what sets a part of it.
template <class Visit>
void for_each_name(const std::string& section, const Value& user,
                   const std::vector<Override>& overrides, const Visit& visit) {
  const auto visit_all = [&](const Value::Table& names) {
    for (const auto& [name, value] : names) visit(name, &value);
  };
  if (const Value::Table* names = names_of(user, section)) visit_all(*names);
  for (const Override& change : overrides) {
    if (!is_in(change, section)) continue;
    if (change.path.size() == 1 && change.value.is_table()) visit_all(change.value.as_table());
    const std::string* name = name_in(change);
    if (name != nullptr) visit(*name, change.path.size() == 2 ? &change.value : nullptr);
  }
}

// The names from an alias's target to the table at the end.
std::vector<std::string> chain_of(const std::string& section, const std::string& alias,
                                  const Aliases& aliases, const std::set<std::string>& set) {
  std::vector<std::string> chain = {alias};
  for (auto at = aliases.find(alias); at != aliases.end(); at = aliases.find(chain.back())) {
    const std::string& next = at->second.as_string();
    const bool is_circle = std::ranges::find(chain, next) != chain.end();
    if (is_circle || !set.contains(next)) {
      const std::string& origin = at->second.origin();
      throw Error(ErrorKind::kConfig, section, ".", chain.back(), " = \"", next, "\"",
                  origin.empty() ? "" : " (" + origin + ")", " is an alias of ",
                  is_circle ? "itself" : "a table that is not set",
                  "; expected the name of another table in ", section);
    }
    chain.push_back(next);
  }
  chain.erase(chain.begin());
  return chain;
}

// Who gets what is set for a name.
class Heirs {
 public:
  Heirs(const std::string& section, const Aliases& aliases, const std::set<std::string>& set,
        const std::function<bool(const std::string&)>& is_known)
      : aliases_(aliases) {
    for (const auto& [alias, target] : aliases) {
      const std::string& name = target.as_string();
      if (!is_known(name)) gone_.insert(name);
    }
    for (const auto& [alias, target] : aliases) {
      for (const std::string& name : chain_of(section, alias, aliases, set)) {
        if (!gone_.contains(alias)) heirs_[name].push_back(alias);
      }
    }
  }

  [[nodiscard]] bool is_alias(const std::string& name) const { return aliases_.contains(name); }
  // The names to put in the place of this one.
  [[nodiscard]] std::vector<std::string> of(const std::string& name) const {
    std::vector<std::string> names;
    if (!gone_.contains(name)) names.push_back(name);
    const auto heirs = heirs_.find(name);
    if (heirs != heirs_.end())
      names.insert(names.end(), heirs->second.begin(), heirs->second.end());
    return names;
  }

 private:
  const Aliases& aliases_;
  std::map<std::string, std::vector<std::string>> heirs_;
  std::set<std::string> gone_;
};

Value::Table inherited(const Value::Table& before, const Heirs& heirs) {
  Value::Table after;
  for (const auto& [name, value] : before) {
    // A string that is no alias is one that a later layer replaces.
    if (heirs.is_alias(name) || value.is_string()) continue;
    for (const std::string& heir : heirs.of(name)) after[heir] = value;
  }
  return after;
}

}  // namespace

Aliases find_aliases(const std::string& section, const Value& user,
                     const std::vector<Override>& overrides) {
  Aliases aliases;
  for_each_name(section, user, overrides, [&](const std::string& name, const Value* value) {
    if (value == nullptr) return;
    aliases.erase(name);
    if (value->is_string()) aliases.emplace(name, *value);
  });
  return aliases;
}

void follow_aliases(const std::string& section, const Aliases& aliases,
                    const std::function<bool(const std::string&)>& is_known, Value& user,
                    std::vector<Override>& overrides) {
  std::set<std::string> set;
  for_each_name(section, user, overrides,
                [&](const std::string& name, const Value* /*value*/) { set.insert(name); });
  const Heirs heirs(section, aliases, set, is_known);
  if (const Value::Table* names = names_of(user, section)) {
    user[section].as_table() = inherited(Value::Table(*names), heirs);
  }
  std::vector<Override> after;
  for (Override& change : overrides) {
    const std::string* name = is_in(change, section) ? name_in(change) : nullptr;
    if (name == nullptr) {
      if (is_in(change, section) && change.value.is_table()) {
        change.value.as_table() = inherited(Value::Table(change.value.as_table()), heirs);
      }
      after.push_back(std::move(change));
      continue;
    }
    if (change.path.size() == 2 && heirs.is_alias(*name)) continue;
    for (const std::string& heir : heirs.of(*name)) {
      after.push_back(change);
      after.back().path[1] = heir;
    }
  }
  overrides = std::move(after);
}

}  // namespace pergola::host
