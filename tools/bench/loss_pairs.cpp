// SPDX-License-Identifier: BSD-3-Clause
#include "tools/bench/loss_pairs.h"

#include <torch/types.h>

#include <cmath>
#include <limits>
#include <utility>

namespace pergola::host {
namespace {

class Pairs {
 public:
  explicit Pairs(at::Device device) : device_(device) {}

  std::vector<LossPair> make() {
    add_binary();
    add_steps();
    add_classes();
    add_divergences();
    add_embeddings();
    add_similarities();
    return std::move(pairs_);
  }

 private:
  [[nodiscard]] at::Tensor randn(at::IntArrayRef shape) const {
    return at::randn(shape).to(device_).requires_grad_(true);
  }
  [[nodiscard]] at::Tensor rand(at::IntArrayRef shape) const { return at::rand(shape).to(device_); }
  [[nodiscard]] at::Tensor classes(std::int64_t count, at::IntArrayRef shape) const {
    return at::randint(count, shape, at::kLong).to(device_);
  }
  void add(LossPair pair) { pairs_.push_back(std::move(pair)); }

  void add_binary() {
    const at::Tensor s = randn({512, 3129}), t = rand({512, 3129});
    const at::Tensor p = (rand({512, 3129}) * .98 + .01).requires_grad_(true);
    add({"logit_bce", {}, {{"scores", s}}, {{"targets", t}}, [=] {
           return at::binary_cross_entropy_with_logits(s, t) * 3129;
         }});
    add({"bce", {}, {{"scores", p}}, {{"targets", t}}, [=] {
           return at::binary_cross_entropy(p, t) * 3129;
         }});
    const at::Tensor s3 = randn({512, 3, 1043}), t3 = rand({512, 1043});
    add({"triple_logit_bce", {}, {{"scores", s3}}, {{"targets", t3}}, [=] {
           return at::binary_cross_entropy_with_logits(s3, t3.unsqueeze(1).expand_as(s3)) * 3129;
         }});
    add({"attention_supervision",
         {},
         {{"attentions", p}},
         {{"targets", t}, {"info.attention_supervision", t}},
         [=] { return at::binary_cross_entropy(p, t, t) * 3129; }});
    add({"multi",
         {{"params", Value::Array{Value::Table{{"type", "logit_bce"}, {"weight", .3}}, "mse"}}},
         {{"scores", s}},
         {{"targets", t}},
         [=] {
           return at::binary_cross_entropy_with_logits(s, t) * 3129 * .3 + at::mse_loss(s, t);
         }});
  }

  void add_steps() {
    const at::Tensor s = randn({64, 20, 5000}), t = rand({64, 20, 5000});
    const at::Tensor mask = rand({64, 20}).round(), words = classes(5000, {64, 20});
    add({"m4c_decoding_bce_with_mask",
         {},
         {{"scores", s}},
         {{"targets", t}, {"train_loss_mask", mask}},
         [=] {
           return at::binary_cross_entropy_with_logits(s, t, mask.unsqueeze(-1), {},
                                                       at::Reduction::Sum) /
                  mask.sum();
         }});
    const at::Tensor lengths = classes(18, {64}) + 3;
    add({"caption_cross_entropy",
         {},
         {{"scores", s}},
         {{"targets", words}, {"caption_len", lengths}},
         [=] {
           const at::Tensor steps = at::arange(20, lengths.options());
           const at::Tensor padded = words.masked_fill(steps.ge((lengths - 1).unsqueeze(1)), -100);
           return at::cross_entropy_loss(s.flatten(0, 1), padded.flatten());
         }});
  }

  void add_classes() {
    const at::Tensor s = randn({512, 3129}), t = rand({512, 3129}), c = classes(3129, {512});
    add({"cross_entropy", {}, {{"scores", s}}, {{"targets", c}}, [=] {
           return at::cross_entropy_loss(s, c);
         }});
    add({"nll_loss", {}, {{"scores", s}}, {{"targets", t}}, [=] {
           return at::nll_loss(s, t.argmax(1)) * 3129;
         }});
    add({"soft_label_cross_entropy", {}, {{"scores", s}}, {{"targets", t}}, [=] {
           return at::cross_entropy_loss(s, t / t.sum(1, true));
         }});
    // torch spreads the share over all classes, MMF over the others.
    constexpr double kSmoothing = .1 * 3129 / 3128;
    add({"label_smoothing_cross_entropy", {}, {{"scores", s}}, {{"targets", c}}, [=] {
           return at::cross_entropy_loss(s, c, {}, at::Reduction::Mean, -100, kSmoothing);
         }});
  }

