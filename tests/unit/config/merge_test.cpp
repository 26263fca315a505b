// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/merge.h"

#include "host/config/toml.h"

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

std::string merged(const std::string& base, const std::string& overlay) {
  Value value = parse_toml(base, "base");
  merge(value, parse_toml(overlay, "overlay"));
  return to_string(value);
}

TEST(MergeTest, TablesMergeKeyByKey) {
  EXPECT_EQ(merged("t = {a = 1, b = 2}", "t = {b = 3, c = 4}"), "{t = {a = 1, b = 3, c = 4}}");
}

TEST(MergeTest, ArraysAreReplaced) { EXPECT_EQ(merged("a = [1, 2, 3]", "a = [4]"), "{a = [4]}"); }

TEST(MergeTest, ATableReplacesAPlainValueAndTheOtherWayRound) {
  EXPECT_EQ(merged("a = 1", "a = {b = 2}"), "{a = {b = 2}}");
  EXPECT_EQ(merged("a = {b = 2}", "a = 1"), "{a = 1}");
}

TEST(MergeTest, Mmf633AnotherTypeDropsTheOldParams) {
  EXPECT_EQ(merged("o = {type = 'adam', params = {lr = 1, eps = 2}, x = 1}",
                   "o = {type = 'sgd', params = {momentum = 3}}"),
            "{o = {params = {momentum = 3}, type = \"sgd\", x = 1}}");
}

TEST(MergeTest, TheSameTypeKeepsTheParams) {
  EXPECT_EQ(
      merged("o = {type = 'adam', params = {lr = 1}}", "o = {type = 'adam', params = {eps = 2}}"),
      "{o = {params = {eps = 2, lr = 1}, type = \"adam\"}}");
  EXPECT_EQ(merged("o = {type = 'adam', params = {lr = 1}}", "o = {params = {lr = 2}}"),
            "{o = {params = {lr = 2}, type = \"adam\"}}");
}

TEST(MergeTest, OriginsFollowTheWinner) {
  Value value = parse_toml("t = {a = 1, b = 2}", "base");
  merge(value, parse_toml("t = {b = 3}", "overlay"));
  EXPECT_EQ(value.find("t.a")->origin(), "base:1:10");
  EXPECT_EQ(value.find("t.b")->origin(), "overlay:1:10");
  EXPECT_EQ(value.find("t")->origin(), "overlay:1:5");
}

}  // namespace
}  // namespace pergola::host
