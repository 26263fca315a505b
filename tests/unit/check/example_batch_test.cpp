// SPDX-License-Identifier: BSD-3-Clause
// ExampleBatches: what a manifest says of its fields holds for each sample, and a sample is the
// same wherever it stands.
#include "host/check/example_batch.h"

#include "host/support/files.h"
#include "pergola/error.h"
#include "unit/support/error_of.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

namespace pergola::host {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kHead = R"(name = "m"
version = "0.1.0"
license = "BSD-3-Clause"
description = ""
[models.m]
description = ""
config = { words = 0, answers = 0, dim = 4 }
[models.m.spec]
words = { need = "fact" }
)";

const std::string kFields = R"([models.m.fields]
text = { dtype = "int64", shape = ["T"], low = 1, below = "words", pad = -7 }
text_len = { length = "T" }
image_feature_0 = { shape = ["R", "dim"], pad = 0.5 }
image_info_0.max_features = { length = "R" }
image_info_0.detail.mask = { dtype = "bool", mask = "R" }
pixels = { shape = [3, "S"], low = -2, high = -1 }
flag = { dtype = "bool" }
question = { dtype = "string" }
targets = { shape = ["answers"], one_hot = true }
[models.m.check]
config = { answers = 5 }
sizes = { T = [1, 9], R = [2, 6], S = [1, 3] }
)";

ConfigurableManifest model_of(const std::string& tables = kFields) {
  return parse_manifest(kHead + tables, "m.so:plugin.toml").models.at("m");
}

ExampleBatches examples(const std::string& tables = kFields) {
  const ConfigurableManifest model = model_of(tables);
  return {model.inputs, examined_config(model)};
}

std::vector<std::int64_t> numbers_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kLong).contiguous().flatten();
  return {flat.data_ptr<std::int64_t>(), flat.data_ptr<std::int64_t>() + flat.numel()};
}

TEST(ExampleBatchTest, FieldsHaveTheirTypesAndShapes) {
  const SampleList batch = examples().make({.count = 3, .ragged = false});
  EXPECT_THAT(batch.fields(), ElementsAre("flag", "image_feature_0", "image_info_0", "pixels",
                                          "question", "targets", "text", "text_len"));
  EXPECT_EQ(batch.batch_size(), 3);
  EXPECT_EQ(batch.dataset_name(), "example");
  EXPECT_EQ(batch.dataset_type(), "train");
  // The most of each size: T = 9, R = 6, S = 3.
  EXPECT_THAT(batch.tensor("text").sizes().vec(), ElementsAre(3, 9));
  EXPECT_EQ(batch.tensor("text").scalar_type(), at::kLong);
  EXPECT_THAT(batch.tensor("image_feature_0").sizes().vec(), ElementsAre(3, 6, 4));
  EXPECT_EQ(batch.tensor("image_feature_0").scalar_type(), at::kFloat);
  EXPECT_THAT(batch.tensor("pixels").sizes().vec(), ElementsAre(3, 3, 3));
  EXPECT_THAT(batch.tensor("flag").sizes().vec(), ElementsAre(3));
  EXPECT_EQ(batch.tensor("flag").scalar_type(), at::kBool);
  EXPECT_EQ(batch.strings("question").size(), 3U);
  EXPECT_THAT(batch.tensor("targets").sizes().vec(), ElementsAre(3, 5));
}

TEST(ExampleBatchTest, DottedNamesAreGroupsInGroups) {
  const SampleList batch = examples().make({.count = 3, .ragged = false});
  const SampleList& info = batch.group("image_info_0");
  EXPECT_THAT(info.fields(), ElementsAre("detail", "max_features"));
  EXPECT_THAT(numbers_of(info.tensor("max_features")), ElementsAre(6, 6, 6));
  const at::Tensor& mask = info.group("detail").tensor("mask");
  EXPECT_EQ(mask.scalar_type(), at::kBool);
  EXPECT_THAT(mask.sizes().vec(), ElementsAre(3, 6));
}

