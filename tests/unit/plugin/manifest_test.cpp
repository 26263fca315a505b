// SPDX-License-Identifier: BSD-3-Clause
#include "host/plugin/manifest.h"

#include "fixtures/plugins/plugin_files.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pergola::host {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kHead = R"(name = "pythia"
version = "0.1.0"
license = "BSD-3-Clause"
description = "Attends over image regions"
)";
const std::string kModel = R"([models.pythia]
description = "Pythia v0.3"
)";

// The message when `text` is refused.
std::string refusal_of(const std::string& text) {
  return test::error_of([&] { (void)parse_manifest(text, "pythia.so:plugin.toml"); },
                        ErrorKind::kPlugin);
}

TEST(ManifestTest, AllThatAManifestSaysIsKept) {
  const auto manifest = parse_manifest(kHead + R"(authors = ["A. Author <a@example.org>"]
[models.pythia]
description = "Pythia v0.3"
[models.pythia.config]
hidden_dim = 5000
losses = ["logit_bce"]
[models.tiny]
description = "A small one"
[datasets.dots]
description = "Dots"
config = { samples = 3 }
[provides]
metric = ["z_score"]
loss = ["focal_loss", "anchor_loss"]
)",
                                       "pythia.so:plugin.toml");
  EXPECT_EQ(manifest.name, "pythia");
  EXPECT_EQ(manifest.version, "0.1.0");
  EXPECT_EQ(manifest.license, "BSD-3-Clause");
  EXPECT_EQ(manifest.description, "Attends over image regions");
  EXPECT_THAT(manifest.authors, ElementsAre("A. Author <a@example.org>"));
  EXPECT_THAT(manifest.keys("model"), ElementsAre("pythia", "tiny"));
  EXPECT_THAT(manifest.keys("loss"), ElementsAre("anchor_loss", "focal_loss"));
  EXPECT_THAT(manifest.keys("metric"), ElementsAre("z_score"));
  EXPECT_THAT(manifest.keys("dataset"), ElementsAre("dots"));
  EXPECT_EQ(manifest.datasets.at("dots").config.find("samples")->as_integer(), 3);
  EXPECT_THAT(manifest.keys("callback"), IsEmpty());
  const ConfigurableManifest& model = manifest.models.at("pythia");
  EXPECT_EQ(model.description, "Pythia v0.3");
  EXPECT_EQ(model.config.find("hidden_dim")->as_integer(), 5000);
  EXPECT_EQ(model.config.find("losses[0]")->as_string(), "logit_bce");
  EXPECT_TRUE(manifest.models.at("tiny").config.as_table().empty());
}

TEST(ManifestTest, AComponentMayBeDescribed) {
  const auto manifest = parse_manifest(kHead + R"([provides.loss.focal_loss]
description = "cross entropy that looks at hard samples"
params = { gamma = 2.0 }
)",
                                       "focal.so");
  EXPECT_THAT(manifest.keys("loss"), ElementsAre("focal_loss"));
  const ComponentSpec spec = component_spec(manifest.all("loss").at("focal_loss"));
  EXPECT_EQ(spec.summary, "cross entropy that looks at hard samples");
  ASSERT_EQ(spec.params.size(), 1U);
  EXPECT_EQ(spec.params[0].name, "gamma");
  EXPECT_EQ(spec.params[0].fallback, Value(2.0));
  EXPECT_THAT(refusal_of(kHead + "[provides.loss.x]\nparams = {}\n"), HasSubstr("description"));
  EXPECT_THAT(refusal_of(kHead + "[provides.loss.x]\ndescription = \"\"\nconfig = {}\n"),
              HasSubstr("unknown key 'provides.loss.x.config'"));
}

TEST(ManifestTest, DefaultsRememberWhereTheyWereWritten) {
  const auto manifest = parse_manifest(kHead + kModel + "[models.pythia.config]\nhidden_dim = 8\n",
                                       "pythia.so:plugin.toml");
  // Four lines of head, two of the model, the table's own, and then this one.
  EXPECT_THAT(manifest.models.at("pythia").config.find("hidden_dim")->origin(),
              HasSubstr("pythia.so:plugin.toml:8"));
}

TEST(ManifestTest, BrokenTomlIsRefusedWithItsPlace) {
  EXPECT_THAT(refusal_of(kHead + "models = [\n"), HasSubstr("pythia.so:plugin.toml:"));
}

TEST(ManifestTest, UnknownKeysAreRefusedWithTheClosest) {
  EXPECT_THAT(refusal_of(kHead + "licence = \"MIT\"\n" + kModel),
              AllOf(HasSubstr("plugin.toml:5"), HasSubstr("unknown key 'licence'"),
                    HasSubstr("did you mean 'license'?")));
  EXPECT_THAT(
      refusal_of(kHead + kModel + "conifg = {}\n"),
      AllOf(HasSubstr("unknown key 'models.pythia.conifg'"), HasSubstr("did you mean 'config'?")));
  EXPECT_THAT(refusal_of(kHead + "[provides]\nlosss = [\"a\"]\n"),
              AllOf(HasSubstr("unknown key 'provides.losss'"), HasSubstr("did you mean 'loss'?")));
}

