// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/schema.h"

#include "host/config/toml.h"
#include "host/support/files.h"
#include "unit/support/error_of.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>

namespace pergola::host {
namespace {

std::string complaint(const std::string& text) {
  return test::error_of([&] {
    const Value root = parse_toml(text, "x.toml");
    check_keys(root);
    check_values(root);
  });
}

TEST(SchemaTest, TheDefaultsFitTheSchema) {
  EXPECT_NO_THROW(check_keys(default_config()));
  EXPECT_NO_THROW(check_values(default_config()));
  EXPECT_EQ(default_config().find("training.seed")->origin(), "defaults");
}

TEST(SchemaTest, EachDefaultIsWhatItsKeySays) {
  for (const KeySpec& key : schema()) {
    const Value* value = default_config().find(key.path);
    const bool has_value = value != nullptr && !value->is_table();
    EXPECT_EQ(has_value ? to_string(*value) : "", key.default_toml) << key.path;
  }
}

TEST(SchemaTest, EveryKeyIsThereOnceAndExplained) {
  std::set<std::string_view> paths;
  for (const KeySpec& key : schema()) {
    EXPECT_TRUE(paths.insert(key.path).second) << key.path;
    EXPECT_GT(key.doc.size(), 10U) << key.path;
    EXPECT_NE(std::string_view(".?").find(key.doc.back()), std::string_view::npos) << key.path;
  }
}

TEST(SchemaTest, DefaultsTomlIsTheSchema) {
  const std::filesystem::path file = PERGOLA_DEFAULTS_TOML;
  const std::string expected = schema_as_toml();
  if (read_file(file, ErrorKind::kConfig) == expected) return;
  const auto written = std::filesystem::temp_directory_path() / "pergola_defaults.toml";
  write_file_atomic(written, expected);
  FAIL() << "configs/defaults.toml is not what host/config/schema_keys.cpp says; what it should be "
            "is in "
         << written << ": look at the difference, and copy it";
}

TEST(SchemaTest, DefaultsTomlHoldsTheDefaults) {
  EXPECT_TRUE(load_toml(PERGOLA_DEFAULTS_TOML) == default_config());
}

TEST(SchemaTest, KeysWithoutDefaultAreInDefaultsTomlAsComments) {
  const std::string text = read_file(PERGOLA_DEFAULTS_TOML, ErrorKind::kConfig);
  for (const KeySpec& key : schema()) {
    if (!key.default_toml.empty()) continue;
    const std::string name(key.path.substr(key.path.rfind('.') + 1));
    EXPECT_NE(text.find("\n# " + name + " = ("), std::string::npos) << key.path;
  }
}

TEST(SchemaTest, OffersTheClosestKeyOfTheTable) {
  EXPECT_EQ(complaint("[training]\nbatch_sise = 1"),
            "training.batch_sise (x.toml:2:14) is not a known key; did you mean "
            "'training.batch_size'?");
  EXPECT_EQ(complaint("trainning = {}"),
            "trainning (x.toml:1:13) is not a known key; did you mean 'training'?");
}

TEST(SchemaTest, OffersTheSameKeyOfAnotherTable) {
  EXPECT_EQ(complaint("batch_size = 1"),
            "batch_size (x.toml:1:14) is not a known key; did you mean 'training.batch_size'?");
}

TEST(SchemaTest, ListsTheTableWhenNothingIsClose) {
  EXPECT_EQ(complaint("[checkpoint]\nzzzzzzz = 1"),
            "checkpoint.zzzzzzz (x.toml:2:11) is not a known key; known are resume, resume_best, "
            "resume_file, resume_pretrained, max_to_keep, keep_every, keep_best, "
            "save_in_background, save_git_details, pretrained, pretrained_state_mapping, "
            "pretrained_resize_positions, bypass_shape_mismatch, reset");
}

TEST(SchemaTest, WhatBelongsToTheParamsIsOfferedThere) {
  EXPECT_EQ(complaint("optimizer.lr = 1"),
            "optimizer.lr (x.toml:1:16) is not a known key; did you mean 'optimizer.params.lr'?");
  EXPECT_EQ(complaint("optimizer.typ = 1"),
            "optimizer.typ (x.toml:1:17) is not a known key; did you mean 'optimizer.type'?");
}

TEST(SchemaTest, RefusesAnotherType) {
  EXPECT_EQ(complaint("training.batch_size = \"64\""),
            "training.batch_size = \"64\" (x.toml:1:23) is a string; expected an integer");
  EXPECT_EQ(complaint("training.batch_size = 64.0"),
            "training.batch_size = 64.0 (x.toml:1:23) is a float; expected an integer");
  EXPECT_EQ(complaint("training.pin_memory = \"false\""),
            "training.pin_memory = \"false\" (x.toml:1:23) is a string; expected true or false");
  EXPECT_EQ(complaint("run_type = 1"),
            "run_type = 1 (x.toml:1:12) is an integer; expected a string or an array of strings");
  EXPECT_EQ(complaint("training.callbacks = 'a'"),
            "training.callbacks = \"a\" (x.toml:1:22) is a string; expected an array of names or "
            "{type = \"name\", params = {...}}");
}

TEST(SchemaTest, RefusesAnElementOfAnotherType) {
  EXPECT_EQ(complaint("training.lr_steps = [1, 'a']"),
            "training.lr_steps[1] = \"a\" (x.toml:1:25) is a string; expected an integer");
  EXPECT_EQ(complaint("evaluation.metrics = [{key = 'a'}]"),
            "evaluation.metrics[0] (x.toml:1:23) has no `type`; expected a name or {type = "
            "\"name\", params = {...}}");
  EXPECT_EQ(complaint("training.callbacks = [{type = 3}]"),
            "training.callbacks[0].type = 3 (x.toml:1:31) is an integer; expected a string");
  EXPECT_EQ(complaint("training.callbacks = [3]"),
            "training.callbacks[0] (x.toml:1:23) is an integer; expected a name or {type = "
            "\"name\", params = {...}}");
  EXPECT_EQ(complaint("plugins.path = [1]"),
            "plugins.path[0] = 1 (x.toml:1:17) is an integer; expected a string");
}

TEST(SchemaTest, TakesAnIntegerForANumber) {
  const Value root = parse_toml("training.max_epochs = 3", "x.toml");
  EXPECT_NO_THROW(check_values(root));
}

TEST(SchemaTest, RefusesAPlainValueForATable) {
  EXPECT_EQ(complaint("training = 5"),
            "training = 5 (x.toml:1:12) is an integer; expected a table, such as [training]");
  EXPECT_EQ(
      complaint("optimizer = 'adam'"),
      "optimizer = \"adam\" (x.toml:1:13) is a string; expected a table, such as [optimizer]");
  EXPECT_EQ(complaint("optimizer = {params = 1}"),
            "optimizer.params = 1 (x.toml:1:23) is an integer; expected a table, such as "
            "[optimizer.params]");
}

TEST(SchemaTest, RefusesNumbersOutOfBounds) {
  EXPECT_EQ(complaint("training.batch_size = 0"),
            "training.batch_size = 0 (x.toml:1:23) is out of range; expected at least 1");
  EXPECT_EQ(complaint("training.max_grad_l2_norm = 0"),
            "training.max_grad_l2_norm = 0 (x.toml:1:29) is out of range; expected more than 0 and "
            "at most 1000000000000000");
  EXPECT_EQ(complaint("training.clip_grad_value = 1e+300"),
            "training.clip_grad_value = 1e+300 (x.toml:1:28) is out of range; expected more than 0 "
            "and at most 1000000000000000");
  for (const char* many : {"0", "inf", "1e+30"}) {
    EXPECT_EQ(complaint(concat("training.max_epochs = ", many)),
              concat("training.max_epochs = ", many,
                     " (x.toml:1:23) is out of range; expected more than 0 and at most 1000000"));
  }
  EXPECT_EQ(complaint("training.update_frequency = 9000000000000000000"),
            "training.update_frequency = 9000000000000000000 (x.toml:1:29) is out of range; "
            "expected 1 to 1000000");
  EXPECT_EQ(complaint("training.num_workers = 5000"),
            "training.num_workers = 5000 (x.toml:1:24) is out of range; expected 0 to 1024");
  EXPECT_EQ(complaint("training.warmup_factor = nan"),
            "training.warmup_factor = nan (x.toml:1:26) is out of range; expected 0 to 1");
}

}  // namespace
}  // namespace pergola::host
