// SPDX-License-Identifier: BSD-3-Clause
#include "host/train/batch_parts.h"

#include "host/data/loader.h"
#include "host/model/guard.h"
#include "host/train/evaluation.h"
#include "host/train/own_fields.h"
#include "pergola/error.h"
#include "unit/train/boring.h"

#include <torch/types.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

using testing::ElementsAre;

// Three samples with a field of each kind; sample i has i rows in `packed`.
SampleList all_kinds() {
  SampleList batch;
  batch.add_field("tensor", torch::arange(6).view({3, 2}));
  batch.add_field(
      "list", std::vector<at::Tensor>{torch::zeros({1}), torch::ones({2}), torch::full({3}, 2.0)});
  batch.add_field("packed",
                  PackedTensor{torch::tensor({10, 20, 21, -1}), torch::tensor({0, 0, 1, 3})});
  batch.add_field("strings", Strings{"a", "b", "c"});
  batch.add_field("lists", std::vector<Strings>{{"a"}, {}, {"c", "d"}});
  SampleList group;
  group.add_field("inner", torch::arange(3));
  batch.add_field("group", std::make_shared<const SampleList>(std::move(group)));
  batch.set_dataset("toys", "train");
  return batch;
}

TEST(BatchPartsTest, RowsOfFieldsOfAllKindsAreTaken) {
  const SampleList rows = rows_of(all_kinds(), 1, 3);
  EXPECT_EQ(rows.batch_size(), 2);
  EXPECT_EQ(rows.dataset_name(), "toys");
  EXPECT_TRUE(rows.tensor("tensor").equal(torch::tensor({{2, 3}, {4, 5}})));
  EXPECT_EQ(rows.tensors("list").at(1).size(0), 3);
  // Rows 1 and 2 are [10] and [20, 21]; what lies behind them is nobody's.
  EXPECT_TRUE(rows.packed("packed").values.equal(torch::tensor({10, 20, 21})));
  EXPECT_TRUE(rows.packed("packed").offsets.equal(torch::tensor({0, 1, 3})));
  EXPECT_THAT(rows.strings("strings"), ElementsAre("b", "c"));
  EXPECT_THAT(rows.string_lists("lists").at(1), ElementsAre("c", "d"));
  EXPECT_TRUE(rows.group("group").tensor("inner").equal(torch::tensor({1, 2})));
}

TEST(BatchPartsTest, OutputsAreJoinedToWhatTheWholeWouldGive) {
  ModelOutput one;
  one.scores = torch::tensor({{1.0F}});
  one.losses = LossMap{{"mean", torch::tensor(1.0)}, {"by_sample", torch::tensor({1.0})}};
  one.fields = {{"rows", torch::tensor({1})}, {"table", torch::zeros({5})}};
  ModelOutput three;
  three.scores = torch::tensor({{2.0F}, {3.0F}, {4.0F}});
  three.losses = LossMap{{"mean", torch::tensor(5.0)},
                         {"by_sample", torch::tensor({2.0, 3.0, 4.0})},
                         {"sometimes", torch::tensor(7.0)}};
  three.fields = {{"rows", torch::tensor({2, 3, 4})}, {"table", torch::ones({5})}};
  const ModelOutput whole = join_outputs({one, three}, {1, 3});
  EXPECT_TRUE(whole.scores.equal(torch::tensor({{1.0F}, {2.0F}, {3.0F}, {4.0F}})));
  EXPECT_EQ(whole.losses->at("mean").item<double>(), 4);  // (1 * 1 + 3 * 5) / 4
  EXPECT_TRUE(whole.losses->at("by_sample").equal(torch::tensor({1.0, 2.0, 3.0, 4.0})));
  EXPECT_EQ(whole.losses->at("sometimes").item<double>(), 7);  // of those that have it
  EXPECT_TRUE(whole.fields.at("rows").equal(torch::tensor({1, 2, 3, 4})));
  EXPECT_TRUE(whole.fields.at("table").equal(torch::ones({5})));  // no row for each sample
}

// Adds to a batch how many samples it has, once for each.
class Counting final : public BaseModel {
 public:
  Counting() : BaseModel(Config(Value::Table{})) {}
  void build() override {}
  ModelOutput forward(const SampleList&) override { return {}; }
  void on_before_batch_transfer(SampleList& batch) const override {
    const std::int64_t size = batch.tensor("x").size(0);
    batch.set_field("size", torch::full({size}, size));
  }
};

