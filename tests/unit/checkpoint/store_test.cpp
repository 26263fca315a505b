// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/store.h"

#include "host/checkpoint/manifest.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <gmock/gmock.h>

namespace pergola::host::checkpoint_test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

class CheckpointStoreTest : public testing::Test {
 protected:
  // What a trainer does at a checkpoint.
  static void save(const CheckpointStore& store, std::int64_t update) {
    store.save_last(content_at(update));
    store.save_update(update);
  }
  static void damage(const fs::path& folder) {
    // A new file, since a link shares its bytes with other checkpoints.
    fs::remove(folder / kModelFile);
    write_bytes(folder / kModelFile, "damaged");
  }
  [[nodiscard]] std::set<std::string> checkpoints() const {
    return names_in(temp_ / "checkpoints");
  }

  TempFolder temp_{memory_or_disk()};
  CheckpointStore store_{temp_.path()};
};

TEST_F(CheckpointStoreTest, ANewRunHasNothingToResumeAndNoFolders) {
  EXPECT_FALSE(store_.find_resume().has_value());
  EXPECT_TRUE(fs::is_empty(temp_.path()));
}

TEST_F(CheckpointStoreTest, TheNamesAreThoseOfTheRunFolder) {
  save(store_, 1000);
  store_.save_best();
  EXPECT_THAT(checkpoints(), ElementsAre("best", "last", "update_00001000"));
  EXPECT_EQ(store_.update(123456789).filename(), "update_123456789");
}

TEST_F(CheckpointStoreTest, EachNameHoldsTheContentOfItsTime) {
  save(store_, 1);
  store_.save_best();
  save(store_, 2);
  EXPECT_TRUE(same_content(load_checkpoint(store_.best()), content_at(1)));
  EXPECT_TRUE(same_content(load_checkpoint(store_.update(1)), content_at(1)));
  EXPECT_TRUE(same_content(load_checkpoint(store_.update(2)), content_at(2)));
  EXPECT_TRUE(same_content(load_checkpoint(store_.last()), content_at(2)));
}

TEST_F(CheckpointStoreTest, TheNamesOfOneSaveShareItsBytesOnTheDisk) {
  save(store_, 1);
  store_.save_best();
  for (const char* file : {kModelFile, kTrainerFile, kStateFile, kManifestFile}) {
    EXPECT_EQ(fs::hard_link_count(store_.last() / file), 3U) << file;
  }
}

TEST_F(CheckpointStoreTest, BestWithoutLastIsAnErrorThatLeavesNothing) {
  EXPECT_THAT(error_of([&] { store_.save_best(); }), HasSubstr("last/model.safetensors"));
  EXPECT_TRUE(checkpoints().empty());
}

TEST_F(CheckpointStoreTest, AllUpdatesAreKeptByDefault) {
  for (const std::int64_t update : {1, 2, 3}) save(store_, update);
  EXPECT_THAT(store_.updates(), SizeIs(3));
}

TEST_F(CheckpointStoreTest, OnlyTheNewestUpdatesAreKept) {
  const CheckpointStore store(temp_.path(), 2);
  for (const std::int64_t update : {1, 2, 3}) {
    save(store, update);
    store.save_best();
  }
  EXPECT_THAT(checkpoints(), ElementsAre("best", "last", "update_00000002", "update_00000003"));
}

TEST_F(CheckpointStoreTest, KeepingNoUpdatesSavesNone) {
  const CheckpointStore store(temp_.path(), 0);
  save(store, 1);
  EXPECT_THAT(checkpoints(), ElementsAre("last"));
}

TEST_F(CheckpointStoreTest, TheUpdateJustSavedStaysWhateverNumbersAreThere) {
  // Resumed from an old one, the numbers start again below those that are there.
  save(store_, 10);
  const CheckpointStore store(temp_.path(), 1);
  save(store, 5);
  EXPECT_THAT(checkpoints(), ElementsAre("last", "update_00000005"));
}

TEST_F(CheckpointStoreTest, OtherNamesAreNeitherCountedNorRemoved) {
  const CheckpointStore store(temp_.path(), 1);
  fs::create_directories(temp_ / "checkpoints/update_mine");
  fs::create_directories(temp_ / "checkpoints/update_-1");
  write_bytes(temp_ / "checkpoints/notes.txt", "dear");
  save(store, 1);
  save(store, 2);
  EXPECT_THAT(checkpoints(),
              ElementsAre("last", "notes.txt", "update_-1", "update_00000002", "update_mine"));
  EXPECT_THAT(store.updates(), SizeIs(1));
}

TEST_F(CheckpointStoreTest, LeftoversOfAnyOfItsNamesGoWithTheNextSave) {
  // No process has a number beyond the kernel's largest, 2^22.
  for (const char* name :
       {".tmp-update_00000001-4194305", ".tmp-best-4194305", ".tmp-mine-4194305"}) {
    fs::create_directories(temp_ / "checkpoints" / name);
  }
  store_.save_last(content_at(1));
  EXPECT_THAT(checkpoints(), ElementsAre(".tmp-mine-4194305", "last"));
}

