// SPDX-License-Identifier: BSD-3-Clause
#include "host/support/files.h"

#include "fixtures/temp_folder.h"
#include "host/support/file_ops.h"
#include "unit/support/error_of.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iterator>
#include <vector>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// The system, but what was brought to the disk is noted in order, and the next calls may fail.
class WatchedOps : public FileOps {
 public:
  int fsync(int fd) override {
    synced.push_back(fs::read_symlink("/proc/self/fd/" + std::to_string(fd)));
    return refused(sync_error) ? -1 : FileOps::fsync(fd);
  }
  ssize_t write(int fd, const void* bytes, std::size_t size) override {
    if (interruptions-- > 0) return refused(EINTR) ? -1 : 0;
    return takes_nothing ? 0 : FileOps::write(fd, bytes, std::min(size, most_bytes));
  }
  int rename(const char* from, const char* to) override {
    if (interruptions-- > 0) return refused(EINTR) ? -1 : 0;
    return FileOps::rename(from, to);
  }

  std::vector<fs::path> synced;
  int sync_error = 0;
  int interruptions = 0;
  std::size_t most_bytes = 1'000'000;
  bool takes_nothing = false;

 private:
  static bool refused(int error) {
    errno = error;
    return error != 0;
  }
};

class FilesTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::string path(std::string_view name) const { return (folder_ / name).string(); }
  [[nodiscard]] std::ptrdiff_t files_in_folder() const {
    return std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator());
  }
  fixtures::TempFolder folder_;
};

TEST_F(FilesTest, ReadsAFileWithAllItsBytes) {
  const std::string bytes("a\0\n\xff", 4);
  folder_.write("f", bytes);
  EXPECT_EQ(read_file(folder_ / "f", ErrorKind::kConfig), bytes);
}

TEST_F(FilesTest, ReadsAFileWhoseSizeTheSystemDoesNotSay) {
  EXPECT_THAT(read_file("/proc/self/status", ErrorKind::kConfig), HasSubstr("Name:"));
}

TEST_F(FilesTest, SaysThatAFileIsMissing) {
  EXPECT_EQ(error_of([&] { (void)read_file(folder_ / "none.toml", ErrorKind::kConfig); }),
            "cannot read " + path("none.toml") + ": No such file or directory; check the path");
}

TEST_F(FilesTest, SaysThatAFolderIsNoFile) {
  EXPECT_EQ(error_of([&] { (void)read_file(folder_.path(), ErrorKind::kConfig); }),
            "cannot read " + folder_.path().string() + ": it is a folder; name a file in it");
}

TEST_F(FilesTest, ReadsUpToItsLimitAndNoFurther) {
  folder_.write("f", "12345");
  EXPECT_EQ(read_file(folder_ / "f", ErrorKind::kConfig, /*limit=*/5), "12345");
  EXPECT_EQ(error_of([&] { (void)read_file(folder_ / "f", ErrorKind::kConfig, /*limit=*/4); }),
            "cannot read " + path("f") +
                ": it has 5 bytes, more than the 4 allowed; name the right file, or make it "
                "smaller");
}

TEST_F(FilesTest, LimitsAFileWhoseSizeTheSystemDoesNotSay) {
  EXPECT_THAT(
      error_of([] { (void)read_file("/proc/self/status", ErrorKind::kConfig, /*limit=*/1); }),
      HasSubstr("more than the 1 allowed"));
}

TEST_F(FilesTest, TakesNoMemoryForAHugeHole) {
  fs::resize_file(folder_.write("hole", ""), 200'000'000'000);
  EXPECT_EQ(error_of([&] { (void)read_file(folder_ / "hole", ErrorKind::kConfig); }),
            "cannot read " + path("hole") +
                ": it has 200000000000 bytes, more than the 4000000000 allowed; name the right "
                "file, or make it smaller");
}

TEST_F(FilesTest, DoesNotWaitForAPipe) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(
      error_of([&] { (void)read_file(folder_ / "pipe", ErrorKind::kData); }, ErrorKind::kData),
      "cannot read " + path("pipe") +
          ": it is a pipe or a device, expected a regular file; save it to a file first");
}