std::vector<std::int64_t> sizes_of_parts(BatchSplitter& splitter, const SampleList& batch) {
  std::vector<std::int64_t> sizes;
  splitter.for_each_part(batch, [&](const SampleList& part) {
    sizes.push_back(part.batch_size());
    if (part.has("size")) {
      EXPECT_EQ(part.tensor("size")[0].item<std::int64_t>(), sizes.back());
    }
  });
  return sizes;
}

TEST(BatchPartsTest, PartsAreAsEqualAsCanBeAndTheModelAddsToEachAnew) {
  const Counting model;
  BatchSplitter splitter(model, at::kCPU);
  SampleList batch;
  batch.add_field("x", torch::arange(7));
  model.on_before_batch_transfer(batch);
  EXPECT_THAT(sizes_of_parts(splitter, batch), ElementsAre(7));
  EXPECT_TRUE(splitter.halve());
  EXPECT_EQ(splitter.most_samples(), 4);
  EXPECT_THAT(sizes_of_parts(splitter, batch), ElementsAre(3, 4));
  EXPECT_TRUE(splitter.halve());
  EXPECT_THAT(sizes_of_parts(splitter, batch), ElementsAre(1, 2, 2, 2));
  EXPECT_TRUE(splitter.halve());
  EXPECT_THAT(sizes_of_parts(splitter, batch), ElementsAre(1, 1, 1, 1, 1, 1, 1));
  EXPECT_FALSE(splitter.halve());
  EXPECT_EQ(splitter.most_samples(), 1);
}

// Calls `hook` with each batch before it is copied.
class Preparing final : public BaseModel {
 public:
  using PrepareHook = std::function<void(SampleList&)>;
  explicit Preparing(PrepareHook hook)
      : BaseModel(Config(Value::Table{}, "model_config.preparing")), hook_(std::move(hook)) {}
  void build() override {}
  ModelOutput forward(const SampleList&) override { return {}; }
  void on_before_batch_transfer(SampleList& batch) const override { hook_(batch); }

 private:
  PrepareHook hook_;
};

SampleList batch_of(const std::vector<std::string>& fields) {
  SampleList batch;
  for (const std::string& name : fields) batch.add_field(name, torch::arange(1, 5));
  batch.set_dataset("numbers", "train");
  return batch;
}

// add_field() refuses one that is there, so without `a` alone the hook stops at `b`.
TEST(OwnFieldsTest, AreFoundWhereAHookAddsSeveralAndReplacesNone) {
  const Preparing model([](SampleList& batch) {
    batch.add_field("b", batch.tensor("x") + 1);
    batch.add_field("a", batch.tensor("x") + 2);
  });
  SampleList batch = batch_of({"x", "y"});
  model.on_before_batch_transfer(batch);
  EXPECT_THAT(own_fields(model, batch), ElementsAre("x", "y"));
  EXPECT_THAT(own_fields(model, batch_of({"x"})), ElementsAre("x"));
}

// What a hook fills in where nobody else has is not what was there.
TEST(OwnFieldsTest, AFieldThatTheHookHasADefaultForIsTheDataSets) {
  const Preparing model([](SampleList& batch) {
    if (!batch.has("mask")) batch.add_field("mask", at::ones_like(batch.tensor("x")));
    batch.set_field("places", batch.tensor("x") + 1);
  });
  SampleList batch = batch_of({"mask", "x"});
  batch.add_field("places", batch.tensor("x") + 1);
  EXPECT_THAT(own_fields(model, batch), ElementsAre("mask", "x"));
  batch.set_field("mask", at::ones_like(batch.tensor("x")));
  EXPECT_THAT(own_fields(model, batch), ElementsAre("x"));
}

TEST(OwnFieldsTest, OfSplitsWithoutSomeAreTheirs) {
  const Counting model;
  BatchSplitter splitter(model, at::kCPU);
  for (const std::vector<std::string>& fields :
       {std::vector<std::string>{"size", "targets", "x"}, {"size", "x"}}) {
    std::vector<std::string> found;
    splitter.for_each_part(batch_of(fields),
                           [&](const SampleList& part) { found = part.fields(); });
    EXPECT_EQ(found, fields);
  }
}

// Each part would be divided a second time.
TEST(OwnFieldsTest, AHookThatChangesOneIsRefusedAndTheBatchIsAsItWas) {
  const Preparing model([](SampleList& batch) {
    batch.tensor("x").mul_(2);
    batch.set_field("places", batch.tensor("x") + 1);
  });
  const SampleList batch = batch_of({"places", "x"});
  try {
    static_cast<void>(own_fields(model, batch));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                testing::StartsWith("on_before_batch_transfer() of model 'preparing' changes field "
                                    "'x', and it has changed it before: "));
  }
  EXPECT_TRUE(batch.tensor("x").equal(torch::arange(1, 5)));
}

