// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/html.h"

#include "pergola/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(HtmlTest, TextStaysTextInElementsAndAttributes) {
  EXPECT_EQ(escape(R"(<b> & "x" 'y')").markup(), "&lt;b&gt; &amp; &quot;x&quot; &#39;y&#39;");
}

TEST(HtmlTest, ControlCharactersAndBadBytesAreShown) {
  EXPECT_EQ(escape(std::string("a\0b\x1b[31m\xff\n", 10)).markup(), "a\\x00b\\x1b[31m\\xff\n");
  EXPECT_EQ(escape("größe 色").markup(), "größe 色");
}

TEST(HtmlTest, AScriptElementCannotBeEndedFromInside) {
  EXPECT_EQ(script_json(R"(["</script><!--"])").markup(), R"(["\u003c/script>\u003c!--"])");
}

TEST(HtmlTest, SlotsTakeTextAndMarkup) {
  EXPECT_EQ(fill("item", {{"text", "<i>"}}).markup(), "<li>&lt;i&gt;</li>");
  EXPECT_EQ(fill("item", {{"text", Html("<i></i>")}}).markup(), "<li><i></i></li>");
}

TEST(HtmlTest, WhatIsFilledInIsNotFilledAgain) {
  EXPECT_EQ(fill("link", {{"id", "{{title}}"}, {"title", "b"}}).markup(),
            "<li><a href=\"#{{title}}\">b</a></li>");
}

TEST(HtmlTest, ASlotThatMissesOrIsUnknownIsADefect) {
  EXPECT_THROW((void)fill("item", {}), Error);
  EXPECT_THROW((void)fill("item", {{"text", "a"}, {"more", "b"}}), Error);
  EXPECT_THROW((void)fill("no such part", {}), Error);
}

}  // namespace
}  // namespace pergola::host
