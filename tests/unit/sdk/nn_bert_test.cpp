// SPDX-License-Identifier: BSD-3-Clause
// BERT in parts, each on its own: a layer against LibTorch's, the others by hand. Whole models
// against Hugging Face's are in tests/plugins.
#include "host/device/waiting_operations.h"
#include "pergola/nn/bert.h"
#include "pergola/nn/bert_heads.h"
#include "unit/sdk/data_error.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/transformerlayer.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pergola::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A BERT of 2 layers and 2 heads, 8 wide, for texts of up to 6 of 11 words. No dropout.
BertConfig mini(AttentionKind attention = AttentionKind::kSdpa) {
  BertConfig config;
  config.vocab_size = 11;
  config.hidden_size = 8;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 2;
  config.intermediate_size = 12;
  config.hidden_dropout_prob = 0;
  config.attention_probs_dropout_prob = 0;
  config.max_position_embeddings = 6;
  config.layer_norm_eps = 1e-5;  // of LibTorch's layer
  config.attention = attention;
  return config;
}

// In double precision, with weights that are far apart.
template <class Module>
void randomize(Module& module) {
  module.to(torch::kDouble);
  const torch::NoGradGuard no_grad;
  for (at::Tensor& parameter : module.parameters()) parameter.normal_(0, 0.5);
}

at::Tensor of(const torch::nn::Module& module, const std::string& name) {
  return module.named_parameters()[name];
}

bool close(const at::Tensor& found, const at::Tensor& expected) {
  return found.sizes() == expected.sizes() && torch::allclose(found, expected, 0, 1e-12);
}

class BertPartsTest : public ::testing::TestWithParam<AttentionKind> {
 protected:
  BertPartsTest() { torch::manual_seed(5); }

  // Three samples of 4, 2 and 1 tokens.
  const TokenMask mask_{torch::tensor({{1, 1, 1, 1}, {1, 1, 0, 0}, {1, 0, 0, 0}}, torch::kLong)};
};

// A copy of the layer's weights in LibTorch's, whose attention and norms are its own.
torch::nn::TransformerEncoderLayer librarys(const BertLayer& layer) {
  torch::nn::TransformerEncoderLayer other(
      torch::nn::TransformerEncoderLayerOptions(8, 2).dim_feedforward(12).dropout(0).activation(
          torch::kGELU));
  other->to(torch::kDouble);
  const torch::NoGradGuard no_grad;
  for (const std::string part : {"weight", "bias"}) {
    const auto copy = [&](const char* to, const at::Tensor& from) {
      of(*other, to + ("." + part)).copy_(from);
    };
    const auto own = [&](const char* name) { return of(layer, name + ("." + part)); };
    of(*other, "self_attn.in_proj_" + part)
        .copy_(at::cat(
            {own("attention.self.query"), own("attention.self.key"), own("attention.self.value")}));
    copy("self_attn.out_proj", own("attention.output.dense"));
    copy("norm1", own("attention.output.LayerNorm"));
    copy("linear1", own("intermediate.dense"));
    copy("linear2", own("output.dense"));
    copy("norm2", own("output.LayerNorm"));
  }
  return other;
}

TEST_P(BertPartsTest, ALayerIsThatOfLibTorch) {
  BertLayer layer(mini(GetParam()));
  randomize(layer);
  const at::Tensor hidden = torch::randn({3, 4, 8}, torch::kDouble);
  const at::Tensor expected =
      librarys(layer)
          ->forward(hidden.transpose(0, 1), /*src_mask=*/{}, mask_.present().logical_not())
          .transpose(0, 1);
  const bool packed = GetParam() == AttentionKind::kPacked;
  const at::Tensor found = layer.forward(packed ? mask_.pack(hidden) : hidden, mask_);
  EXPECT_TRUE(close(packed ? found : mask_.pack(found), mask_.pack(expected)));
}