TEST_F(FilesTest, SaysThatAFileMayNotBeRead) {
  constexpr uid_t kNobody = 65534;
  const uid_t me = ::geteuid();
  fs::permissions(folder_.write("secret", "x"), fs::perms::none);
  if (me == 0 && ::seteuid(kNobody) != 0) GTEST_SKIP() << "root may read everything";
  const std::string message =
      error_of([&] { (void)read_file(folder_ / "secret", ErrorKind::kConfig); });
  ASSERT_EQ(::seteuid(me), 0);
  EXPECT_EQ(message, "cannot read " + path("secret") +
                         ": Permission denied; check its permissions and those of its folder");
}

TEST_F(FilesTest, SaysThatTheDiskIsFull) {
  const UniqueFd full(::open("/dev/full", O_WRONLY));
  ASSERT_TRUE(full);
  EXPECT_EQ(
      error_of([&] { write_all(full.get(), "text", "runs/x/state.json"); }, ErrorKind::kCheckpoint),
      "cannot write runs/x/state.json: No space left on device; free some space there, or "
      "choose another folder");
}

TEST_F(FilesTest, ReplacesAFileWholeAndLeavesNothingElse) {
  folder_.write("state.json", "old and longer");
  write_file_atomic(folder_ / "state.json", "new");
  EXPECT_EQ(folder_.read("state.json"), "new");
  EXPECT_EQ(files_in_folder(), 1);
}

TEST_F(FilesTest, WhatReplacesAFileOutlastsAPowerCut) {
  WatchedOps ops;
  const ScopedFileOps scope(ops);
  write_file_atomic(folder_ / "f", "new");
  const fs::path root = fs::canonical(folder_.path());
  EXPECT_THAT(ops.synced, ElementsAre(root / concat("f.tmp-", ::getpid()), root));
}

TEST_F(FilesTest, WritesIntoTheWorkingFolderToo) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  write_file_atomic("bare_name", "text");
  fs::current_path(before);
  EXPECT_EQ(folder_.read("bare_name"), "text");
}

// A file size limit stands for the full disk: it too lets a part be written, then refuses.
TEST_F(FilesTest, KeepsTheOldFileWhenTheNewOneCannotBeWritten) {
  folder_.write("state.json", "old");
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{1000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message =
      error_of([&] { write_file_atomic(folder_ / "state.json", std::string(5000, 'x')); },
               ErrorKind::kCheckpoint);
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(message, "cannot write " + path("state.json") +
                         ": File too large; raise the limit of a file's size (ulimit -f)");
  EXPECT_EQ(folder_.read("state.json"), "old");
  EXPECT_EQ(files_in_folder(), 1);
}

TEST_F(FilesTest, SaysThatTheFolderOfANewFileIsMissing) {
  EXPECT_EQ(error_of([&] { write_file_atomic(folder_ / "none/f", "x", ErrorKind::kData); },
                     ErrorKind::kData),
            "cannot write " + path("none/f") + ": No such file or directory; check the path");
}

TEST_F(FilesTest, MakesFoldersAndIsContentWithThoseThatAreThere) {
  make_directories(folder_ / "a/b");
  make_directories(folder_ / "a/b");
  EXPECT_TRUE(fs::is_directory(folder_ / "a/b"));
}

TEST_F(FilesTest, MakesFoldersThatOutlastAPowerCut) {
  // The name of a new folder is in the one above it.
  WatchedOps ops;
  const ScopedFileOps scope(ops);
  make_directories(folder_ / "a/b");
  const fs::path root = fs::canonical(folder_.path());
  EXPECT_THAT(ops.synced, ElementsAre(root, root / "a"));
  ops.synced.clear();
  make_directories(folder_ / "a/b");
  EXPECT_THAT(ops.synced, IsEmpty());
}

TEST_F(FilesTest, AFolderThatMayNotOutlastAPowerCutIsNotTakenForOneThatDoes) {
  WatchedOps ops;
  const ScopedFileOps scope(ops);
  ops.sync_error = EIO;
  EXPECT_EQ(error_of([&] { make_directories(folder_ / "a"); }, ErrorKind::kCheckpoint),
            "cannot bring to the disk " + folder_.path().string() +
                ": Input/output error; check the disk");
  EXPECT_FALSE(fs::exists(folder_ / "a"));
}

TEST_F(FilesTest, SignalsAndShortWritesAreNoFailures) {
  WatchedOps ops;
  const ScopedFileOps scope(ops);
  ops.interruptions = 3;
  ops.most_bytes = 2;
  write_file_atomic(folder_ / "f", "12345");
  EXPECT_EQ(folder_.read("f"), "12345");
  ops.interruptions = 3;
  EXPECT_FALSE(rename_path(folder_ / "f", folder_ / "g"));
  EXPECT_EQ(folder_.read("g"), "12345");
}

TEST_F(FilesTest, AWriteThatTakesNothingIsAFailure) {
  WatchedOps ops;
  const ScopedFileOps scope(ops);
  ops.takes_nothing = true;
  EXPECT_EQ(error_of([&] { write_file_atomic(folder_ / "f", "12345"); }, ErrorKind::kCheckpoint),
            "cannot write " + path("f") + ": Input/output error; check the disk");
  EXPECT_EQ(files_in_folder(), 0);
}

TEST_F(FilesTest, CopiesAFileAndSyncsItsContent) {
  // More than one piece of the copy, which is 1 MiB.
  const std::string content(1'500'000, 'x');
  folder_.write("from", content);
  WatchedOps ops;
  const ScopedFileOps scope(ops);
  copy_synced(folder_ / "from", folder_ / "to");
  EXPECT_TRUE(folder_.read("to") == content);
  EXPECT_THAT(ops.synced, ElementsAre(fs::canonical(folder_ / "to")));
}

TEST_F(FilesTest, RemovesATreeAndNotWhatItsLinksLeadTo) {
  folder_.write("kept/f", "x");
  folder_.write("tree/a/b", "x");
  fs::create_directory_symlink(folder_ / "kept", folder_ / "tree/a/link");
  EXPECT_FALSE(remove_tree(folder_ / "tree"));
  EXPECT_FALSE(remove_tree(folder_ / "tree"));
  EXPECT_FALSE(fs::exists(folder_ / "tree"));
  EXPECT_EQ(folder_.read("kept/f"), "x");
}

TEST_F(FilesTest, MakesFoldersInTheWorkingFolderAndWithASlashBehind) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  make_directories("bare");
  make_directories("c/d/");
  fs::current_path(before);
  EXPECT_TRUE(fs::is_directory(folder_ / "bare"));
  EXPECT_TRUE(fs::is_directory(folder_ / "c/d"));
}