TEST(ExampleBatchTest, NumbersAreWithinTheirBounds) {
  const SampleList batch = examples().make({.count = 500, .ragged = false});
  // 12 words, the fact that nobody has set; 4500 draws miss one of 11 numbers with a chance of
  // 11 (10/11)^4500.
  const std::vector<std::int64_t> words = numbers_of(batch.tensor("text"));
  EXPECT_THAT(std::set<std::int64_t>(words.begin(), words.end()),
              ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  const at::Tensor& pixels = batch.tensor("pixels");
  EXPECT_GE(pixels.min().item<float>(), -2.0F);
  EXPECT_LE(pixels.max().item<float>(), -1.0F);
  // Uniform: the mean of 4500 is within 6 standard errors, 6 / sqrt(12 * 4500) = 0.026.
  EXPECT_NEAR(pixels.mean().item<float>(), -1.5, 0.026);
  const at::Tensor share = batch.tensor("flag").to(at::kFloat).mean();
  EXPECT_NEAR(share.item<float>(), 0.5, 0.14);  // 6 / (2 sqrt(500))
  EXPECT_TRUE(batch.tensor("targets").sum(1).eq(1.0).all().item<bool>());
  EXPECT_TRUE(batch.tensor("targets").sum(0).gt(0.0).all().item<bool>());
}

TEST(ExampleBatchTest, FloatsWithoutBoundsAreStandardNormal) {
  const at::Tensor x = examples().make({.count = 500, .ragged = false}).tensor("image_feature_0");
  // Of n = 12000 numbers; 6 standard errors are 6 / sqrt(n) and 6 / sqrt(2 n). Within one standard
  // deviation are 0.683, with an error of sqrt(0.683 * 0.317 / n) = 0.0042.
  EXPECT_NEAR(x.mean().item<double>(), 0.0, 0.055);
  EXPECT_NEAR(x.std().item<double>(), 1.0, 0.039);
  EXPECT_NEAR(x.abs().lt(1.0).to(at::kFloat).mean().item<double>(), 0.683, 0.026);
}

TEST(ExampleBatchTest, ARaggedBatchIsAsLongAsItsLongestSample) {
  const ExampleBatches batches = examples();
  std::set<std::int64_t> seen;
  for (std::int64_t first = 0; first < 40; ++first) {
    const SampleList batch = batches.make({.first = first, .count = 3});
    const std::vector<std::int64_t> lengths = numbers_of(batch.tensor("text_len"));
    EXPECT_EQ(batch.tensor("text").size(1), *std::max_element(lengths.begin(), lengths.end()));
    seen.insert(lengths.begin(), lengths.end());
  }
  EXPECT_THAT(seen, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST(ExampleBatchTest, ASampleByItselfHasNoPadding) {
  for (std::int64_t first = 0; first < 20; ++first) {
    const SampleList batch = examples().make({.first = first, .count = 1});
    EXPECT_EQ(numbers_of(batch.tensor("text_len")).front(), batch.tensor("text").size(1));
    EXPECT_TRUE(batch.group("image_info_0").group("detail").tensor("mask").all().item<bool>());
  }
}

TEST(ExampleBatchTest, BehindASamplesOwnPartIsPadding) {
  const SampleList batch = examples().make({.count = 8});
  const SampleList& info = batch.group("image_info_0");
  const std::vector<std::int64_t> words = numbers_of(batch.tensor("text_len"));
  const std::vector<std::int64_t> regions = numbers_of(info.tensor("max_features"));
  const std::int64_t longest = batch.tensor("text").size(1);
  bool is_padded = false;
  for (std::int64_t i = 0; i < 8; ++i) {
    const std::int64_t own = words[static_cast<std::size_t>(i)];
    is_padded = is_padded || own < longest;
    const at::Tensor text = batch.tensor("text")[i];
    EXPECT_TRUE(text.narrow(0, 0, own).ge(1).all().item<bool>());
    EXPECT_TRUE(text.narrow(0, own, longest - own).eq(-7).all().item<bool>());
    const std::int64_t seen = regions[static_cast<std::size_t>(i)];
    const at::Tensor mask = info.group("detail").tensor("mask")[i];
    EXPECT_EQ(mask.sum().item<std::int64_t>(), seen);
    EXPECT_TRUE(mask.narrow(0, 0, seen).all().item<bool>());
    const at::Tensor feature = batch.tensor("image_feature_0")[i];
    EXPECT_TRUE(feature.narrow(0, seen, feature.size(0) - seen).eq(0.5).all().item<bool>());
  }
  EXPECT_TRUE(is_padded) << "8 samples of one length show nothing; take another seed";
}

// The own part of a field of row `i` of `batch` is all of that of `alone`, a batch of one.
void expect_same(const at::Tensor& batch, std::int64_t i, const at::Tensor& alone,
                 const std::string& field) {
  at::Tensor own = batch[i];
  for (std::int64_t dim = 0; dim < own.dim(); ++dim) own = own.narrow(dim, 0, alone.size(dim + 1));
  EXPECT_TRUE(own.equal(alone[0])) << field << " of sample " << i;
}

TEST(ExampleBatchTest, ASampleIsTheSameAloneAndAmongOthers) {
  const ExampleBatches batches = examples();
  for (const bool ragged : {true, false}) {
    const SampleList batch = batches.make({.first = 3, .count = 5, .ragged = ragged, .seed = 9});
    for (std::int64_t i = 0; i < 5; ++i) {
      const SampleList alone =
          batches.make({.first = 3 + i, .count = 1, .ragged = ragged, .seed = 9});
      for (const char* field :
           {"text", "text_len", "image_feature_0", "pixels", "flag", "targets"}) {
        expect_same(batch.tensor(field), i, alone.tensor(field), field);
      }
      EXPECT_EQ(batch.strings("question")[static_cast<std::size_t>(i)],
                alone.strings("question")[0]);
      expect_same(batch.group("image_info_0").tensor("max_features"), i,
                  alone.group("image_info_0").tensor("max_features"), "max_features");
    }
  }
}

TEST(ExampleBatchTest, APlanAlwaysMakesTheSameBatch) {
  const at::Tensor once = examples().make({.count = 4}).tensor("image_feature_0");
  EXPECT_TRUE(examples().make({.count = 4}).tensor("image_feature_0").equal(once));
}

TEST(ExampleBatchTest, OtherSeedsSamplesAndFieldsAreOther) {
  const ExampleBatches batches =
      examples("[models.m.fields]\na = { shape = [64] }\nb = { shape = [64] }\n");
  const SampleList batch = batches.make({.count = 2});
  EXPECT_FALSE(batch.tensor("a")[0].equal(batch.tensor("a")[1]));
  EXPECT_FALSE(batch.tensor("a")[0].equal(batch.tensor("b")[0]));
  EXPECT_FALSE(batch.tensor("a").equal(batches.make({.count = 2, .seed = 2}).tensor("a")));
}

TEST(ExampleBatchTest, APlanSaysTheSizesOfWhatHasNoLengthOfItsOwn) {
  const ExampleBatches batches = examples();
  const std::map<std::string, std::int64_t> sizes = {{"T", 2}, {"S", 1}};
  const SampleList even = batches.make({.count = 4, .ragged = false, .sizes = sizes});
  EXPECT_THAT(numbers_of(even.tensor("text_len")), ElementsAre(2, 2, 2, 2));
  EXPECT_EQ(even.tensor("text").size(1), 2);
  EXPECT_EQ(even.tensor("image_feature_0").size(1), 6);  // the most of R, of which it says nothing
  EXPECT_EQ(even.tensor("pixels").size(2), 1);
  const SampleList ragged = batches.make({.count = 40, .sizes = sizes});
  EXPECT_GT(ragged.tensor("text").size(1), 2);  // each sample has its own
  EXPECT_EQ(ragged.tensor("pixels").size(2), 1);
}

TEST(ExampleBatchTest, TellsWhatIsFloatAndWhetherThereAreLengths) {
  EXPECT_THAT(examples().float_fields(), ElementsAre("image_feature_0", "pixels", "targets"));
  EXPECT_TRUE(examples().has_lengths());
  const ExampleBatches even = examples("[models.m.fields]\na.b = { shape = [\"T\"] }\n");
  EXPECT_FALSE(even.has_lengths());
  EXPECT_THAT(even.float_fields(), ElementsAre("a.b"));
}

TEST(ExampleBatchTest, AModelWithoutFieldsHasAnEmptyBatch) {
  EXPECT_TRUE(examples("").make({}).fields().empty());
}

TEST(ExampleBatchTest, AKeyThatIsNoSizeIsRefusedWithFieldAndKey) {
  const ConfigurableManifest model = model_of();
  const auto refusal = [&](Value dim) {
    Value config = examined_config(model);
    dim.set_origin("command line");
    config["dim"] = std::move(dim);
    return test::error_of([&] { (void)ExampleBatches(model.inputs, config); });
  };
  EXPECT_THAT(refusal(0), AllOf(HasSubstr("the model's dim is 0 (command line)"),
                                HasSubstr("its field 'image_feature_0'"),
                                HasSubstr("expected an integer from 1 to 2^53")));
  EXPECT_THAT(refusal("wide"), HasSubstr("the model's dim is \"wide\""));
  Value without = examined_config(model);
  without.as_table().erase("dim");
  EXPECT_THAT(test::error_of([&] { (void)ExampleBatches(model.inputs, without); }),
              HasSubstr("the model's dim is missing"));
}

TEST(ExampleBatchTest, AKeyThatLeavesNoNumberIsRefused) {
  const ConfigurableManifest model = model_of();
  Value config = examined_config(model);
  config["words"] = 1;  // and text is at least 1
  EXPECT_THAT(test::error_of([&] { (void)ExampleBatches(model.inputs, config); }),
              AllOf(HasSubstr("words is 1"), HasSubstr("field 'text' is at least 1 and below")));
}

TEST(ExampleBatchTest, AFieldThatWouldFillTheMemoryIsRefused) {
  const std::string tables = "[models.m.fields]\na = { shape = [1048576, 1048576, 1048576, 8] }\n";
  EXPECT_THAT(test::error_of([&] { (void)examples(tables).make({}); }),
              AllOf(HasSubstr("the field 'a'"), HasSubstr("more than 134217728 numbers")));
}

TEST(ExaminedConfigTest, IsTheDefaultsWithTheChecksConfigAndFacts) {
  const Value config = examined_config(model_of());
  EXPECT_EQ(config.find("words")->as_integer(), 12);   // a fact that was 0
  EXPECT_EQ(config.find("answers")->as_integer(), 5);  // check.config
  EXPECT_EQ(config.find("dim")->as_integer(), 4);      // the default
  EXPECT_EQ(
      examined_config(model_of("[models.m.check.config]\nwords = 3\n")).find("words")->as_integer(),
      3);
  // Not said to be a fact.
  EXPECT_EQ(examined_config(model_of("")).find("answers")->as_integer(), 0);
}

TEST(ShippedModelsTest, EachModelSaysWhatItReads) {
  int models = 0;
  for (const auto& entry : std::filesystem::directory_iterator(PERGOLA_PLUGIN_SOURCES)) {
    const std::filesystem::path file = entry.path() / "plugin.toml";
    if (!std::filesystem::exists(file)) continue;
    const PluginManifest manifest =
        parse_manifest(read_file(file, ErrorKind::kPlugin), file.string());
    for (const auto& [key, model] : manifest.models) {
      ++models;
      EXPECT_FALSE(model.inputs.fields.empty()) << key;
      for (const FieldSpec& field : model.inputs.fields) {
        EXPECT_FALSE(field.meaning.empty()) << key << '.' << field.name;
      }
      const ExampleBatches batches(model.inputs, examined_config(model));
      EXPECT_EQ(batches.make({.count = 5}).batch_size(), 5) << key;
    }
  }
  EXPECT_GE(models, 8);
}

}  // namespace
}  // namespace pergola::host
