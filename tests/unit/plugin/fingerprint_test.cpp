// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/fingerprint.h"

#include "pergola/abi.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using test::error_of;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::string refusal_of_fingerprint(std::string_view text) {
  return error_of([&] { (void)parse_fingerprint(text, "a.so"); }, ErrorKind::kPlugin);
}

TEST(FingerprintTest, LinesBecomeFieldsInTheirOrder) {
  EXPECT_THAT(parse_fingerprint(std::string_view("b = 1\na = gcc 12\n\0", 18), "a.so"),
              ElementsAre(Pair("b", "1"), Pair("a", "gcc 12")));
}

TEST(FingerprintTest, HostsOwnHasTheVersionsItWasBuiltWith) {
  EXPECT_THAT(host_fingerprint(), Contains(Pair("sdk_abi", PERGOLA_TEXT(PERGOLA_ABI_VERSION))));
  EXPECT_THAT(host_fingerprint(), Contains(Pair("libtorch", TORCH_VERSION)));
}

TEST(FingerprintTest, IllFormedTextIsRefused) {
  EXPECT_THAT(refusal_of_fingerprint(""),
              HasSubstr("plugin a.so has a build fingerprint that is empty"));
  EXPECT_THAT(refusal_of_fingerprint("sdk_abi 1\n"), HasSubstr("holds the line 'sdk_abi 1'"));
  EXPECT_THAT(refusal_of_fingerprint(" = 1\n"), HasSubstr("where 'field = value' was expected"));
  EXPECT_THAT(refusal_of_fingerprint("a = 1\na = 2\n"), HasSubstr("holds 'a' twice"));
  EXPECT_THAT(refusal_of_fingerprint("\x1b[2J\n"), HasSubstr("'\\x1b[2J'"));
}

TEST(FingerprintTest, EqualFingerprintsHaveNoDifference) {
  EXPECT_EQ(fingerprint_difference(host_fingerprint(), host_fingerprint()), "");
}

TEST(FingerprintTest, DifferenceIsATableOfAllFieldsAndTheCommandThatRebuilds) {
  const Fingerprint host = {{"sdk_abi", "1"}, {"libtorch", "2.11.0"}, {"compiler", "gcc 12"}};
  const Fingerprint plugin = {{"sdk_abi", "1"}, {"libtorch", "2.10.0"}, {"cuda", "13.0"}};
  const std::string difference = fingerprint_difference(host, plugin);
  EXPECT_THAT(difference, HasSubstr("  field     this host  the plugin  verdict\n"
                                    "  sdk_abi   1          1           same\n"
                                    "  libtorch  2.11.0     2.10.0      DIFFERS\n"
                                    "  compiler  gcc 12     (absent)    DIFFERS\n"
                                    "  cuda      (absent)   13.0        DIFFERS\n"));
  // The test program is not installed, so there is no package to name.
  EXPECT_THAT(difference,
              HasSubstr("cmake -B build -DPergola_DIR=<where Pergola is installed>/lib"));
  EXPECT_THAT(difference, HasSubstr("/cmake/Pergola && cmake --build build"));
}

}  // namespace
}  // namespace pergola::host
