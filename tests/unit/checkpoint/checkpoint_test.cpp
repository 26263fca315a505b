// SPDX-License-Identifier: BSD-3-Clause
#include "host/checkpoint/checkpoint.h"

#include "host/checkpoint/manifest.h"
#include "host/checkpoint/safetensors.h"
#include "host/support/files.h"
#include "host/support/hash.h"
#include "host/support/json.h"
#include "unit/checkpoint/checkpoint_test_kit.h"

#include <gmock/gmock.h>

namespace pergola::host::checkpoint_test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class CheckpointTest : public testing::Test {
 protected:
  void SetUp() override { save_checkpoint(folder_, content_at(1)); }

  [[nodiscard]] std::string load_error() const {
    return error_of([&] { static_cast<void>(load_checkpoint(folder_)); });
  }
  // Replaces one file and tells the manifest, as only a program of the same purpose would.
  void forge(const std::string& name, const std::string& text) const {
    write_bytes(folder_ / name, text);
    Manifest manifest = read_manifest(folder_);
    manifest[name] = {text.size(), xxh3_file(folder_ / name, ErrorKind::kCheckpoint)};
    write_bytes(folder_ / kManifestFile, encode_manifest(manifest));
  }

  TempFolder temp_{memory_or_disk()};
  fs::path folder_ = temp_ / "last";
};

TEST_F(CheckpointTest, WhatIsSavedIsLoaded) {
  EXPECT_TRUE(same_content(load_checkpoint(folder_), content_at(1)));
}

TEST_F(CheckpointTest, TheFolderHasTheFourFilesAndNothingElse) {
  EXPECT_THAT(names_in(folder_), ElementsAre(kManifestFile, kModelFile, kStateFile, kTrainerFile));
  EXPECT_THAT(names_in(temp_.path()), ElementsAre("last"));
}

TEST_F(CheckpointTest, FoldersAboveItAreMade) {
  save_checkpoint(temp_ / "a/b/c", content_at(2));
  EXPECT_TRUE(verify_checkpoint(temp_ / "a/b/c").ok());
}

TEST_F(CheckpointTest, ATrailingSlashNamesTheSameFolder) {
  save_checkpoint(temp_.path() / "last/", content_at(2));
  EXPECT_TRUE(same_content(load_checkpoint(temp_.path() / "last/"), content_at(2)));
  EXPECT_THAT(names_in(temp_.path()), ElementsAre("last"));
}

TEST_F(CheckpointTest, SavingAgainReplacesIt) {
  save_checkpoint(folder_, content_at(2));
  EXPECT_TRUE(same_content(load_checkpoint(folder_), content_at(2)));
  EXPECT_THAT(names_in(temp_.path()), ElementsAre("last"));
}

TEST_F(CheckpointTest, SavingAgainReplacesItWhereFoldersCannotBeExchanged) {
  SaveHooks hooks;
  hooks.allow_exchange = false;
  save_checkpoint(folder_, content_at(2), hooks);
  EXPECT_TRUE(same_content(load_checkpoint(folder_), content_at(2)));
  EXPECT_THAT(names_in(temp_.path()), ElementsAre("last"));
}

TEST_F(CheckpointTest, ADamagedCheckpointIsReplacedToo) {
  fs::remove(folder_ / kManifestFile);
  save_checkpoint(folder_, content_at(2));
  EXPECT_TRUE(same_content(load_checkpoint(folder_), content_at(2)));
}

TEST_F(CheckpointTest, ThePredictionPartIsTheModelAndTheState) {
  const CheckpointContent content = load_checkpoint(folder_, CheckpointParts::kModel);
  EXPECT_TRUE(same_state(content.model, content_at(1).model));
  EXPECT_TRUE(content.trainer.empty());
  EXPECT_EQ(content.state, content_at(1).state);
}

TEST_F(CheckpointTest, TheModelFileNamesItsFormatForOtherTools) {
  EXPECT_EQ(read_safetensors_header(folder_ / kModelFile).metadata,
            (SafetensorsMetadata{{"format", "pt"}}));
}

TEST_F(CheckpointTest, TheStateFileHasItsVersionAndTheTable) {
  Value expected = content_at(1).state;
  expected["format_version"] = 1;
  EXPECT_EQ(from_json(read_bytes(folder_ / kStateFile), "state"), expected);
}

