// SPDX-License-Identifier: BSD-3-Clause
// PNG files of every colour type, depth and interlacing, put together by hand: what is in their
// rows is known, and not what a writer made of it.
#include "host/data/png.h"

#include "unit/data/fixture.h"

#include <gmock/gmock.h>
#include <zlib.h>

namespace pergola::host {
namespace {

using test::png_chunk;
using testing::ElementsAre;
using testing::ElementsAreArray;
using namespace std::string_literals;

// The codes of the format's header.
enum ColourType : char { kGrey = 0, kRgb = 2, kPalette = 3, kGreyAlpha = 4, kRgba = 6 };
enum Interlacing : char { kNone, kAdam7 };

struct Header {
  char width;
  char height;
  char depth;
  ColourType type;
  Interlacing interlacing = kNone;
};

std::string deflated(const std::string& text) {
  uLongf size = compressBound(text.size());
  std::string out(size, '\0');
  const auto* const from = reinterpret_cast<const Bytef*>(text.data());
  EXPECT_EQ(compress(reinterpret_cast<Bytef*>(out.data()), &size, from, text.size()), Z_OK);
  out.resize(size);
  return out;
}

// The pixels of a PNG of these rows, each after the 0 of "no filter"; `more` are chunks before
// them.
std::vector<std::uint8_t> pixels(const Header& header, const std::string& rows,
                                 const std::string& more = "") {
  const std::string ihdr{0,           0, 0, header.width,      0, 0, 0, header.height, header.depth,
                         header.type, 0, 0, header.interlacing};
  return decode_png("\x89PNG\r\n\x1a\n"s + png_chunk("IHDR", ihdr) + more +
                        png_chunk("IDAT", deflated(rows)) + png_chunk("IEND", ""),
                    "a.png")
      .pixels;
}

TEST(PngKindsTest, GreyBecomesEqualChannels) {
  EXPECT_THAT(pixels({2, 1, 8, kGrey}, "\0\x10\xf0"s), ElementsAre(16, 16, 16, 240, 240, 240));
}

TEST(PngKindsTest, GreyOfFewBitsIsSpreadOverAllOfTheRange) {
  // The bits 0 and 1, of the highest two; and 0, 1, 2, 3 of two bits each, which are thirds of 255.
  EXPECT_THAT(pixels({2, 1, 1, kGrey}, "\0\x40"s), ElementsAre(0, 0, 0, 255, 255, 255));
  EXPECT_THAT(pixels({4, 1, 2, kGrey}, "\0\x1b"s),
              ElementsAre(0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255));
}

TEST(PngKindsTest, PaletteIndicesBecomeTheirColours) {
  const std::string palette = png_chunk("PLTE", "\x01\x02\x03\x0a\x0b\x0c"s);
  EXPECT_THAT(pixels({2, 1, 8, kPalette}, "\0\x01\x00"s, palette),
              ElementsAre(10, 11, 12, 1, 2, 3));
  // Four bits an index: 1 and 0.
  EXPECT_THAT(pixels({2, 1, 4, kPalette}, "\0\x10"s, palette), ElementsAre(10, 11, 12, 1, 2, 3));
}

TEST(PngKindsTest, ATransparentColourOfThePaletteIsBlack) {
  const std::string palette = png_chunk("PLTE", "\x01\x02\x03\x0a\x0b\x0c"s);
  EXPECT_THAT(pixels({2, 1, 8, kPalette}, "\0\x01\x00"s, palette + png_chunk("tRNS", "\xff\0"s)),
              ElementsAre(0, 0, 0, 1, 2, 3));
}

TEST(PngKindsTest, AlphaBlendsWithBlack) {
  EXPECT_THAT(pixels({2, 1, 8, kRgba}, "\0\xc8\x64\x32\xff\xc8\x64\x32\x00"s),
              ElementsAre(200, 100, 50, 0, 0, 0));
  EXPECT_THAT(pixels({2, 1, 8, kGreyAlpha}, "\0\xc8\xff\xc8\x00"s),
              ElementsAre(200, 200, 200, 0, 0, 0));
  // Half of the light of white, in a file without a colour space, whose gamma is 2.2:
  // 255 (128 / 255)^(1 / 2.2) = 186.4.
  EXPECT_THAT(pixels({1, 1, 8, kRgba}, "\0\xff\xff\xff\x80"s), ElementsAre(186, 186, 186));
}

TEST(PngKindsTest, SixteenBitsBecomeTheNearestOfEight) {
  // 257 v is v: 0x8080 is 128. 0x80ff = 33023 is 128.49 times 257, 0x8101 = 33025 is 128.502.
  EXPECT_THAT(pixels({1, 1, 16, kRgb}, "\0\x80\x80\xff\xff\x00\x00"s), ElementsAre(128, 255, 0));
  EXPECT_THAT(pixels({1, 1, 16, kRgb}, "\0\x80\xff\x81\x01\x00\x00"s), ElementsAre(128, 129, 0));
  EXPECT_THAT(pixels({1, 1, 16, kGrey}, "\0\x80\x80"s), ElementsAre(128, 128, 128));
}

TEST(PngKindsTest, InterlacedPixelsComeToTheirPlaces) {
  // Of 3 x 2 pixels, Adam7 takes those of these columns and rows, one line each: (0 | 0) in pass 1,
  // (2 | 0) in pass 4, (1 | 0) in pass 6, and all of row 1 in pass 7.
  const std::string rows = "\0\x01\0\x03\0\x02\0\x04\x05\x06"s;
  EXPECT_THAT(pixels({3, 2, 8, kGrey, kAdam7}, rows),
              ElementsAreArray({1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6}));
}

}  // namespace
}  // namespace pergola::host
