// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/probe_cache.h"

#include "fixtures/plugins/plugin_files.h"
#include "fixtures/temp_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using ::testing::IsNull;
using ::testing::NotNull;

class ProbeCacheTest : public ::testing::Test {
 protected:
  [[nodiscard]] ProbeCache open(const std::string& host = "this host") const {
    return ProbeCache(path_, host);
  }
  // The file with that number in everything.
  static ProbedFile file(int number, const std::string& problem = "") {
    const auto wide = static_cast<std::int64_t>(number);
    return {{static_cast<dev_t>(number), static_cast<ino_t>(number), wide, wide},
            "hash " + std::to_string(number),
            "/p/" + std::to_string(number) + ".so",
            problem};
  }
  void keep(const ProbedFile& one, const std::string& host = "this host") const {
    ProbeCache cache = open(host);
    cache.add(one);
    cache.save();
  }
  void mode(const fs::path& path, mode_t mode) const { ASSERT_EQ(::chmod(path.c_str(), mode), 0); }

  fixtures::TempFolder folder_;
  fs::path path_ = folder_ / "caches/pergola/probes.json";
};

TEST_F(ProbeCacheTest, WhatWasAddedIsThereInTheNextProcess) {
  keep(file(1, "crashed\n\"twice\""));
  const ProbeCache cache = open();
  const ProbedFile* found = cache.find(file(1).identity);
  ASSERT_THAT(found, NotNull());
  EXPECT_EQ(found->sha256, "hash 1");
  EXPECT_EQ(found->path, "/p/1.so");
  EXPECT_EQ(found->problem, "crashed\n\"twice\"");
  EXPECT_EQ(cache.find_content("hash 1"), found);
}

TEST_F(ProbeCacheTest, AnotherStateOfTheFileIsNotKnown) {
  keep(file(1));
  FileIdentity later = file(1).identity;
  ++later.modified_ns;
  EXPECT_THAT(open().find(later), IsNull());
  EXPECT_THAT(open().find_content("hash 2"), IsNull());
  EXPECT_THAT(open().find_content(""), IsNull());
}

TEST_F(ProbeCacheTest, WhatAnotherHostFoundIsNotBelievedAndNotLost) {
  keep(file(1), "that host");
  EXPECT_THAT(open().find(file(1).identity), IsNull());
  keep(file(1));
  EXPECT_THAT(open().find(file(1).identity), NotNull());
  EXPECT_THAT(open("that host").find(file(1).identity), NotNull());
}

TEST_F(ProbeCacheTest, ANewStateTakesThePlaceOfTheOldOne) {
  keep(file(1));
  ProbedFile rebuilt = file(2);  // another inode and content
  rebuilt.path = file(1).path;
  keep(rebuilt);
  EXPECT_THAT(open().find(file(1).identity), IsNull());
  EXPECT_THAT(open().find(rebuilt.identity), NotNull());
}

TEST_F(ProbeCacheTest, TheOldestAreDropped) {
  constexpr int kMost = ProbeCache::kMostFiles;
  ProbeCache cache = open();
  for (int i = 0; i <= kMost; ++i) cache.add(file(i));  // one more
  cache.save();
  EXPECT_THAT(open().find(file(0).identity), IsNull());
  EXPECT_THAT(open().find(file(1).identity), NotNull());
  EXPECT_THAT(open().find(file(kMost).identity), NotNull());
}

TEST_F(ProbeCacheTest, AFileThatIsDamagedIsAsGoodAsNone) {
  keep(file(1));
  const std::string whole = folder_.read("caches/pergola/probes.json");
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string(R"({"plugins":[{}]})"),
        std::string(R"({"format_version":1,"plugins":[{"device":"x"}]})"),
        std::string(R"({"format_version":2,"plugins":[]})"), whole.substr(0, whole.size() / 2)}) {
    test::write_file(path_, text);
    EXPECT_THAT(open().find(file(1).identity), IsNull()) << text;
    keep(file(2));
    EXPECT_THAT(open().find(file(2).identity), NotNull()) << text;
  }
}

TEST_F(ProbeCacheTest, AFileThatOthersCanWriteIsNeitherBelievedNorWritten) {
  keep(file(1));
  mode(path_, 0666);
  EXPECT_THAT(open().find(file(1).identity), IsNull());
  const std::string before = folder_.read("caches/pergola/probes.json");
  keep(file(2));
  EXPECT_EQ(folder_.read("caches/pergola/probes.json"), before);
  mode(path_, 0644);
  mode(folder_ / "caches", 0777);  // in which others could put another `pergola`
  EXPECT_THAT(open().find(file(1).identity), IsNull());
  mode(folder_ / "caches", 0755);
  EXPECT_THAT(open().find(file(1).identity), NotNull());
}

TEST_F(ProbeCacheTest, WhereItCannotBeWrittenNothingIsKept) {
  folder_.write("caches", "a file where a folder is to be");
  keep(file(1));
  EXPECT_THAT(open().find(file(1).identity), IsNull());
}

TEST_F(ProbeCacheTest, ItsPlaceIsInTheUsersCacheFolder) {
  const test::ScopedVariable home("HOME", "/home/me");
  {
    const test::ScopedVariable caches("XDG_CACHE_HOME", "/caches");
    EXPECT_EQ(default_probe_cache(), "/caches/pergola/plugin_probes.json");
  }
  for (const char* unusable : {"", "relative"}) {
    const test::ScopedVariable caches("XDG_CACHE_HOME", unusable);
    EXPECT_EQ(default_probe_cache(), "/home/me/.cache/pergola/plugin_probes.json");
    const test::ScopedVariable nowhere("HOME", "");
    EXPECT_EQ(default_probe_cache(), "");
  }
}

TEST(HostIdentityTest, IsTheSameInOneProcess) {
  EXPECT_EQ(identity_of_host().size(), 64U);  // hexadecimal digits of SHA-256
  EXPECT_EQ(identity_of_host(), identity_of_host());
}

}  // namespace
}  // namespace pergola::host