TEST_F(FilesTest, SaysThatAFileIsInTheWayOfAFolder) {
  folder_.write("file", "");
  EXPECT_EQ(error_of([&] { make_directories(folder_ / "file/sub"); }, ErrorKind::kCheckpoint),
            "cannot make the folder " + path("file/sub") +
                ": Not a directory; a part of the path is a file where a folder is expected");
}

TEST_F(FilesTest, FreeSpaceOfAFolderThatIsNotYetThereIsThatOfTheOneAbove) {
  // Others write to the same disk meanwhile, so the two may differ, but not by as much as a half.
  const auto here = static_cast<double>(free_space(folder_.path()));
  EXPECT_NEAR(static_cast<double>(free_space(folder_ / "not/yet")), here, 0.5 * here);
}

TEST_F(FilesTest, SyncsFolders) {
  folder_.write("f", "x");
  EXPECT_NO_THROW(sync_directory(folder_.path()));
  EXPECT_EQ(error_of([&] { sync_directory(folder_ / "f"); }, ErrorKind::kCheckpoint),
            "cannot bring to the disk " + path("f") +
                ": Not a directory; a part of the path is a file where a folder is expected");
}

// No process has a number that high: the kernel's limit is 2^22.
TEST_F(FilesTest, LeftoversAreThoseOfProcessesThatAreNoMore) {
  for (const char* name : {"a.json.tmp-2000000000", "a.json", "b.tmp-x", "c.tmp-1"}) {
    folder_.write(name, "x");
  }
  std::filesystem::create_directory(folder_ / "d.tmp-2000000000");
  const std::filesystem::path earlier = temporary_path(folder_ / "e");  // a process of this id
  folder_.write(earlier.filename().string(), "x");
  remove_leftovers(folder_.path());
  EXPECT_FALSE(std::filesystem::exists(earlier));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a.json.tmp-2000000000"));
  for (const char* name : {"a.json", "b.tmp-x", "c.tmp-1", "d.tmp-2000000000"}) {
    EXPECT_TRUE(std::filesystem::exists(folder_ / name)) << name;
  }
  remove_leftovers(folder_ / "nowhere");
}

TEST_F(FilesTest, UniqueFdClosesOnceAndMoves) {
  UniqueFd first = create_file(folder_ / "f");
  const int number = first.get();
  UniqueFd second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): empty is what is promised
  EXPECT_EQ(second.get(), number);
  second.reset();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  EXPECT_EQ(errno, EBADF);
}

}  // namespace
}  // namespace pergola::host
