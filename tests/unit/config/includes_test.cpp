// SPDX-License-Identifier: BSD-3-Clause
#include "host/config/includes.h"

#include "unit/config/config_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using ::testing::StartsWith;

class IncludesTest : public ConfigFixture {};

TEST_F(IncludesTest, LaterIncludesGoOverEarlierOnes) {
  folder_.write("a.toml", "training = {seed = 1, batch_size = 1}");
  folder_.write("b.toml", "training = {seed = 2}");
  write_run("include = [\"a.toml\", \"b.toml\"]");
  EXPECT_EQ(resolve().get<std::int64_t>("training.seed"), 2);
  EXPECT_EQ(resolve().get<std::int64_t>("training.batch_size"), 1);
}

TEST_F(IncludesTest, IncludesAreRelativeToTheFileThatIncludes) {
  folder_.write("models/a.toml", "include = [\"../common/b.toml\"]");
  folder_.write("common/b.toml", "training = {seed = 7}");
  write_run("include = [\"models/a.toml\"]");
  EXPECT_EQ(resolve().get<std::int64_t>("training.seed"), 7);
}

TEST_F(IncludesTest, AFileMayBeIncludedTwice) {
  folder_.write("common.toml", "training = {seed = 7}");
  folder_.write("a.toml", "include = [\"common.toml\"]");
  write_run("include = [\"a.toml\", \"common.toml\"]");
  EXPECT_EQ(resolve().get<std::int64_t>("training.seed"), 7);
}

TEST_F(IncludesTest, SaysWhichFilesIncludeOneAnother) {
  folder_.write("a.toml", "include = [\"sub/b.toml\"]");
  folder_.write("sub/b.toml", "include = [\"../a.toml\"]");
  write_run("include = [\"a.toml\"]");
  EXPECT_EQ(complaint(), "config files include one another in a circle: " + path("a.toml") +
                             " -> " + path("sub/b.toml") + " -> " + path("a.toml") +
                             "; remove one of these includes");
}

TEST_F(IncludesTest, SaysThatAFileIncludesItself) {
  write_run("include = [\"./run.toml\"]");
  EXPECT_THAT(complaint(), StartsWith("config files include one another in a circle: "));
}

TEST_F(IncludesTest, RefusesIncludesThatMultiply) {
  for (int i = 0; i < 30; ++i) {
    const std::string next = concat("\"f", i + 1, ".toml\"");
    folder_.write(concat("f", i, ".toml"), concat("include = [", next, ", ", next, "]"));
  }
  folder_.write("f30.toml", "");
  write_run("include = [\"f0.toml\"]");
  EXPECT_EQ(complaint(), path("run.toml") +
                             " includes more than 1000 files, each one counted as often as it is "
                             "included; include fewer");
}

TEST_F(IncludesTest, SaysThatAnIncludeIsMissing) {
  write_run("include = [\"none.toml\"]");
  EXPECT_EQ(complaint(), path("run.toml") + ":3:12 includes \"none.toml\", but there is no " +
                             path("none.toml") + "; paths are relative to the file that includes");
}

TEST_F(IncludesTest, SaysThatIncludeIsNoArray) {
  write_run("include = \"a.toml\"");
  EXPECT_EQ(complaint(), "include = \"a.toml\" (" + path("run.toml") +
                             ":3:11) is not an array of strings; expected include = "
                             "[\"other.toml\"]");
}

}  // namespace
}  // namespace pergola::host
