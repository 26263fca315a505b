// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/elf_symbols.h"

#include "fixtures/plugins/plugin_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using test::fixture_plugin;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;

ElfSymbols symbols_of(const char* fixture) {
  return read_symbols(ElfFile(fixture_plugin(fixture)));
}

TEST(ElfSymbolsTest, APluginExportsItsEntryAlone) {
  const ElfSymbols symbols = symbols_of("good");
  EXPECT_THAT(symbols.exported, ElementsAre("pergola_plugin"));
  EXPECT_THAT(symbols.torch_libraries, IsEmpty());
  EXPECT_THAT(symbols.needed, Contains(StartsWith("libpergola_sdk.so")));
}

TEST(ElfSymbolsTest, WhatElseOneExportsAndDefinesIsSeen) {
  EXPECT_THAT(symbols_of("exports_helper").exported, Contains("_ZN7fixture6helperEi"));
  EXPECT_THAT(symbols_of("same_operators").torch_libraries, ElementsAre("pergola_fixture"));
}

TEST(ElfSymbolsTest, WhatTwoHaveInCommonCanClash) {
  EXPECT_EQ(clash_of(symbols_of("good"), symbols_of("duplicate_key")), "");
  EXPECT_EQ(clash_of(symbols_of("same_operators"), symbols_of("exports_helper")), "");
  EXPECT_THAT(clash_of(symbols_of("same_operators"), symbols_of("same_operators_too")),
              StartsWith("both define the operators of TORCH_LIBRARY(pergola_fixture, ...)"));
}

TEST(ElfSymbolsTest, ANameIsWrittenAsAuthorsWriteIt) {
  EXPECT_EQ(demangled("_ZN7fixture6helperEi"), "fixture::helper(int) (_ZN7fixture6helperEi)");
  EXPECT_EQ(demangled("main"), "main");
}

}  // namespace
}  // namespace pergola::host
