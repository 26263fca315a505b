// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/hash.h"

#include "fixtures/temp_folder.h"
#include "unit/support/error_of.h"

#include <gtest/gtest.h>

namespace pergola::host {
namespace {

// FIPS 180-4's example, and that of the empty text.
constexpr const char* kSha256OfAbc =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr const char* kSha256OfNothing =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
// xxHash's own test of XXH3-128 with seed 0 and no input.
constexpr const char* kXxh3OfNothing = "99aa06d3014798d86001c324468d497f";

TEST(HashTest, Sha256OfKnownTexts) {
  EXPECT_EQ(sha256("abc"), kSha256OfAbc);
  EXPECT_EQ(sha256(""), kSha256OfNothing);
}

TEST(HashTest, Sha256OfAFileIsThatOfItsContent) {
  const fixtures::TempFolder folder;
  EXPECT_EQ(sha256_file(folder.write("f", "abc"), ErrorKind::kPlugin), kSha256OfAbc);
  const std::string big(3'000'000, 'x');  // read in three pieces
  EXPECT_EQ(sha256_file(folder.write("g", big), ErrorKind::kPlugin), sha256(big));
}

TEST(HashTest, Xxh3OfNothing) { EXPECT_EQ(Xxh3().digest(), kXxh3OfNothing); }

TEST(HashTest, Xxh3DoesNotDependOnHowTheStreamIsCut) {
  const fixtures::TempFolder folder;
  const std::string content(5000, 'y');
  Xxh3 whole;
  whole.update(content.data(), content.size());
  Xxh3 pieces;
  for (std::size_t i = 0; i < content.size(); i += 1250) pieces.update(content.data() + i, 1250);
  EXPECT_EQ(pieces.digest(), whole.digest());
  EXPECT_EQ(xxh3_file(folder.write("f", content), ErrorKind::kCheckpoint), whole.digest());
}

TEST(HashTest, Xxh3SeesOneFlippedBit) {
  std::string content(5000, 'y');
  Xxh3 before;
  before.update(content.data(), content.size());
  content[4999] ^= 1;
  Xxh3 after;
  after.update(content.data(), content.size());
  EXPECT_NE(after.digest(), before.digest());
}

TEST(HashTest, SaysThatTheFileIsMissing) {
  EXPECT_EQ(test::error_of([] { (void)sha256_file("/none/x.so", ErrorKind::kPlugin); },
                           ErrorKind::kPlugin),
            "cannot read /none/x.so: No such file or directory; check the path");
}

}  // namespace
}  // namespace pergola::host