TEST_F(CheckpointTest, TheManifestHasSizeAndHashOfEachFile) {
  const Value manifest = from_json(read_bytes(folder_ / kManifestFile), "manifest");
  EXPECT_EQ(manifest.find("format_version")->as_integer(), 1);
  const auto& files = manifest.find("files")->as_table();
  ASSERT_EQ(files.size(), 3U);
  for (const auto& [name, entry] : files) {
    EXPECT_EQ(entry.as_table().at("size").as_integer(),
              static_cast<std::int64_t>(fs::file_size(folder_ / name)));
    EXPECT_EQ(entry.as_table().at("xxh3_128").as_string(),
              xxh3_file(folder_ / name, ErrorKind::kCheckpoint));
  }
}

TEST_F(CheckpointTest, AFloatThatIsNotFiniteIsReadBackAsNull) {
  CheckpointContent content = content_at(1);
  content.state["best"] = -INFINITY;
  save_checkpoint(folder_, content);
  EXPECT_TRUE(load_checkpoint(folder_).state.as_table().at("best").is_null());
}

TEST_F(CheckpointTest, AStateThatCouldNotBeReadAgainIsRefusedBeforeAnythingIsWritten) {
  CheckpointContent content = content_at(2);
  Value deep;
  for (int i = 0; i < 300; ++i) deep = Value(Value::Array{std::move(deep)});
  content.state["extras"] = std::move(deep);
  EXPECT_THAT(error_of([&] { save_checkpoint(folder_, content); }), HasSubstr("nested deeper"));
  EXPECT_TRUE(same_content(load_checkpoint(folder_), content_at(1)));
}

TEST_F(CheckpointTest, AFolderOfOtherThingsIsNotReplaced) {
  fs::create_directory(temp_ / "home");
  write_bytes(temp_ / "home/letter.txt", "dear");
  EXPECT_THAT(error_of([&] { save_checkpoint(temp_ / "home", content_at(1)); }),
              HasSubstr("is there and is no checkpoint; choose another name"));
  EXPECT_EQ(read_bytes(temp_ / "home/letter.txt"), "dear");
}

TEST_F(CheckpointTest, AFileIsNotReplaced) {
  write_bytes(temp_ / "file", "dear");
  EXPECT_THAT(error_of([&] { save_checkpoint(temp_ / "file", content_at(1)); }),
              HasSubstr("a file of this name is there"));
  EXPECT_EQ(read_bytes(temp_ / "file"), "dear");
}

TEST_F(CheckpointTest, LeftoversOfADeadProcessGoAndThoseOfOthersStay) {
  // No process has a number beyond the kernel's largest, 2^22; process 1 is always alive.
  for (const char* name : {".tmp-last-4194305", ".old-last-4194305", ".tmp-last-1",
                           ".tmp-best-4194305", ".tmp-last-x", "last-4194305"}) {
    fs::create_directory(temp_ / name);
  }
  save_checkpoint(folder_, content_at(2));
  EXPECT_THAT(names_in(temp_.path()), ElementsAre(".tmp-best-4194305", ".tmp-last-1", ".tmp-last-x",
                                                  "last", "last-4194305"));
}

TEST_F(CheckpointTest, ACopyMovedAsideIsUsedWhenItIsTheOnlyOne) {
  fs::rename(folder_, temp_ / ".old-last-4194305");
  EXPECT_TRUE(same_content(load_checkpoint(folder_), content_at(1)));
  save_checkpoint(folder_, content_at(2));
  EXPECT_THAT(names_in(temp_.path()), ElementsAre("last"));
}

TEST_F(CheckpointTest, AMissingFolderIsNamedWithTheNextStep) {
  EXPECT_EQ(error_of([&] { static_cast<void>(load_checkpoint(temp_ / "none")); }),
            "there is no checkpoint folder " + (temp_ / "none").string() +
                "; name a folder that holds a MANIFEST.json, such as <run>/checkpoints/last");
  EXPECT_THAT(error_of([&] { static_cast<void>(load_checkpoint(folder_ / kModelFile)); }),
              HasSubstr(": it is a file"));
}

TEST_F(CheckpointTest, AMissingFileIsNamed) {
  for (const char* name : {kModelFile, kTrainerFile, kStateFile}) {
    SetUp();
    fs::remove(folder_ / name);
    EXPECT_EQ(load_error(), (folder_ / name).string() + " is missing; use another checkpoint");
  }
}

TEST_F(CheckpointTest, AMissingManifestMeansThatSavingWasNeverFinished) {
  fs::remove(folder_ / kManifestFile);
  EXPECT_EQ(load_error(), folder_.string() +
                              " has no MANIFEST.json: it is no checkpoint, or saving it was never "
                              "finished; use another checkpoint");
}