TEST_P(BertPartsTest, AnEncoderIsItsLayersInTurnAndTracesThem) {
  BertEncoder encoder(mini(GetParam()));
  randomize(encoder);
  const at::Tensor hidden = torch::randn({3, 4, 8}, torch::kDouble);
  BertTrace trace;
  const at::Tensor found = encoder.forward(hidden, mask_, &trace);
  ASSERT_EQ(trace.hidden_states.size(), 3U);
  EXPECT_TRUE(trace.hidden_states.front().equal(hidden));
  EXPECT_TRUE(trace.hidden_states.back().equal(found));
  for (std::size_t i = 0; i < 2; ++i) {
    BertLayer layer(mini());
    layer.to(torch::kDouble);
    const torch::NoGradGuard no_grad;
    for (auto& item : layer.named_parameters()) {
      item.value().copy_(of(encoder, concat("layer.", i, ".", item.key())));
    }
    EXPECT_TRUE(close(mask_.pack(layer.forward(trace.hidden_states[i], mask_)),
                      mask_.pack(trace.hidden_states[i + 1])));
  }
  if (GetParam() != AttentionKind::kPlain) return;
  ASSERT_EQ(trace.attentions.size(), 2U);
  EXPECT_THAT(trace.attentions[1].sizes().vec(), ElementsAre(3, 2, 4, 4));
  EXPECT_TRUE(close(trace.attentions[1].sum(-1), torch::ones({3, 2, 4}, torch::kDouble)));
  EXPECT_EQ(trace.attentions[1][2].narrow(-1, 1, 3).abs().max().item<double>(), 0);
}

INSTANTIATE_TEST_SUITE_P(All, BertPartsTest,
                         ::testing::Values(AttentionKind::kSdpa, AttentionKind::kPlain,
                                           AttentionKind::kPacked));

// A batch of the samples of `mask` that knows where their tokens are.
SampleList batch_of(const TokenMask& mask) {
  SampleList batch;
  batch.add_field("index", torch::arange(mask.present().size(0)));
  add_token_places(batch, mask.present());
  return batch;
}

class BertPackedTest : public ::testing::Test {
 protected:
  BertPackedTest() { torch::manual_seed(5); }

  const at::Tensor present_ = torch::tensor({{1, 1, 1, 1}, {1, 1, 0, 0}, {1, 0, 0, 0}});
  const TokenMask mask_{present_, batch_of(TokenMask(present_))};
};

TEST_F(BertPackedTest, AnEncoderHasTheSameOnBothSidesOfThePadding) {
  BertEncoder encoder(mini(AttentionKind::kPacked));
  randomize(encoder);
  const at::Tensor hidden = torch::randn({3, 4, 8}, torch::kDouble);
  BertTrace trace;
  const at::Tensor expected = encoder.forward(hidden, TokenMask(present_), &trace);
  BertTrace packed_trace;
  const at::Tensor found = encoder.forward_packed(mask_.pack(hidden), mask_, &packed_trace);
  EXPECT_TRUE(close(mask_.unpack(found), expected));
  ASSERT_EQ(packed_trace.hidden_states.size(), 3U);
  EXPECT_TRUE(packed_trace.hidden_states[0].equal(hidden * present_.unsqueeze(-1)));
  EXPECT_TRUE(close(packed_trace.hidden_states[1], trace.hidden_states[1]));
}

// Counted on the CPU: what would wait for a GPU. With recompute, too, which runs the layers again.
TEST_F(BertPackedTest, NobodyWaitsForAGpuWithPlaces) {
  for (const bool recompute : {false, true}) {
    BertEncoder encoder(mini(AttentionKind::kPacked));
    encoder.set_recompute(recompute);
    const at::Tensor hidden = torch::randn({3, 4, 8}).requires_grad_(true);
    const host::WaitingOperations waiting;
    encoder.forward_packed(mask_.pack(hidden), mask_).sum().backward();
    EXPECT_TRUE(waiting.counts().empty()) << recompute;
    (void)encoder.forward(hidden, TokenMask(present_));
    EXPECT_EQ(waiting.counts().at("aten::nonzero"), 1);  // it would be noticed
  }
}

