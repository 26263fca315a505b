// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/config_list.h"

#include "host/config/toml.h"
#include "pergola/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pergola::host {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> lines(const ConfigList& list) {
  std::vector<std::string> result;
  for (const ConfigEntry& entry : list.entries) {
    result.push_back(concat(entry.key, " = ", entry.value, " < ", entry.origin));
  }
  return result;
}

TEST(ConfigListTest, EachValueHasItsOrigin) {
  const ConfigList list = parse_config_list(
      "model = \"m\"  # runs/a.toml:1:9\n"
      "[training]\n"
      "freeze = [\"a # b\", 'c\"#']  # command line\n"
      "seed = 1\n"
      "[training.early_stop]\n"
      "note = \"\\\"#\"  # defaults\n"
      "[empty]\n");
  EXPECT_THAT(lines(list), ElementsAre("empty = {} < ", R"(model = "m" < runs/a.toml:1:9)",
                                       R"(training.early_stop.note = "\"#" < defaults)",
                                       R"(training.freeze = ["a # b", "c\"#"] < command line)",
                                       "training.seed = 1 < "));
  EXPECT_TRUE(list.has_origins());
  EXPECT_FALSE(parse_config_list("a = 1").has_origins());
}

TEST(ConfigListTest, ReadsWhatConfigShowWrites) {
  Value config = parse_toml("a = 1\n[t]\nb = [\"#\"]", "x.toml");
  const ConfigList list = parse_config_list(to_toml(config, Origins::kShow));
  EXPECT_THAT(lines(list), ElementsAre("a = 1 < x.toml:1:5", R"(t.b = ["#"] < x.toml:3:5)"));
}

TEST(ConfigListTest, DataSetsAreOneSeveralInOneOrAnArray) {
  EXPECT_THAT(parse_config_list("dataset = \"a\"").datasets(), ElementsAre("a"));
  EXPECT_THAT(parse_config_list("dataset = \"a, b\"").datasets(), ElementsAre("a", "b"));
  EXPECT_THAT(parse_config_list("dataset = [\"a\", \"b\", 3]").datasets(), ElementsAre("a", "b"));
  EXPECT_THAT(parse_config_list("").datasets(), IsEmpty());
}

}  // namespace
}  // namespace pergola::host