TEST_F(CheckpointTest, ATruncatedFileIsNamedWithBothSizes) {
  const fs::path file = folder_ / kModelFile;
  const auto size = fs::file_size(file);
  fs::resize_file(file, size - 1);
  EXPECT_EQ(load_error(),
            concat(file.string(), " is damaged: it has ", size - 1,
                   " bytes, and MANIFEST.json says ", size, "; use another checkpoint"));
}

TEST_F(CheckpointTest, AFlippedByteIsNamedWithBothHashes) {
  const fs::path file = folder_ / kModelFile;
  const std::string expected = xxh3_file(file, ErrorKind::kCheckpoint);
  std::string bytes = read_bytes(file);
  bytes.back() ^= 1;
  write_bytes(file, bytes);
  EXPECT_EQ(load_error(),
            concat(file.string(), " is damaged: its XXH3-128 hash is ",
                   xxh3_file(file, ErrorKind::kCheckpoint), ", and MANIFEST.json says ", expected,
                   "; use another checkpoint"));
}

TEST_F(CheckpointTest, TheManifestOfAnotherCheckpointIsRefused) {
  save_checkpoint(temp_ / "other", content_at(2));
  fs::copy_file(temp_ / "other" / kManifestFile, folder_ / kManifestFile,
                fs::copy_options::overwrite_existing);
  EXPECT_THAT(load_error(), AllOf(HasSubstr(kModelFile), HasSubstr("is damaged")));
}

TEST_F(CheckpointTest, AStateThatIsNotJsonIsRefusedWithItsPlace) {
  forge(kStateFile, "{\n  broken");
  EXPECT_THAT(load_error(), HasSubstr((folder_ / kStateFile).string() + ":2:3 is not valid JSON"));
}

TEST_F(CheckpointTest, ANewerStateIsRefused) {
  forge(kStateFile, R"({"format_version": 2})");
  EXPECT_EQ(load_error(), (folder_ / kStateFile).string() +
                              " has format_version 2, and this Pergola reads 1; use the version of "
                              "Pergola that saved it");
}

TEST_F(CheckpointTest, AStateWithoutVersionIsRefused) {
  forge(kStateFile, "[]");
  EXPECT_THAT(load_error(), HasSubstr("has no format_version"));
}

TEST_F(CheckpointTest, ANewerManifestIsRefusedWhateverElseItSays) {
  write_bytes(folder_ / kManifestFile, R"({"format_version": 7, "shards": []})");
  EXPECT_THAT(load_error(), HasSubstr("has format_version 7, and this Pergola reads 1"));
}

TEST_F(CheckpointTest, AManifestThatDoesNotListTheFilesIsRefused) {
  for (const char* text :
       {"", "1", "{}", R"({"format_version": 1})", R"({"format_version": 1, "files": []})",
        R"({"format_version": 1, "files": {"model.safetensors": {"size": -1}}})"}) {
    write_bytes(folder_ / kManifestFile, text);
    EXPECT_THAT(load_error(), AllOf(HasSubstr("MANIFEST.json is damaged: it "),
                                    ::testing::EndsWith("; use another checkpoint")))
        << text;
  }
}

TEST_F(CheckpointTest, AManifestWithOtherFilesIsRefused) {
  Manifest manifest = read_manifest(folder_);
  manifest["../../secret"] = {1, std::string(32, '0')};
  write_bytes(folder_ / kManifestFile, encode_manifest(manifest));
  EXPECT_THAT(load_error(), HasSubstr("it lists 4 files, expected 3"));
}

TEST_F(CheckpointTest, TheReportHasEveryFileWithWhatWasFound) {
  fs::remove(folder_ / kTrainerFile);
  fs::resize_file(folder_ / kStateFile, 3);
  const CheckpointReport report = verify_checkpoint(folder_);
  ASSERT_EQ(report.files.size(), 3U);
  EXPECT_EQ(report.files[0].name, kModelFile);
  EXPECT_EQ(report.files[0].found, report.files[0].expected);
  EXPECT_EQ(report.files[0].problem, "");
  EXPECT_EQ(report.files[1].found->size, 3U);  // state.json, by name
  EXPECT_THAT(report.files[1].problem, HasSubstr("it has 3 bytes"));
  EXPECT_TRUE(report.files[2].missing && !report.files[2].found.has_value());
  EXPECT_EQ(report.first_problem(), report.files[1].problem);
}

}  // namespace
}  // namespace pergola::host::checkpoint_test