TEST_F(CheckpointStoreTest, ResumingStartsFromLast) {
  save(store_, 1);
  store_.save_last(content_at(2));
  const auto point = store_.find_resume();
  ASSERT_TRUE(point.has_value());
  EXPECT_EQ(point->folder, store_.last());
  EXPECT_TRUE(same_content(point->content, content_at(2)));
  EXPECT_TRUE(point->failures.empty());
}

TEST_F(CheckpointStoreTest, ABrokenLastIsReportedAndTheNewestUpdateUsed) {
  for (const std::int64_t update : {1, 2}) save(store_, update);
  damage(store_.last());
  const auto point = store_.find_resume();
  ASSERT_TRUE(point.has_value());
  EXPECT_EQ(point->folder, store_.update(2));
  EXPECT_TRUE(same_content(point->content, content_at(2)));
  EXPECT_THAT(point->failures,
              ElementsAre(AllOf(HasSubstr("last/model.safetensors"), HasSubstr("it has 7 bytes"))));
}

TEST_F(CheckpointStoreTest, BrokenUpdatesArePassedOverOneByOne) {
  for (const std::int64_t update : {9, 10, 11}) save(store_, update);
  for (const auto& folder : {store_.last(), store_.update(11)}) damage(folder);
  fs::remove(store_.update(10) / kManifestFile);
  const auto point = store_.find_resume();
  ASSERT_TRUE(point.has_value());
  EXPECT_EQ(point->folder, store_.update(9));
  EXPECT_THAT(point->failures,
              ElementsAre(HasSubstr("last/model"), HasSubstr("update_00000011/model"),
                          HasSubstr("update_00000010 has no MANIFEST.json")));
}

TEST_F(CheckpointStoreTest, TheOneThatIsGoneOnFromBecomesLast) {
  save(store_, 4);
  store_.save_best();
  for (const std::int64_t update : {6, 9}) save(store_, update);
  store_.resume_at(store_.best(), 4);
  EXPECT_TRUE(same_content(load_checkpoint(store_.last()), content_at(4)));
  EXPECT_THAT(checkpoints(), ElementsAre("best", "last", "update_00000004"));
}

TEST_F(CheckpointStoreTest, GoingOnFromLastChangesNothing) {
  for (const std::int64_t update : {1, 2}) save(store_, update);
  const auto written = fs::last_write_time(store_.last());
  store_.resume_at(store_.last(), 2);
  EXPECT_EQ(fs::last_write_time(store_.last()), written);
  EXPECT_THAT(checkpoints(), ElementsAre("last", "update_00000001", "update_00000002"));
}

TEST_F(CheckpointStoreTest, ALastThatIsGoneIsNoFailure) {
  save(store_, 1);
  fs::remove_all(store_.last());
  const auto point = store_.find_resume();
  ASSERT_TRUE(point.has_value());
  EXPECT_EQ(point->folder, store_.update(1));
  EXPECT_TRUE(point->failures.empty());
}

TEST_F(CheckpointStoreTest, OnlyBrokenCheckpointsAreAnErrorNotAFreshStart) {
  save(store_, 1);
  damage(store_.last());
  damage(store_.update(1));
  EXPECT_THAT(error_of([&] { static_cast<void>(store_.find_resume()); }),
              AllOf(HasSubstr("none of the 2 checkpoints in"), HasSubstr("last/model.safetensors"),
                    HasSubstr("start again with --overwrite")));
}

TEST_F(CheckpointStoreTest, AWholeBestIsNamedAndNotOfferedToBeOverwritten) {
  store_.save_last(content_at(1));
  store_.save_best();
  damage(store_.last());
  const std::string best = store_.best().string();
  const std::string error = error_of([&] { static_cast<void>(store_.find_resume()); });
  EXPECT_THAT(error, EndsWith("; " + best +
                              " is whole and is kept: evaluate it with `pergola test CONFIG "
                              "--checkpoint " +
                              best + "`, and train again in another folder with --run-dir"));
  EXPECT_THAT(error, Not(HasSubstr("--overwrite")));
}

TEST_F(CheckpointStoreTest, ABrokenBestIsNotOffered) {
  store_.save_last(content_at(1));
  store_.save_best();
  damage(store_.last());
  damage(store_.best());
  EXPECT_THAT(error_of([&] { static_cast<void>(store_.find_resume()); }),
              EndsWith("; start again with --overwrite"));
}

