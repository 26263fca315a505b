// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/losses/multi.h"

#include "pergola/log.h"
#include "pergola/plugin.h"
#include "unit/model/losses/loss_test_kit.h"

#include <ATen/ATen.h>

#include <gmock/gmock.h>

#include <vector>

namespace pergola::host::loss_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A loss with a buffer, as a plugin may have one.
class CenterLoss final : public Loss {
 public:
  explicit CenterLoss(const Config& /*params*/) { register_buffer("center", at::ones({2})); }
  LossMap compute(const SampleList& /*batch*/, const ModelOutput& output) override {
    return {{"", (output.scores - named_buffers()["center"]).square().mean()}};
  }
};

class EmptyLoss final : public Loss {
 public:
  explicit EmptyLoss(const Config& /*params*/) {}
  LossMap compute(const SampleList& /*batch*/, const ModelOutput& /*output*/) override {
    return {};
  }
};

std::vector<std::string>& logged() {
  static std::vector<std::string> lines;
  return lines;
}

class MultiTest : public testing::Test {
 protected:
  MultiTest() {
    registry_.publish(builtin_model_parts(), "host");
    registry_.publish(
        {detail::loss_node<CenterLoss>("center"), detail::loss_node<EmptyLoss>("empty")},
        "plugin.so");
  }
  // `parts`: the config's params.
  std::shared_ptr<Loss> make(Value::Array parts) {
    return registry_.make_loss({"multi",
                                Config(Value::Table{{"params", std::move(parts)}}, "losses[0]"),
                                Config(), "losses[0]"});
  }
  std::string config_error(Value::Array parts) {
    try {
      make(std::move(parts));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      return error.what();
    }
    return "(no error)";
  }
  static double value_of(Loss& loss) {
    SampleList batch;
    batch.add_field("targets", at::zeros({1, 2}));
    return loss.compute(batch, {.scores = at::tensor({3.F, 1.F}).reshape({1, 2})})
        .at("")
        .item<double>();
  }

  Registry registry_;
};

// mse of [3, 1] and zeros is 5.
TEST_F(MultiTest, WeightsAreOneWhereNoneIsGiven) {
  EXPECT_EQ(value_of(*make({"mse"})), 5);
  EXPECT_EQ(value_of(*make({"mse", Value::Table{{"type", "mse"}, {"weight", -2}}})), 5 - 10);
}

TEST_F(MultiTest, ALossOfAPluginMayBeAPart) { EXPECT_EQ(value_of(*make({"center"})), 2); }

TEST_F(MultiTest, PartsAreSubmodulesWhoseBuffersMove) {
  const auto multi = make({"mse", "center"});
  multi->to(at::kDouble);
  EXPECT_EQ(multi->named_buffers()["1.center"].scalar_type(), at::kDouble);
  multi->eval();
  EXPECT_FALSE(multi->children()[1]->is_training());
}

TEST_F(MultiTest, OfSeveralValuesTheFirstCountsAndThatIsToldOnce) {
  set_log_sink([](LogLevel /*level*/, const std::string& line) { logged().push_back(line); });
  const Value::Table bce_kl{{"type", "bce_kl"}, {"params", Value::Table{{"weight_softmax", 1.0}}}};
  const auto multi = make({bce_kl});
  EXPECT_EQ(value_of(*multi), 0);  // the divergence from a row of zeros
  EXPECT_EQ(value_of(*multi), 0);
  set_log_sink([](LogLevel, const std::string&) {});
  EXPECT_THAT(logged(),
              ElementsAre("[loss] multi takes 'kl' of the 2 values of bce_kl; name bce_kl "
                          "in losses itself to have them all"));
}

TEST_F(MultiTest, WithoutPartsIsRefused) {
  EXPECT_EQ(config_error({}),
            "multi of losses[0] names no loss; expected {type = \"multi\", params = [{type = "
            "\"logit_bce\", weight = 0.5}, ...]}");
  EXPECT_THAT(error_of({"multi", {}, {}, {}}, ErrorKind::kConfig), HasSubstr("params"));
}

TEST_F(MultiTest, WrongPartsAreNamedWithTheirPlace) {
  EXPECT_THAT(config_error({"mse", "logit_bec"}), HasSubstr("losses[0].params[1]"));
  EXPECT_THAT(config_error({Value::Table{{"type", "mse"}, {"wieght", 1}}}), HasSubstr("wieght"));
  EXPECT_EQ(config_error({Value::Table{{"type", "mse"}, {"datasets", Value::Array{"vqa2"}}}}),
            "losses[0].params[0] has 'datasets', but is a part of 'multi'; set datasets of the "
            "multi itself");
}

TEST_F(MultiTest, APartWithoutAValueIsThePluginsFault) {
  const auto multi = make({"empty"});
  try {
    value_of(*multi);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kPlugin);
    EXPECT_STREQ(error.what(),
                 "loss multi: its part 'empty' returned no tensor; return a scalar or "
                 "one value a sample");
  }
}

}  // namespace
}  // namespace pergola::host::loss_test