TEST(ManifestTest, MissingKeysAreRefused) {
  EXPECT_THAT(refusal_of(kModel), HasSubstr("has no 'name'; add name = \"...\""));
  EXPECT_THAT(refusal_of(kHead + "[models.pythia]\n"),
              HasSubstr("'models.pythia' has no 'description'"));
}

TEST(ManifestTest, WrongTypesAreRefused) {
  EXPECT_THAT(refusal_of("name = 3\n"), HasSubstr("'name' is an integer; expected a string"));
  EXPECT_THAT(refusal_of(kHead + "models = \"pythia\"\n"),
              HasSubstr("'models' is a string; expected a table"));
  EXPECT_THAT(refusal_of(kHead + kModel + "config = 1\n"),
              HasSubstr("'models.pythia.config' is an integer; expected a table"));
  EXPECT_THAT(refusal_of(kHead + "[provides]\nloss = \"focal\"\n"),
              HasSubstr("'provides.loss' is a string; expected an array of strings"));
}

TEST(ManifestTest, IllFormedNamesAreRefused) {
  EXPECT_THAT(refusal_of("name = \"Pythia\"\n"),
              HasSubstr("the plugin's name 'Pythia' must begin with a small letter"));
  EXPECT_THAT(refusal_of(kHead + "[models.\"py/thia\"]\ndescription = \"\"\n"),
              HasSubstr("the model key 'py/thia' must begin"));
  EXPECT_THAT(refusal_of(kHead + "[provides]\nloss = [\"\"]\n"), HasSubstr("the loss key ''"));
}

TEST(ManifestTest, VersionsAreThreeNumbers) {
  for (const char* version : {"1", "1.2", "v1.2.3", "1.2.3.4", "1.2.x", "1..3", "1.2.3-", ""}) {
    EXPECT_THAT(refusal_of(std::string("name = \"a\"\nversion = \"") + version + "\"\n"),
                HasSubstr("is not MAJOR.MINOR.PATCH"));
  }
  std::string text = kHead + kModel;
  text.replace(text.find("0.1.0"), 5, "1.2.3-rc.1+5");
  EXPECT_EQ(parse_manifest(text, "a").version, "1.2.3-rc.1+5");
}

TEST(ManifestTest, ManifestThatOffersNothingIsRefused) {
  EXPECT_THAT(refusal_of(kHead), HasSubstr("the plugin has no models and nothing else to offer"));
  EXPECT_THAT(refusal_of(kHead + "[models]\n[provides]\nloss = []\n"), HasSubstr("has no models"));
}

TEST(ManifestTest, ModelsAreNotListedUnderProvides) {
  EXPECT_THAT(refusal_of(kHead + "[provides]\nmodel = [\"a\"]\n"), HasSubstr("[models.<key>]"));
  EXPECT_THAT(refusal_of(kHead + "[provides]\ndataset = [\"a\"]\n"), HasSubstr("[datasets.<key>]"));
}

TEST(ManifestTest, KeyThatIsListedTwiceIsRefused) {
  EXPECT_THAT(refusal_of(kHead + "[provides]\nloss = [\"b\", \"a\", \"b\"]\n"),
              HasSubstr("'provides.loss' lists 'b' twice"));
}

TEST(ManifestTest, ControlCharactersDoNotReachTheTerminal) {
  std::string text = kHead + kModel;
  text.replace(text.find("Attends"), 7, "\\u001b[31m");
  EXPECT_EQ(parse_manifest(text, "a").description, "\\x1b[31m over image regions");
  EXPECT_THAT(refusal_of(kHead + "\"\\u001b[31m\" = 1\n" + kModel),
              AllOf(HasSubstr("\\x1b[31m"), Not(HasSubstr("\x1b"))));
  EXPECT_THAT(refusal_of(kHead + "\x1b[31m"), Not(HasSubstr("\x1b")));
  EXPECT_THAT(refusal_of("name = \"\xff\"\n"), Not(HasSubstr("\xff")));
}

TEST(ManifestTest, HugeManifestsAreRefusedAndHugeKeysAreHarmless) {
  EXPECT_THAT(refusal_of(std::string(kMaxManifestSize + 1, ' ')),
              HasSubstr("is 1048577 bytes; at most 1048576"));
  EXPECT_THAT(refusal_of("name = \"a" + std::string(1'000'000, 'A') + "\"\n"),
              HasSubstr("must begin with a small letter"));
}

}  // namespace
}  // namespace pergola::host
