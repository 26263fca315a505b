// SPDX-License-Identifier: BSD-3-Clause
// Samples of data sets that were made of a checkpoint's state, where their files are not.
#include "fixtures/npy_bytes.h"
#include "host/data/defaults.h"
#include "unit/data/fixture.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

#include <functional>

namespace pergola::host {
namespace {

namespace fs = std::filesystem;
using fixtures::npy_of;
using test::error_of;
using test::png_of;
using test::Rgb;
using test::TempFolder;
using testing::AllOf;
using testing::HasSubstr;

// Fields that samples share have the same values.
void expect_equal(const Sample& found, const Sample& expected) {
  for (const auto& [name, field] : found.fields()) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(expected.has(name));
    if (std::holds_alternative<at::Tensor>(field)) {
      EXPECT_TRUE(at::equal(found.tensor(name), expected.tensor(name)));
    } else if (std::holds_alternative<Strings>(field)) {
      EXPECT_EQ(found.strings(name), expected.strings(name));
    } else {
      expect_equal(found.group(name), expected.group(name));
    }
  }
}

class SampleFromTest : public testing::Test {
 protected:
  std::unique_ptr<Dataset> open(const std::string& name, const Value& config,
                                const Value* state = nullptr) const {
    const DatasetOptions options{name,     "test",    Config(config, "dataset_config." + name),
                                 "unused", registry_, state};
    return registry_.make_dataset(options);
  }
  // The data set that the state of `dataset` makes, in a folder that does not exist.
  std::unique_ptr<Dataset> restored(const std::string& name, Value config, const Dataset& dataset) {
    config["data_dir"] = "nowhere";
    state_ = dataset.state_dict();
    std::unique_ptr<Dataset> made = open(name, config, &state_);
    EXPECT_EQ(made->facts(), dataset.facts());
    EXPECT_EQ(made->size(), 0);
    EXPECT_EQ(made->state_dict(), state_);  // a checkpoint of a checkpoint
    return made;
  }
  static Sample get(const Dataset& dataset, std::int64_t index) {
    Rng rng(0);
    return dataset.get(index, rng);
  }
  static Sample from(const Dataset& dataset, const SampleInputs& inputs) {
    Rng rng(0);
    return dataset.sample_from(inputs, rng);
  }
  static std::string refused(const Dataset& dataset, const SampleInputs& inputs,
                             ErrorKind kind = ErrorKind::kConfig) {
    return error_of(kind, [&] { from(dataset, inputs); });
  }
  void expect_same_probabilities(const Dataset& one, const Dataset& other) {
    const at::Tensor scores = at::tensor({1.F, -2.F, 0.5F}).view({1, 3});
    EXPECT_TRUE(at::equal(one.probabilities(scores), other.probabilities(scores)));
  }