TEST(OwnFieldsTest, AreAllWhereTheHookAddsNone) {
  const Preparing model([](SampleList& batch) { batch.tensor("x").mul_(2); });
  const SampleList batch = batch_of({"x", "y"});
  EXPECT_THAT(own_fields(model, batch), ElementsAre("x", "y"));
  EXPECT_TRUE(batch.tensor("x").equal(torch::arange(1, 5)));
}

// 1 PiB a sample, of which no memory is taken before it is copied.
SampleList huge_batch() {
  SampleList batch;
  batch.add_field("x", torch::empty({4, std::int64_t{1} << 50},
                                    torch::dtype(torch::kByte).device(torch::kMeta)));
  return batch;
}

TEST(CopiesInPartsTest, ABatchWithoutRoomComesAsItIsAndIsHalved) {
  const Counting model;
  BatchSplitter splitter(model, at::kCPU);
  const SampleList batch = splitter.to_device(huge_batch());
  EXPECT_TRUE(batch.tensor("x").is_meta());
  int calls = 0;
  const auto step = [&calls](const SampleList&) {
    ++calls;
    return ModelOutput();
  };
  EXPECT_THROW(static_cast<void>(splitter.run(batch, step)), OutOfMemory);
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(splitter.most_samples(), 1);
  // The shortage was told; the next batch is another one.
  EXPECT_NO_THROW(static_cast<void>(splitter.run(splitter.to_device(batch_of({"x"})), step)));
  EXPECT_EQ(calls, 4);
}

TEST(CopiesInPartsTest, PartsAreOnTheDeviceAndTheirOutputIsWhereTheBatchIs) {
  const Preparing model([](SampleList&) {});
  BatchSplitter splitter(model, torch::kMeta);
  splitter.set_most_samples(2);
  bool is_on_device = true;
  splitter.for_each_part(batch_of({"x"}), [&](const SampleList& part) {
    is_on_device = is_on_device && part.tensor("x").is_meta();
  });
  EXPECT_TRUE(is_on_device);
  ModelOutput output;
  output.scores = torch::ones({4});
  const SampleList there = batch_of({"x"}).to(torch::kMeta);
  EXPECT_TRUE(splitter.join(batch_of({"x"}), {output}, {4}).scores.is_cpu());
  output.scores = output.scores.to(torch::kMeta);
  EXPECT_TRUE(splitter.join(there, {output}, {4}).scores.is_meta());
}

class EvaluationInPartsTest : public testing::Test {
 protected:
  Numbers run(BatchSplitter* splitter) {
    LoaderOptions options;
    options.dataset_name = "boring";
    options.dataset_type = "val";
    options.batch_size = 4;
    DataLoader loader(data_, options);
    EvaluationInput input{*model_, {&loader}, metrics_, c10::Device(c10::kCPU)};
    input.splitter = splitter;
    return evaluate(input);
  }
  // Remembers the sizes of what fits.
  void fit_at_most(std::int64_t samples) {
    model_->on_forward = [this, samples](ModelOutput& output) {
      if (output.scores.size(0) > samples) throw std::bad_alloc();
      sizes_.push_back(output.scores.size(0));
    };
  }

  Registry registry_ = builtin_registry();
  std::shared_ptr<BoringModel> model_ = make_boring_model(registry_);
  BoringDataset data_{10};
  MetricList metrics_{
      Config(Value::Table{{"metrics", Value::Array{"accuracy"}}}).typed_list("metrics"), registry_};
  std::vector<std::int64_t> sizes_;
};

// 10 samples in batches of 4, 4 and 2; those of 4 are halved, the second one from the start.
TEST_F(EvaluationInPartsTest, BatchesThatAreTooLargeGiveTheSameNumbersInParts) {
  const Numbers whole = run(nullptr);
  BatchSplitter splitter(*model_, at::kCPU);
  fit_at_most(2);
  const Numbers parts = run(&splitter);
  EXPECT_THAT(sizes_, ElementsAre(2, 2, 2, 2, 2));
  EXPECT_EQ(splitter.most_samples(), 2);
  ASSERT_EQ(parts.size(), whole.size());
  for (const auto& [key, number] : whole) EXPECT_NEAR(parts.at(key), number, 1e-6) << key;
}

TEST_F(EvaluationInPartsTest, ASampleThatIsTooLargeAloneIsAnError) {
  BatchSplitter splitter(*model_, at::kCPU);
  fit_at_most(0);
  EXPECT_THROW(run(&splitter), OutOfMemory);
  EXPECT_EQ(splitter.most_samples(), 1);
  EXPECT_THROW(run(nullptr), OutOfMemory);
}

}  // namespace
}  // namespace pergola::host
