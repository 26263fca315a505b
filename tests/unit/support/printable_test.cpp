// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/printable.h"

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

TEST(PrintableTest, PlainTextAndOtherAlphabetsStay) {
  EXPECT_EQ(printable("Pythia, \xC3\xBC, \xE6\x96\x87, \xF0\x9F\x8C\xBF"),
            "Pythia, \xC3\xBC, \xE6\x96\x87, \xF0\x9F\x8C\xBF");
}

TEST(PrintableTest, TerminalControlsAreEscaped) {
  EXPECT_EQ(printable("\x1b[31mred\x7f\n"), "\\x1b[31mred\\x7f\\x0a");
  EXPECT_EQ(printable("\xC2\x9B"), "\\xc2\\x9b");  // U+009B, the one-character form of ESC [
}

// U+202E shows what follows from right to left: "exe.gnp" looks like another file.
TEST(PrintableTest, WhatReordersTheLineIsEscaped) {
  EXPECT_EQ(printable("a\xE2\x80\xAEz"), "a\\xe2\\x80\\xaez");
  EXPECT_EQ(printable("\xE2\x81\xA6"), "\\xe2\\x81\\xa6");  // U+2066
  EXPECT_EQ(printable("\xE2\x80\xA8"), "\\xe2\\x80\\xa8");  // U+2028, a line's end
  EXPECT_EQ(printable("\xE2\x80\xA7\xE2\x80\xAF"), "\xE2\x80\xA7\xE2\x80\xAF");  // their neighbours
}

TEST(PrintableTest, BytesThatAreNotUtf8AreEscaped) {
  EXPECT_EQ(printable("\xFF"), "\\xff");
  EXPECT_EQ(printable("a\xC3"), "a\\xc3");                           // cut off
  EXPECT_EQ(printable("\xC0\xAF"), "\\xc0\\xaf");                    // overlong '/'
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xed\\xa0\\x80");           // a surrogate
  EXPECT_EQ(printable("\xF4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
}

TEST(PrintableTest, LinesAndTabsStayInATextOfSeveralLines) {
  EXPECT_EQ(printable_lines("a\tb\n\x1b[2Kc\r\n"), "a\tb\n\\x1b[2Kc\\x0d\n");
}

}  // namespace
}  // namespace pergola::host