// Word 0 is padding's, and learns nothing: neither in a padded batch nor here.
TEST_F(BertPackedTest, EmbeddingsOfRowsAreThoseOfTheBatch) {
  BertEmbeddings embeddings(mini());
  randomize(embeddings);
  const at::Tensor ids = torch::tensor({{3, 7, 0, 1}, {2, 0, 5, 5}, {9, 1, 1, 1}}, torch::kLong);
  const at::Tensor types = torch::tensor({{0, 0, 1, 1}, {0, 1, 0, 0}, {1, 0, 0, 0}}, torch::kLong);
  const at::Tensor places = torch::arange(4).expand({3, 4});
  const at::Tensor factors = torch::randn({3, 4, 8}, torch::kDouble);
  const auto gradients = [&](const at::Tensor& result) {
    embeddings.zero_grad();
    (result * factors * present_.unsqueeze(-1)).sum().backward();
    std::vector<at::Tensor> all;
    for (const at::Tensor& parameter : embeddings.parameters()) {
      all.push_back(parameter.grad().clone());
    }
    return all;
  };
  const at::Tensor expected = embeddings.forward(ids, types);
  const std::vector<at::Tensor> rows =
      mask_.pack_rows({ids, places, types, torch::full({3, 4}, -1, torch::kLong)});
  for (const std::int64_t others : {0, 2}) {  // rows of a table that no token is of
    const at::Tensor table = torch::ones({others, 8}, torch::kDouble);
    const at::Tensor found =
        mask_.unpack(embeddings.forward_rows({rows[0], rows[1], rows[2], rows[3]}, table));
    EXPECT_TRUE(close(found, expected * present_.unsqueeze(-1)));
    const std::vector<at::Tensor> of_found = gradients(found);
    const std::vector<at::Tensor> of_expected = gradients(embeddings.forward(ids, types));
    for (std::size_t i = 0; i < of_found.size(); ++i) {
      EXPECT_TRUE(close(of_found[i], of_expected[i])) << i;
    }
  }
}

TEST_F(BertPackedTest, EmbeddingsOfRowsAddThoseOfTheOtherTable) {
  BertEmbeddings embeddings(mini());
  randomize(embeddings);
  const at::Tensor table = torch::randn({2, 8}, torch::kDouble);
  const auto one = [](std::int64_t row) { return torch::tensor(std::vector<std::int64_t>{row}); };
  const at::Tensor found = embeddings.forward_rows({one(-1), one(-1), one(-1), one(1)}, table);
  EXPECT_TRUE(close(found, embeddings.finish(table.narrow(0, 1, 1))));
}

TEST(BertEmbeddingsTest, AreSumsOfWordPlaceAndSegment) {
  BertEmbeddings embeddings(mini());
  randomize(embeddings);
  const at::Tensor ids = torch::tensor({{3, 7, 3}}, torch::kLong);
  const at::Tensor sum = embeddings.sum(ids, torch::tensor({{0, 0, 1}}, torch::kLong));
  const auto expected = [&](int word, int place, int segment) {
    return embeddings.word_weight()[word] + embeddings.position_weight()[place] +
           embeddings.type_weight()[segment];
  };
  EXPECT_TRUE(close(sum[0][1], expected(7, 1, 0)));
  EXPECT_TRUE(close(sum[0][2], expected(3, 2, 1)));
  EXPECT_TRUE(close(embeddings.sum(ids, {})[0][2], expected(3, 2, 0)));
  EXPECT_TRUE(
      close(embeddings.finish(sum), at::layer_norm(sum, {8}, of(embeddings, "LayerNorm.weight"),
                                                   of(embeddings, "LayerNorm.bias"), 1e-5)));
}

TEST(BertEmbeddingsTest, RefuseWhatTheyHaveNoTableFor) {
  const BertEmbeddings embeddings(mini());
  EXPECT_THAT(data_error([&] {
                (void)embeddings.sum(torch::ones({1, 7}, torch::kLong), {});
              }),
              HasSubstr("there are 7 tokens in a text, but 6 positions"));
  EXPECT_THAT(data_error([&] {
                (void)embeddings.sum(torch::ones({1, 2}), {});
              }),
              HasSubstr("the type Float; expected int64 [batch, tokens]"));
  EXPECT_THAT(
      data_error([&] {
        (void)embeddings.sum(torch::ones({1, 2}, torch::kLong), torch::ones({1, 3}, torch::kLong));
      }),
      HasSubstr("their segments another shape"));
}

TEST(BertPoolerTest, ReadsTheFirstTokenAlone) {
  BertPooler pooler(mini());
  randomize(pooler);
  const at::Tensor hidden = torch::randn({2, 3, 8}, torch::kDouble);
  EXPECT_TRUE(
      close(pooler.forward(hidden),
            at::linear(hidden.select(1, 0), of(pooler, "dense.weight"), of(pooler, "dense.bias"))
                .tanh()));
}

// LayerNorm(gelu(dense(x))), of the weights below `prefix`.
at::Tensor transformed(const torch::nn::Module& module, const std::string& prefix,
                       const at::Tensor& x) {
  const auto weight = [&](const char* name) { return of(module, prefix + name); };
  return at::layer_norm(at::gelu(at::linear(x, weight("dense.weight"), weight("dense.bias"))), {8},
                        weight("LayerNorm.weight"), weight("LayerNorm.bias"), 1e-5);
}

