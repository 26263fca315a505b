// SPDX-License-Identifier: BSD-3-Clause
#include "host/model/guard.h"

#include "host/device/device_failure.h"

#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace pergola::host {
namespace {

// What guarded() says of a hook that ran out of memory; "" when it makes something else of that.
template <class Exception>
std::string out_of_memory(const Exception& exception) {
  try {
    guarded("forward()", [&] { throw Exception(exception); });
  } catch (const OutOfMemory& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnexpected);
    return error.what();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kPlugin);
  }
  return "";
}

TEST(GuardTest, MemoryThatRanOutIsToldFromOtherErrors) {
  EXPECT_EQ(out_of_memory(std::bad_alloc()),
            "forward() ran out of memory: std::bad_alloc; try a smaller training.batch_size or "
            "model");
  EXPECT_NE(out_of_memory(std::runtime_error("[enforce fail] can't allocate memory: 1 bytes")), "");
  EXPECT_NE(out_of_memory(std::runtime_error("CUDA error: out of memory")), "");
  EXPECT_NE(out_of_memory(std::runtime_error("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling "
                                             "cublasCreate(handle)")),
            "");
  EXPECT_EQ(out_of_memory(std::runtime_error("no memory of that")), "");
}

// A hook of a class that the plugin `trusty` 1.2.0 brings, in the third update.
class GuardOfAPluginTest : public ::testing::Test {
 protected:
  GuardOfAPluginTest() {
    static KnownPlugin& plugin = []() -> KnownPlugin& {
      auto known = std::make_unique<KnownPlugin>();
      known->name = "trusty";
      known->version = "1.2.0";
      known->classes = {{"model", "rusty"}};
      return remember_plugin(std::move(known));
    }();
    plugin.is_registered = true;
    UpdateScope::set(3);
  }

  template <class Thrown>
  [[nodiscard]] static std::string message_of(const Thrown& thrown) {
    try {
      guarded(Hook{.name = "validation_step()", .kind = "model", .key = "rusty", .batch = 4},
              [&] { throw Thrown(thrown); });
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

 private:
  UpdateScope training_;
};

TEST_F(GuardOfAPluginTest, AnExceptionOfAnyTypeNamesHookModelPluginAndUpdate) {
  const std::string begin =
      "validation_step() of model 'rusty' (plugin trusty 1.2.0) failed at update 3, batch 4";
  EXPECT_EQ(message_of(std::runtime_error("no luck\nstack")),
            begin + ": no luck; this is a matter for the plugin's author");
  EXPECT_EQ(message_of(5), begin +
                               " with an exception that is no std::exception; this is a "
                               "matter for the plugin's author");
  EXPECT_EQ(message_of(std::bad_alloc()),
            "validation_step() of model 'rusty' (plugin trusty 1.2.0) ran out of memory at update "
            "3, batch 4: std::bad_alloc; try a smaller training.batch_size or model");
  EXPECT_EQ(message_of(Error(ErrorKind::kData, "text has no words; add some")),
            "text has no words; add some (in validation_step() of model 'rusty', plugin trusty "
            "1.2.0, at update 3, batch 4)");
}

TEST_F(GuardOfAPluginTest, AGpuThatFailedIsToldWithHowToFindTheCause) {
  EXPECT_EQ(
      message_of(std::runtime_error("CUDA error: misaligned address\nstack"))
          .find("validation_step() of model 'rusty' (plugin trusty 1.2.0) failed at update 3, "
                "batch 4: the GPU reports 'misaligned address', which CUDA tells late"),
      0U);
  EXPECT_TRUE(device_has_failed());
}

TEST_F(GuardOfAPluginTest, OnlyErrorsOfADeviceAreMadeASentenceForTheHostsOwnCode) {
  const auto message = [](const std::exception& thrown, bool is_device) -> std::string {
    try {
      try {
        if (is_device) throw std::runtime_error(thrown.what());
        throw std::logic_error(thrown.what());
      } catch (...) {
        throw_device_error(Hook{"the evaluation"});
        throw;
      }
    } catch (const std::exception& error) {
      return error.what();
    }
  };
  EXPECT_EQ(message(std::logic_error("a defect"), false), "a defect");
  EXPECT_EQ(message(std::runtime_error("CUDA out of memory. you tried to allocate 512 bytes: can't "
                                       "allocate memory"),
                    true),
            "the evaluation ran out of memory at update 3: 512 bytes were asked for, and the "
            "machine has no more memory for this process; try a smaller training.batch_size or "
            "model");
}

TEST(GuardTest, AnErrorOfTheHostsOwnHookPassesAsItStands) {
  const auto message = [](const Error& thrown) -> std::string {
    try {
      guarded(Hook{"step()", "optimizer", "adamw"}, [&] { throw Error(thrown); });
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message(Error(ErrorKind::kConfig, "lr is no number")), "lr is no number");
}

}  // namespace
}  // namespace pergola::host
