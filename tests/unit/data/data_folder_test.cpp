// SPDX-License-Identifier: BSD-3-Clause
#include "host/data/data_folder.h"

#include "host/support/printable.h"
#include "unit/data/fixture.h"

#include <gmock/gmock.h>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::TempFolder;

class DataFolderTest : public testing::Test {
 protected:
  DataFolderTest() {
    folder_.write("inside/sub/a.png", "a");
    folder_.write("inside_too/b.png", "b");
    root_ = fs::canonical(folder_.path());
  }
  [[nodiscard]] DataFolder open() const { return {folder_ / "inside", "images.train"}; }
  [[nodiscard]] std::string error(const std::string& name) const {
    return error_of(ErrorKind::kData, [&] { (void)open().find(name); });
  }
  TempFolder folder_;
  fs::path root_;
};

TEST_F(DataFolderTest, FindsFilesInside) {
  EXPECT_EQ(open().find("sub/a.png"), root_ / "inside/sub/a.png");
  EXPECT_EQ(open().find("./sub//a.png"), root_ / "inside/sub/a.png");
}

TEST_F(DataFolderTest, RefusesNamesThatLeadOut) {
  for (const auto& [name, fault] :
       {std::pair<std::string, std::string>{"../inside_too/b.png", "has '..' in it"},
        {"sub/../sub/a.png", "has '..' in it"},
        {"sub/..", "has '..' in it"},
        {(root_ / "inside/sub/a.png").string(), "is absolute"},
        {"", "is empty"},
        {std::string("sub/a.png\0b", 11), "has a control character in it"}}) {
    EXPECT_EQ(error(name),
              concat("the path '", printable(name), "' ", fault, ", expected one inside of ",
                     (root_ / "inside").string(), "; correct the row, or set images.train"));
  }
}

// inside_too begins like inside, and is not in it.
TEST_F(DataFolderTest, RefusesLinksThatLeadOut) {
  fs::create_symlink(root_ / "inside_too", folder_ / "inside/link");
  fs::create_symlink("sub/a.png", folder_ / "inside/c.png");
  EXPECT_EQ(open().find("c.png"), root_ / "inside/sub/a.png");
  EXPECT_EQ(error("link/b.png"),
            concat("the path 'link/b.png' leads to ", (root_ / "inside_too/b.png").string(),
                   ", expected a file inside of ", (root_ / "inside").string(),
                   "; put the file there in place of the link, or set images.train"));
}

TEST_F(DataFolderTest, MayBeALinkItself) {
  fs::create_directory_symlink(root_ / "inside", folder_ / "elsewhere");
  EXPECT_EQ(DataFolder(folder_ / "elsewhere", "").find("sub/a.png"), root_ / "inside/sub/a.png");
}

TEST_F(DataFolderTest, NamesWhatIsMissing) {
  EXPECT_EQ(error("sub/b.png"),
            concat("there is no file ", (root_ / "inside/sub/b.png").string(),
                   "; restore it, remove the row, or set images.train to where the files are"));
  EXPECT_EQ(error_of(ErrorKind::kData, [&] { DataFolder folder(folder_ / "no", "images.val"); }),
            concat("there is no folder ", (folder_ / "no").string(),
                   "; set images.val to where the files are"));
  fs::create_symlink("loop", folder_ / "inside/loop");
  EXPECT_THAT(error("loop"), testing::HasSubstr("Too many levels of symbolic links"));
}

}  // namespace
}  // namespace pergola::host