  void add_divergences() {
    const at::Tensor s = randn({512, 3129}), t = rand({512, 3129});
    const auto kl = [=] {
      return at::kl_div(at::log_softmax(s, 1), t / t.sum(1, true), at::Reduction::Sum) / 512;
    };
    const auto weighted = [=] {
      const at::Tensor w = t.sum(1, true);
      return (at::kl_div(at::log_softmax(s, 1), t / w, at::Reduction::None) * w).sum() / 512;
    };
    const auto both = [=] { return kl() * .5 + at::binary_cross_entropy_with_logits(s, t) * 3129; };
    add({"weighted_softmax", {}, {{"scores", s}}, {{"targets", t}}, weighted});
    for (const char* loss : {"softmax_kldiv", "wrong"}) {
      add({loss, {}, {{"scores", s}}, {{"targets", t}}, kl});
    }
    for (const char* loss : {"bce_kl_combined", "bce_kl"}) {
      add({loss, {{"weight_softmax", .5}}, {{"scores", s}}, {{"targets", t}}, both});
    }
  }

  void add_embeddings() {
    const at::Tensor s = randn({512, 768}), t = rand({512, 768}), texts = randn({512, 768});
    const at::Tensor one = at::ones({512}, s.options());
    add({"mse", {}, {{"scores", s}}, {{"targets", t}}, [=] { return at::mse_loss(s, t); }});
    add({"cos_emb_loss", {}, {{"scores", s}}, {{"targets", t}}, [=] {
           return at::cosine_embedding_loss(s, t, one);
         }});
    add({"in_batch_hinge",
         {{"margin", .2}},
         {{"scores", s}, {"targets", texts}},
         {{"targets", t}},
         [=] {
           const at::Tensor c = s.matmul(texts.t());
           const at::Tensor own = c.diagonal();
           const at::Tensor others = 1 - at::eye(512, s.options());
           const at::Tensor rows = (c + .2 - own.unsqueeze(1)).clamp_min(0) * others;
           const at::Tensor columns = (c + .2 - own.unsqueeze(0)).clamp_min(0) * others;
           return rows.sum() + columns.sum();
         }});
    const at::Tensor temperature = at::full({}, .07, s.options());
    const at::Tensor labels = at::arange(512, s.options().dtype(at::kLong));
    add({"contrastive_loss",
         {},
         {{"embedding_1", s}, {"embedding_2", texts}, {"temperature", temperature}},
         {{"targets", t}},
         [=] {
           const at::Tensor logits = s.matmul(texts.t()) / temperature;
           return (at::cross_entropy_loss(logits, labels) +
                   at::cross_entropy_loss(logits.t(), labels)) /
                  2;
         }});
  }

  void add_similarities() {
    const at::Tensor s = randn({512, 768}), t = rand({512, 768}), c = classes(32, {512});
    const auto unit = [](const at::Tensor& x) { return x / x.norm(2, 1, true).clamp_min(1e-12); };
    const auto log_sum = [](const at::Tensor& x, const at::Tensor& left_out, double p) {
      return at::softplus(at::logsumexp((x * p).masked_fill(left_out, -1e30), 1)) / std::abs(p);
    };
    add({"ms_loss", {}, {{"fused_embedding", s}}, {{"targets", c}}, [=] {
           const at::Tensor e = unit(s);
           const at::Tensor x = e.matmul(e.t());
           const at::Tensor same = c.unsqueeze(1).eq(c.unsqueeze(0));
           const at::Tensor other = same.logical_not().logical_or(x.ge(1 - 1e-5));
           constexpr double kInfinity = std::numeric_limits<double>::infinity();
           const at::Tensor least = x.detach().masked_fill(other, kInfinity).amin(1, true);
           const at::Tensor most = x.detach().masked_fill(same, -kInfinity).amax(1, true);
           const at::Tensor rows = log_sum(x - .5, other.logical_or((x - .1).ge(most)), -2) +
                                   log_sum(x - .5, same.logical_or((x + .1).le(least)), 50);
           return rows.mean();
         }});
    add({"refiner_ms", {}, {{"scores", s}}, {{"targets", t}}, [=] {
           const at::Tensor x = s.matmul(t.t());
           const at::Tensor own = x.diagonal();
           const at::Tensor difference = x - own.unsqueeze(1);
           const at::Tensor easy = difference.abs().le(1e-16).logical_or(difference.le(-.1));
           const at::Tensor rows = at::softplus((own - .5) * -2) / 2 + log_sum(x - .5, easy, 50);
           return rows.masked_fill(easy.all(1), 0).mean();
         }});
    add({"refiner_contrastive_loss", {}, {{"scores", s}}, {{"targets", t}}, [=] {
           const at::Tensor x = unit(s).matmul(unit(t).t());
           const at::Tensor difference = x - x.diagonal().unsqueeze(1);
           const at::Tensor easy = difference.abs().le(1e-16).logical_or(difference.le(-.1));
           const at::Tensor sums = (difference + .1).masked_fill(easy, 0).sum(1);
           return (sums / easy.logical_not().sum(1).clamp_min(1)).mean();
         }});
  }

  at::Device device_;
  std::vector<LossPair> pairs_;
};

}  // namespace

std::vector<LossPair> loss_pairs(at::Device device) { return Pairs(device).make(); }

}  // namespace pergola::host
