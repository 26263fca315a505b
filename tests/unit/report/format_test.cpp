// SPDX-License-Identifier: BSD-3-Clause
#include "host/report/format.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pergola::host {
namespace {

TEST(FormatTest, NumbersHaveFourDigitsAndAUnit) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(0.512345), "0.5123");
  EXPECT_EQ(short_number(-1234.5), "-1234");  // %.4g rounds half to even
  EXPECT_EQ(short_number(9999.9), "10000");
  EXPECT_EQ(short_number(12345), "12.35k");
  EXPECT_EQ(short_number(2.5e6), "2.5M");
  EXPECT_EQ(short_number(0.0001), "1e-4");
  EXPECT_EQ(short_number(3.51e-10), "3.51e-10");
  EXPECT_EQ(short_number(1e20), "1e20");
  EXPECT_EQ(short_number(NAN), "none");
  EXPECT_EQ(short_number(-INFINITY), "none");
}

TEST(FormatTest, NumbersOfAnAxisHaveOneUnit) {
  EXPECT_EQ(short_number(2000, 12000), "2k");
  EXPECT_EQ(short_number(0.0005, 0.001), "0.0005");
}

TEST(FormatTest, TimesSizesAndCounts) {
  EXPECT_EQ(duration(3723.4), "1:02:03");
  EXPECT_EQ(duration(NAN), "?");
  EXPECT_EQ(duration(1e300), "?");
  EXPECT_EQ(size_text(999), "999 bytes");
  EXPECT_EQ(size_text(1'760'776), "1.76 MB");
  EXPECT_EQ(size_text(999'999), "1000 kB");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(-123), "-123");
  EXPECT_EQ(percent(0.98765), "98.8%");
  EXPECT_EQ(date_time(86400), "1970-01-02 00:00:00 UTC");
  EXPECT_EQ(date_time(1e30), "?");
}

TEST(FormatTest, CoordinatesAreShort) {
  EXPECT_EQ(coordinate(12.34), "12.3");
  EXPECT_EQ(coordinate(12), "12");
  EXPECT_EQ(coordinate(-0.01), "0");
}

}  // namespace
}  // namespace pergola::host