  TempFolder folder_;
  Registry registry_ = test::data_registry();
  Value state_;
};

TEST_F(SampleFromTest, OfEasyVqaIsThatOfTheSplit) {
  test::write_easy_vqa(folder_, 20);
  Value config = easy_vqa_defaults();
  config["data_dir"] = folder_.path().string();
  const auto dataset = open("easy_vqa", config);
  const auto made = restored("easy_vqa", config, *dataset);
  const fs::path image = folder_.path() / "test/images/1.png";
  const Sample sample = from(*made, {"is there a circle?", {image}, {}});
  expect_equal(sample, get(*dataset, 3));
  EXPECT_TRUE(sample.has("text") && sample.has("image") && !sample.has("targets"));
  expect_same_probabilities(*made, *dataset);

  EXPECT_THAT(refused(*made, {"", {image}, {}}), HasSubstr("--text is missing"));
  EXPECT_THAT(refused(*made, {"what?", {}, {}}), HasSubstr("--image is missing"));
  const fs::path wide = folder_.write("wide.png", png_of(7, 4, Rgb{1, 2, 3}));
  EXPECT_THAT(refused(*made, {"what?", {wide}, {}}, ErrorKind::kData),
              HasSubstr("wide.png is 7 x 4 pixels, expected 4 x 4, the size of those"));
}

TEST_F(SampleFromTest, OfEasyVqaTakesClassesToo) {
  test::write_easy_vqa(folder_, 20);
  Value config = easy_vqa_defaults();
  config["data_dir"] = folder_.path().string();
  config["processors"]["answer_processor"] = "class_label";
  const auto dataset = open("easy_vqa", config);
  const auto made = restored("easy_vqa", config, *dataset);
  expect_same_probabilities(*made, *dataset);
  EXPECT_DOUBLE_EQ(made->probabilities(at::ones({1, 2})).sum().item<double>(), 1);
}

class ImageTextSampleFromTest : public SampleFromTest {
 protected:
  ImageTextSampleFromTest() {
    for (int i = 0; i < 2; ++i) {
      const auto shade = static_cast<std::uint8_t>(50 * i);
      images_.push_back(folder_.write(concat(i, ".png"), png_of(4, 5, Rgb{shade, 9, 0})));
      const auto value = static_cast<float>(i);
      features_.push_back(folder_.write(concat(i, ".npy"), npy_of({value, 1, 2, value, 4, 5}, 3)));
    }
    config_["data_dir"] = folder_.path().string();
    config_["image_size"] = Value::Array{2, 3};
  }
  // Of train and test.
  void write_row(const std::string& row) const {
    folder_.write("train.jsonl", "{\"text\": \"a red dog\", " + row + "}\n");
    folder_.write("test.jsonl", "{\"text\": \"a red cat\", " + row + "}\n");
  }
  std::vector<fs::path> images_;
  std::vector<fs::path> features_;
  Value config_ = image_text_defaults();
};

TEST_F(ImageTextSampleFromTest, IsThatOfTheSplit) {
  write_row(R"("image": "1.png", "features": ["0.npy", "1.npy"], "label": "x")");
  const auto dataset = open("image_text", config_);
  const auto made = restored("image_text", config_, *dataset);
  const Sample sample = from(*made, {"a red cat", {images_[1]}, features_});
  expect_equal(sample, get(*dataset, 0));
  EXPECT_TRUE(sample.has("image_feature_1") && !sample.has("targets") && !sample.has("row"));
  expect_same_probabilities(*made, *dataset);
  EXPECT_THAT(refused(*made, {"a", {images_[1]}, {features_[0]}}),
              AllOf(HasSubstr("--features is given once"), HasSubstr("FILE 2 times")));
  const fs::path wide = folder_.write("wide.npy", npy_of({1, 2, 3, 4}, 4));
  EXPECT_THAT(refused(*made, {"a", {images_[1]}, {features_[0], wide}}, ErrorKind::kData),
              HasSubstr("wide.npy are 4 wide, expected 3"));
}

// A user's sentence is not to be guessed from its half.
TEST_F(ImageTextSampleFromTest, MasksNoWords) {
  write_row(R"("image": "1.png", "label": 0)");
  folder_.write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nred\ncat\n");
  for (const char* type : {"masked_token", "bert_tokenizer"}) {
    SCOPED_TRACE(type);
    Value params = Value::Table{{"vocab_file", "vocab.txt"}};
    if (type == std::string("bert_tokenizer")) params["mask_probability"] = 1.0;
    config_["processors"]["text_processor"] = Value::Table{{"type", type}, {"params", params}};
    const auto dataset = open("image_text", config_);
    const auto made = restored("image_text", config_, *dataset);
    const at::Tensor labels = from(*made, {"a red cat", {images_[1]}, {}}).tensor("lm_label_ids");
    EXPECT_TRUE(labels.eq(-1).all().item<bool>()) << labels;
  }
}

TEST_F(ImageTextSampleFromTest, OfPairsHasTwoGroups) {
  config_["paired"] = true;
  write_row(R"("image": ["0.png", "1.png"], "features": ["0.npy", "1.npy"], "answer": "x")");
  const auto dataset = open("image_text", config_);
  const auto made = restored("image_text", config_, *dataset);
  const Sample sample = from(*made, {"a red cat", images_, features_});
  expect_equal(sample, get(*dataset, 0));
  EXPECT_TRUE(sample.group("img1").has("image_feature_0"));
}

TEST_F(ImageTextSampleFromTest, WithoutResizingNeedsTheSizeOfTheData) {
  config_["image_size"] = Value::Array{};
  write_row(R"("image": "1.png", "label": 0)");
  const auto dataset = open("image_text", config_);
  const auto made = restored("image_text", config_, *dataset);
  expect_equal(from(*made, {"a red cat", {images_[1]}, {}}), get(*dataset, 0));
  const fs::path wide = folder_.write("wide.png", png_of(7, 4, Rgb{1, 2, 3}));
  EXPECT_THAT(refused(*made, {"a", {wide}, {}}, ErrorKind::kData), HasSubstr("4 x 5"));
}

TEST_F(ImageTextSampleFromTest, OfDataWithoutTargetsNeedsNoClasses) {
  write_row(R"("image": "1.png")");
  const auto dataset = open("image_text", config_);
  const auto made = restored("image_text", config_, *dataset);
  expect_equal(from(*made, {"a red cat", {images_[1]}, {}}), get(*dataset, 0));
}

TEST_F(ImageTextSampleFromTest, RefusesAStateThatIsNotWhole) {
  write_row(R"("features": "1.npy", "label": 0)");
  const Value whole = open("image_text", config_)->state_dict();
  const auto error = [&](const std::function<void(Value&)>& change) {
    Value state = whole;
    change(state);
    return error_of(ErrorKind::kCheckpoint, [&] { (void)open("image_text", config_, &state); });
  };
  EXPECT_THAT(error([](Value& state) { state.as_table().erase("images"); }),
              HasSubstr("of data set 'image_text' lacks images"));
  EXPECT_THAT(error([](Value& state) { state["feature_widths"] = Value::Array{}; }),
              HasSubstr("0 feature_widths, expected 1"));
  EXPECT_THAT(error([](Value& state) { state["has_answers"] = 1; }), HasSubstr("boolean"));
}

// What a data set of a plugin has that says nothing of it.
class Plain final : public Dataset {
 public:
  [[nodiscard]] std::int64_t size() const override { return 0; }
  [[nodiscard]] Sample get(std::int64_t /*index*/, Rng& /*rng*/) const override { return {}; }
};

TEST_F(SampleFromTest, ADataSetMakesNoneByDefault) {
  const Plain plain;
  EXPECT_TRUE(plain.state_dict().is_null());
  EXPECT_THAT(refused(plain, {"a", {}, {}}), HasSubstr("makes no samples but its own"));
  const at::Tensor scores = at::tensor({1.F, 2.F}).view({1, 2});
  EXPECT_TRUE(at::equal(plain.probabilities(scores), scores.to(at::kDouble).softmax(1)));
}

}  // namespace
}  // namespace pergola::host
