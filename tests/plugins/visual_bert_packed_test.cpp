// SPDX-License-Identifier: BSD-3-Clause
// VisualBERT without padding, of batches that say where their tokens are.
#include "host/device/waiting_operations.h"
#include "plugins/visual_bert_mini.h"

namespace pergola::visual_bert {
namespace {

using test::close;
using test::prepared;

constexpr const char* kPacked = "attention = \"packed\"";

// Against "sdpa", the same weights: scores and all gradients.
void expect_as_sdpa(const std::string& change, const SampleList& batch) {
  const auto reference = build_random(change);
  const auto model = build_random(concat(kPacked, "\n", change));
  const at::Tensor expected = reference->forward(batch).scores;
  const at::Tensor found = model->forward(prepared(*model, batch)).scores;
  EXPECT_TRUE(close(found, expected, 1e-5)) << found << expected;
  expected.square().sum().backward();
  found.square().sum().backward();
  const auto parameters = reference->named_parameters();
  for (const auto& item : model->named_parameters()) {
    const at::Tensor& gradient = parameters[item.key()].grad();
    ASSERT_EQ(item.value().grad().defined(), gradient.defined()) << item.key();
    if (!gradient.defined()) continue;
    const double largest = gradient.abs().max().item<double>();
    EXPECT_TRUE(close(item.value().grad(), gradient, 1e-5 * std::max(largest, 1.0))) << item.key();
  }
}

SampleList with_regions(std::vector<std::int64_t> counts) {
  SampleList batch = mini_batch();
  SampleList info;
  info.add_field("max_features", torch::tensor(counts));
  batch.set_field("image_info_0", std::make_shared<const SampleList>(std::move(info)));
  return batch;
}

// 6 words, one sample of which has 4, and 3 regions; 9 places a sample.
TEST(VisualBertPacked, TheBatchSaysWhereWordsAndRegionsAre) {
  const SampleList batch = prepared(*build_mini({kPacked}), mini_batch());
  const PackedTensor& places = batch.packed("token_places");
  EXPECT_TRUE(places.offsets.equal(torch::tensor({0, 7, 15}, torch::kLong)));
  const std::vector<std::int64_t> expected = {0, 1,  2,  3,  6,  7,  8,  // and the second sample
                                              9, 10, 11, 12, 13, 14, 15, 16};
  EXPECT_TRUE(places.values.narrow(0, 0, 15).equal(torch::tensor(expected)));
  EXPECT_EQ(places.values.size(0), 128);
  for (const char* way : {"sdpa", "plain"}) {
    const auto model = build_mini({test::attention_key(way)});
    EXPECT_FALSE(prepared(*model, mini_batch()).has("token_places")) << way;
  }
}

TEST(VisualBertPacked, ASampleMayHaveNoRegionsAndAWordOfPadding) {
  for (const char* pooler : {"default", "vqa"}) {
    SampleList batch = with_regions({3, 0});
    at::Tensor ids = batch.tensor("input_ids").clone();
    ids[1][2] = 0;  // there, as its mask says
    batch.set_field("input_ids", ids);
    expect_as_sdpa(concat("pooler_strategy = \"", pooler, "\""), batch);
  }
}

TEST(VisualBertPacked, ABatchMayBeOfOneSample) {
  SampleList batch;
  for (const char* field : {"input_ids", "input_mask", "image_feature_0"}) {
    batch.add_field(field, mini_batch().tensor(field).narrow(0, 1, 1));
  }
  expect_as_sdpa("", batch);
}

TEST(VisualBertPacked, ChoicesAreSequencesOfTheirOwn) {
  SampleList batch;
  for (const char* field : {"input_ids", "input_mask", "segment_ids", "image_feature_0"}) {
    batch.add_field(field, mini_batch().tensor(field).unsqueeze(0));
  }
  expect_as_sdpa("", batch);
}

TEST(VisualBertPacked, RegionsMayComeOfPixels) {
  SampleList batch;
  batch.add_field("image", test::ramp({2, 3, 16, 13}, .1, .2));
  batch.add_field("text", torch::tensor({{3, 4, 5}, {6, 7, 0}}, torch::kLong));
  batch.add_field("text_len", torch::tensor(std::vector<std::int64_t>{3, 2}));
  for (const char* encoder : {R"({type = "grid", params = {channels = [4, 6], kernel_size = 3}})",
                              R"({type = "patch", params = {patch_size = 4, dim = 6}})"}) {
    expect_as_sdpa(concat("image_encoder = ", encoder, "\nmax_position_embeddings = 32"), batch);
  }
}

TEST(VisualBertPacked, HiddenStatesArePadded) {
  const char* const wanted = "output_hidden_states = true";
  const auto reference = build_random(wanted);
  const auto model = build_random(concat(kPacked, "\n", wanted));
  const SampleList batch = prepared(*model, mini_batch());
  const ModelOutput expected = reference->forward(batch);
  const ModelOutput found = model->forward(batch);
  const at::Tensor regions = torch::arange(3).lt(torch::tensor({{3}, {2}}));
  const at::Tensor there = torch::cat({batch.tensor("input_mask").ne(0), regions}, 1);
  ASSERT_EQ(found.fields.size(), 3U);
  for (const auto& [name, hidden] : found.fields) {
    EXPECT_TRUE(close(hidden.index({there}), expected.fields.at(name).index({there}), 1e-5))
        << name;
  }
}

// As forward() says it, which sees the whole batch.
TEST(VisualBertPacked, ImagesOfTwoShapesAreLeftToForward) {
  const auto model =
      build_random(concat(kPacked, "\ntraining_head_type = \"nlvr2\"\nnum_final_outputs = 2"));
  SampleList other;
  other.add_field("image_feature_0", torch::ones({2, 4, 7}));
  EXPECT_THAT(test::error_of(ErrorKind::kData,
                             [&] {
                               static_cast<void>(model->forward(
                                   prepared(*model, mini_pair(mini_image(), std::move(other)))));
                             }),
              ::testing::HasSubstr("expected one shape for both"));
}

// Counted on the CPU: what would wait for a GPU, in a forward and a backward pass.
TEST(VisualBertPacked, NobodyWaitsForAGpuWithAPreparedBatch) {
  for (const char* change :
       {"", "pooler_strategy = \"vqa\"", "bypass_transformer = true", "output_hidden_states = true",
        "training_head_type = \"nlvr2\"", "training_head_type = \"pretraining\""}) {
    for (const bool aligned : {false, true}) {
      const auto model = build_random(concat(kPacked, "\n", change));
      SampleList batch = mini_pair();
      SampleList image = mini_image();
      batch.add_field("image_feature_0", image.tensor("image_feature_0"));
      if (aligned) batch.add_field("image_text_alignment", mini_alignment());
      batch.add_field("lm_label_ids", torch::full({2, 6}, 7, torch::kLong));
      batch.set_dataset("mini", "train");
      batch = prepared(*model, batch);
      const host::WaitingOperations waiting;
      const ModelOutput output = model->forward(batch);
      (output.losses ? output.losses->begin()->second : output.scores.sum()).backward();
      EXPECT_TRUE(waiting.counts().empty()) << change;
    }
  }
}

}  // namespace
}  // namespace pergola::visual_bert