TEST(BertAnswerHeadTest, IsMmfsTwoLayersOrHuggingFacesOne) {
  const at::Tensor pooled = torch::randn({2, 8}, torch::kDouble);
  for (const AnswerHeadKind kind : {AnswerHeadKind::kMlp, AnswerHeadKind::kLinear}) {
    torch::nn::Module root("root");
    BertAnswerHead head(root, mini(), kind, /*width=*/8, /*num_labels=*/3);
    randomize(root);
    const bool mlp = kind == AnswerHeadKind::kMlp;
    const std::string last = mlp ? "classifier.1" : "classifier";
    EXPECT_TRUE(close(head.forward(pooled),
                      at::linear(mlp ? transformed(root, "classifier.0.", pooled) : pooled,
                                 of(root, last + ".weight"), of(root, last + ".bias"))));
  }
}

TEST(BertPretrainingHeadsTest, PredictWordsByTheTableOfTheWords) {
  BertEmbeddings embeddings(mini());
  BertPretrainingHeads heads(mini(), embeddings.word_weight());
  randomize(embeddings);
  randomize(heads);
  const at::Tensor hidden = torch::randn({2, 3, 8}, torch::kDouble);
  EXPECT_TRUE(close(heads.forward(hidden),
                    at::linear(transformed(heads, "predictions.transform.", hidden),
                               embeddings.word_weight(), of(heads, "predictions.bias"))));
}

// -log of the softmax at the two labels.
TEST(MaskedLmLossTest, IsTheMeanOverMaskedWords) {
  const at::Tensor logits = torch::tensor({{{0., 1.}, {2., 0.}, {5., 5.}}}, torch::kDouble);
  const double first = std::log(1 + std::exp(1.0));   // label 0 of 0 and 1
  const double second = std::log(1 + std::exp(2.0));  // label 1 of 2 and 0
  EXPECT_NEAR(masked_lm_loss(logits, torch::tensor({{0, 1, -1}}, torch::kLong)).item<double>(),
              (first + second) / 2, 1e-12);
}

TEST(MaskedLmLossTest, WithoutAMaskedWordIsZeroAndSoIsItsGradient) {
  const at::Tensor logits = torch::randn({1, 2, 3}).requires_grad_(true);
  const at::Tensor loss = masked_lm_loss(logits, torch::full({1, 2}, -1, torch::kLong));
  EXPECT_EQ(loss.item<double>(), 0);
  loss.backward();
  EXPECT_TRUE(logits.grad().equal(torch::zeros({1, 2, 3})));
}

TEST(ReadBertWordsTest, TakesThemAsTheTokenizerOrTheVocabularyWritesThem) {
  const at::Tensor ids = torch::tensor({{4, 5, 0}, {6, 0, 0}}, torch::kLong);
  SampleList batch;
  batch.add_field("text", ids);
  EXPECT_TRUE(read_bert_words(batch).mask.equal(torch::ones({2, 3}, torch::kLong)));
  batch.add_field("text_len", torch::tensor({2, 1}, torch::kLong));
  const BertWords of_text = read_bert_words(batch);
  EXPECT_TRUE(of_text.ids.equal(ids) && !of_text.types.defined());
  EXPECT_TRUE(of_text.mask.equal(ids.ne(0)));

  batch.add_field("input_ids", ids + 1);
  const BertWords bare = read_bert_words(batch);
  EXPECT_TRUE(bare.ids.equal(ids + 1) && bare.mask.equal(torch::ones_like(ids)));
  batch.add_field("input_mask", ids.ne(0));
  batch.add_field("segment_ids", torch::ones_like(ids));
  EXPECT_TRUE(read_bert_words(batch).mask.equal(ids.ne(0)));
  EXPECT_TRUE(read_bert_words(batch).types.equal(torch::ones_like(ids)));
}

TEST(ReadBertWordsTest, CountsChoicesAsSamplesAndRefusesAMaskOfAnotherShape) {
  SampleList batch;
  batch.add_field("input_ids", torch::arange(12, torch::kLong).view({2, 3, 2}));
  EXPECT_TRUE(read_bert_words(batch).ids.equal(torch::arange(12, torch::kLong).view({6, 2})));
  batch.add_field("input_mask", torch::ones({2, 2}, torch::kLong));
  EXPECT_EQ(
      data_error([&] { (void)read_bert_words(batch); }),
      "input_ids has the shape [6, 2] and input_mask [2, 2]; expected one shape [batch, words]");
}

}  // namespace
}  // namespace pergola::nn
