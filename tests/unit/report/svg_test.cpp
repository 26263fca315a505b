// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/svg.h"

#include "pergola/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace pergola::host {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// A chart with one curve along the updates 0, 1, 2, ...
std::string drawn(std::vector<double> values, bool smooth = false) {
  Curves curves;
  ColumnTrack track;
  Curve curve;
  curve.label = "<val>";
  curve.colour = "val";
  curve.smooth = smooth;
  for (std::size_t i = 0; i < values.size(); ++i) {
    track.update.push_back(static_cast<double>(i));
    curve.columns.push_back(static_cast<std::uint32_t>(i));
  }
  curve.mean = std::move(values);
  curves.tracks.push_back(track);
  curves.last_update = track.update.back();
  curves.smoothing = 0.5;
  return draw_chart({"Losses", "a & b", {curve}}, curves, "chart-7").markup();
}

// From 0 to 4 with 4 % of air: 4.16 is at the top (8), 0 at the bottom (192), 2 at
// 192 - 184 * 2 / 4.16 = 103.5, 4 at 192 - 184 * 4 / 4.16 = 15.1; along: 50, 229, 408.
TEST(SvgTest, ALineGoesThroughItsPoints) {
  EXPECT_THAT(drawn({0, 4, 2}), HasSubstr(R"(d="M50 192L229 15.1L408 103.5")"));
}

TEST(SvgTest, AGapIsAGapAndALonePointADot) {
  const std::string svg = drawn({0, NAN, 4});
  EXPECT_THAT(svg, HasSubstr(R"(d="M50 192h0M408 15.1h0")"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(SvgTest, ANoisyCurveHasARawLineAndASmoothOne) {
  const std::string svg = drawn({0, 4, 0}, /*smooth=*/true);
  EXPECT_THAT(svg, HasSubstr(R"(<path class="raw val" d="M50 192L229)"));
  EXPECT_THAT(svg, HasSubstr(R"(<path class="smooth val")"));
}

TEST(SvgTest, SaysWhatIsDrawnAndEscapesIt) {
  const std::string svg = drawn({1, 4, 2});
  EXPECT_THAT(svg, HasSubstr("aria-label=\"a &amp; b along updates. &lt;val&gt;: from 1 to 2, "
                             "lowest 1, highest 4.\""));
  EXPECT_THAT(svg, HasSubstr("&lt;val&gt; <output>2</output>"));
  EXPECT_THAT(drawn({NAN}), HasSubstr("&lt;val&gt;: no number."));
}

TEST(SvgTest, TicksAreRoundNumbers) {
  EXPECT_THAT(ticks_of(0, 10, 5), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(ticks_of(-0.35, 0.3, 4),
              ElementsAre(DoubleNear(-0.2, 1e-12), DoubleNear(0, 1e-12), DoubleNear(0.2, 1e-12)));
  EXPECT_THAT(ticks_of(1e15, 1e15 + 0.25, 4), IsEmpty());  // steps that no double has
}

TEST(SvgTest, NumbersFarApartOrCloseTogetherHaveCoordinates) {
  for (const std::vector<double>& values :
       {std::vector<double>{1e299, -1e299}, {5e-324, 0}, {1, 1}, {0, 0}}) {
    const std::string svg = drawn(values);
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
}

}  // namespace
}  // namespace pergola::host
