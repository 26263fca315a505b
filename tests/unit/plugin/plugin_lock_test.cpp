// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/plugin_lock.h"

#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using test::error_of;
using ::testing::HasSubstr;

const std::string kHash(64, 'a');

PluginLock two_plugins() {
  PluginLock lock;
  lock.set({"pythia", "1.0.0", kHash});
  lock.set({"mmbt", "2.0.0-rc.1", std::string(64, 'b')});
  return lock;
}

std::string complaint_of(const std::string& text) {
  return error_of([&] { static_cast<void>(PluginLock::parse(text, "my.lock")); },
                  ErrorKind::kPlugin);
}

// A commit of it shows one entry for each plugin that changed.
TEST(PluginLockTest, IsWrittenSortedAndReadAgain) {
  const std::string text = two_plugins().text();
  EXPECT_EQ(
      text,
      "# Which plugins plugins.trust = \"locked\" loads. Written by `pergola plugins trust`.\n"
      "format_version = 1\n\n"
      "[[plugin]]\nname = \"mmbt\"\nversion = \"2.0.0-rc.1\"\nsha256 = \"" +
          std::string(64, 'b') +
          "\"\n\n[[plugin]]\nname = \"pythia\"\nversion = \"1.0.0\"\nsha256 = \"" + kHash + "\"\n");
  EXPECT_EQ(PluginLock::parse(text, "my.lock").text(), text);
}

TEST(PluginLockTest, ANewEntryReplacesThatOfItsName) {
  PluginLock lock = two_plugins();
  lock.set({"pythia", "1.1.0", std::string(64, 'c')});
  ASSERT_EQ(lock.plugins().size(), 2U);
  EXPECT_EQ(lock.find("pythia")->version, "1.1.0");
  EXPECT_EQ(lock.find("visual_bert"), nullptr);
}

TEST(PluginLockTest, WhatIsNoLockFileIsRefusedWithThePlace) {
  EXPECT_THAT(complaint_of(""),
              HasSubstr("my.lock:1:1: it has no format_version, so it is no lock file"));
  EXPECT_THAT(complaint_of("format_version = 2\n"),
              HasSubstr("my.lock:1:18: 'format_version' is 2; this host reads 1"));
  EXPECT_THAT(complaint_of("format_version = 1\nplugins = 3\n"),
              HasSubstr("unknown key 'plugins'; did you mean 'plugin'?"));
  const std::string entry = "format_version = 1\n[[plugin]]\nname = \"a\"\nversion = \"1.0.0\"\n";
  EXPECT_THAT(complaint_of(entry), HasSubstr("has no 'sha256'"));
  EXPECT_THAT(
      complaint_of(entry + "sha256 = \"ABC\"\n"),
      HasSubstr("my.lock:5:10: 'plugin.sha256' is 'ABC', not 64 lower-case hexadecimal digits"));
  const std::string whole = entry + "sha256 = \"" + kHash + "\"\n";
  EXPECT_THAT(complaint_of(whole + whole.substr(whole.find("[["))),
              HasSubstr("is 'a', which is there twice"));
}

}  // namespace
}  // namespace pergola::host