// `best` alone is no place to go on from, and starting at 0 would replace it.
TEST_F(CheckpointStoreTest, OnlyABestIsNoNewRun) {
  store_.save_last(content_at(1));
  store_.save_best();
  fs::remove_all(store_.last());
  EXPECT_THAT(error_of([&] { static_cast<void>(store_.find_resume()); }),
              AllOf(HasSubstr("there is neither `last` nor an `update_*` in " +
                              (temp_ / "checkpoints").string()),
                    HasSubstr("best is whole and is kept"), Not(HasSubstr("--overwrite"))));
  damage(store_.best());
  EXPECT_THAT(error_of([&] { static_cast<void>(store_.find_resume()); }),
              EndsWith("; start again with --overwrite"));
  fs::rename(store_.best(), temp_ / "checkpoints/.old-best-4194305");
  EXPECT_THAT(error_of([&] { static_cast<void>(store_.find_resume()); }), HasSubstr("neither"));
}

TEST_F(CheckpointStoreTest, WhatCanBeSavedIsKnownBeforeAndLeavesNothing) {
  store_.check_writable();
  EXPECT_TRUE(fs::is_empty(temp_.path()));
  save(store_, 1);
  store_.save_best();
  store_.check_writable();
  EXPECT_THAT(checkpoints(), ElementsAre("best", "last", "update_00000001"));
  EXPECT_TRUE(same_content(load_checkpoint(store_.last()), content_at(1)));
}

TEST_F(CheckpointStoreTest, WhatCannotBeReplacedIsKnownBefore) {
  for (const fs::path& folder : {store_.last(), store_.best()}) {
    fs::create_directories(folder.parent_path());
    write_bytes(folder, "a file");
    EXPECT_THAT(error_of([&] { store_.check_writable(); }),
                HasSubstr(folder.string() + ": a file of this name is there"));
    fs::remove(folder);
    fs::create_directories(folder / "mine");
    EXPECT_THAT(
        error_of([&] { store_.check_writable(); }),
        HasSubstr(folder.string() + ": a folder of this name is there and is no checkpoint"));
    fs::remove_all(folder);
  }
  fs::remove(temp_ / "checkpoints");
  write_bytes(temp_ / "checkpoints", "a file");
  EXPECT_THAT(error_of([&] { store_.check_writable(); }),
              HasSubstr("a file where a folder is expected"));
}

// With a link to itself in its place, every look into the folder is refused, as it is with a disk
// that fails or a folder that is closed; and root is refused too.
TEST_F(CheckpointStoreTest, AFolderThatCannotBeLookedIntoIsNoNewRun) {
  fs::create_symlink("checkpoints", temp_ / "checkpoints");
  const auto refused = AllOf(HasSubstr("cannot read " + (temp_ / "checkpoints").string()),
                             HasSubstr("Too many levels of symbolic links"));
  EXPECT_THAT(error_of([&] { static_cast<void>(store_.find_resume()); }), refused);
  EXPECT_THAT(error_of([&] { static_cast<void>(store_.find_weights()); }), refused);
  EXPECT_THAT(error_of([&] { static_cast<void>(store_.updates()); }), refused);
}

TEST_F(CheckpointStoreTest, AManifestThatCannotBeLookedIntoIsNotSaidToBeMissing) {
  store_.save_last(content_at(1));
  fs::remove(store_.last() / kManifestFile);
  fs::create_symlink(kManifestFile, store_.last() / kManifestFile);
  EXPECT_THAT(error_of([&] { static_cast<void>(load_checkpoint(store_.last())); }),
              HasSubstr("last/MANIFEST.json: Too many levels of symbolic links"));
}

TEST_F(CheckpointStoreTest, AFileInPlaceOfTheFolderIsNoNewRun) {
  write_bytes(temp_ / "checkpoints", "text");
  EXPECT_THAT(error_of([&] { static_cast<void>(store_.find_resume()); }),
              AllOf(HasSubstr("checkpoints/last: Not a directory"),
                    HasSubstr("a file where a folder is expected")));
}

TEST_F(CheckpointStoreTest, TheWeightsAreThoseOfBestOrElseOfLast) {
  EXPECT_FALSE(store_.find_weights().has_value());
  store_.save_last(content_at(1));
  EXPECT_EQ(store_.find_weights(), store_.last());
  store_.save_best();
  EXPECT_EQ(store_.find_weights(), store_.best());
}

TEST_F(CheckpointStoreTest, ABestThatACrashLeftAsideIsStillTheBest) {
  store_.save_last(content_at(1));
  store_.save_best();
  store_.save_last(content_at(2));
  fs::rename(store_.best(), temp_ / "checkpoints/.old-best-4194305");
  EXPECT_EQ(store_.find_weights(), store_.best());
  EXPECT_TRUE(same_content(load_checkpoint(store_.best()), content_at(1)));
}

TEST_F(CheckpointStoreTest, AManifestWithAHugeHoleIsRefusedUnread) {
  store_.save_last(content_at(1));
  fs::resize_file(store_.last() / kManifestFile, 200'000'000'000);
  EXPECT_THAT(error_of([&] { static_cast<void>(load_checkpoint(store_.last())); }),
              HasSubstr("MANIFEST.json: it has 200000000000 bytes, more than the 1000000 allowed"));
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
