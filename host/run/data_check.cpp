// SPDX-License-Identifier: BSD-3-Clause
#include "host/run/data_check.h"

#include "host/support/json.h"
#include "host/support/log.h"
#include "pergola/error.h"

#include <algorithm>
#include <string>

namespace pergola::host {
namespace {

constexpr std::size_t kMostShown = 200;  // characters of a state that is no list of words

// As state.json has it: what JSON cannot hold is alike in both.
Value as_saved(const Value& state) { return from_json(to_json(state), "the data set's state"); }

std::string shown(const Value& state) {
  const std::string text = to_json(state);
  return text.size() <= kMostShown ? text : text.substr(0, kMostShown) + "...";
}

// "number 1 was \"dog\" and is \"elk\" now"
std::string difference_of_words(const Value::Array& saved, const Value::Array& now) {
  const auto differs = std::ranges::mismatch(saved, now).in1;
  const auto number = static_cast<std::size_t>(differs - saved.begin());
  const auto word = [number](const Value::Array& words) {
    return number < words.size() ? to_string(words[number]) : "missing";
  };
  return concat("number ", number, " was ", word(saved), " and is ", word(now), " now (",
                saved.size(), " words then, ", now.size(), " now)");
}

// Of a processor in a data set's state; null where it has none.
const Value* words_of(const Value& state, const std::string& processor) {
  const Value* const processors = state.is_table() ? state.find("processors") : nullptr;
  if (processors == nullptr || !processors->is_table()) return nullptr;
  const auto found = processors->as_table().find(processor);
  if (found == processors->as_table().end() || !found->second.is_table()) return nullptr;
  const auto words = found->second.as_table().find("words");
  const bool is_list = words != found->second.as_table().end() && words->second.is_array();
  return is_list ? &words->second : nullptr;
}

// "number 13 is \"in\" in easy_vqa and \"is\" in image_text"
std::string first_difference(const std::string& dataset, const Value::Array& words,
                             const std::string& other, const Value::Array& other_words) {
  const auto differs = std::ranges::mismatch(words, other_words).in1;
  const auto number = static_cast<std::size_t>(differs - words.begin());
  const auto word = [number](const Value::Array& list) {
    return number < list.size() ? to_string(list[number]) : "none";
  };
  return concat("number ", number, " is ", word(words), " in ", dataset, " and ", word(other_words),
                " in ", other);
}

// Empty where `now` has all that `saved` has; it may have more, of a newer processor.
std::string difference(const Value& saved, const Value& now) {
  if (!saved.is_table() || !now.is_table()) {
    return saved == now ? "" : concat("it kept ", shown(saved), " and keeps ", shown(now), " now");
  }
  for (const auto& [key, old_value] : saved.as_table()) {
    const auto found = now.as_table().find(key);
    const Value* const value = found == now.as_table().end() ? nullptr : &found->second;
    if (value != nullptr && *value == old_value) continue;
    if (key == "words" && value != nullptr && value->is_array() && old_value.is_array()) {
      return difference_of_words(old_value.as_array(), value->as_array());
    }
    return concat(key, " was ", shown(old_value), " and is ",
                  value == nullptr ? "missing" : shown(*value), " now");
  }
  return "";
}

// Of a processor's words.
std::string origin(const std::string& processor, const RunConfig& config,
                   const std::string& dataset) {
  const Value& table = config.dataset_configs.at(dataset).value();
  const std::string key = concat("processors.", processor, ".params.vocab_file");
  const Value* const file = table.find(key);
  const std::string place = concat("dataset_config.", dataset);
  if (file != nullptr && file->is_string() && !file->as_string().empty()) {
    return concat(to_string(*file), " (", place, ".", key, ")");
  }
  const Value* const rows = table.find("annotations.train");
  const bool named = rows != nullptr && rows->is_string();
  const Value* const folder = table.find("data_dir");
  const bool has_folder = folder != nullptr && folder->is_string() && !folder->as_string().empty();
  return concat("the training split of data set '", dataset, "' (",
                named ? concat(place, ".annotations.train = ", to_string(*rows), ", ") : "",
                has_folder ? concat(place, ".data_dir = ", to_string(*folder))
                           : concat("env.data_dir = ", config.env.data_dir.string()),
                ")");
}

}  // namespace

void check_same_words(const Value& saved, const Value& now, const RunConfig& config,
                      const std::string& dataset) {
  const Value* const old_states = saved.is_table() ? saved.find("processors") : nullptr;
  const Value* const states = now.is_table() ? now.find("processors") : nullptr;
  if (old_states == nullptr || states == nullptr || !old_states->is_table() ||
      !states->is_table()) {
    return;
  }
  const Value today = as_saved(*states);
  for (const auto& [key, old_state] : old_states->as_table()) {
    const auto found = today.as_table().find(key);
    if (old_state.is_null() || found == today.as_table().end()) continue;
    const std::string differs = difference(old_state, found->second);
    if (differs.empty()) continue;
    throw Error(ErrorKind::kCheckpoint, "the checkpoint was trained with other words than ", key,
                " of data set '", dataset, "' has: ", differs,
                ", so that its answers would mean others; the words come from ",
                origin(key, config, dataset),
                "; put back what was there when it was trained, or train anew");
  }
}

void warn_of_other_words(const std::map<std::string, Value>& states) {
  if (states.empty()) return;
  const auto& [dataset, state] = *states.begin();
  const Value* const processors = state.is_table() ? state.find("processors") : nullptr;
  if (processors == nullptr || !processors->is_table()) return;
  for (const auto& [processor, unused] : processors->as_table()) {
    const Value* const words = words_of(state, processor);
    for (const auto& [other, other_state] : states) {
      const Value* const other_words = words_of(other_state, processor);
      if (words == nullptr || other_words == nullptr || *words == *other_words) continue;
      log::warning("[data] the data sets number the words of ", processor, " otherwise: ",
                   first_difference(dataset, words->as_array(), other, other_words->as_array()),
                   "; a model that has one list for both mixes them, so let dataset_config.<name>.",
                   "processors.", processor, ".params.vocab_file name one file for both");
      break;
    }
  }
}

}  // namespace pergola::host
