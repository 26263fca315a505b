// SPDX-License-Identifier: BSD-3-Clause
// How long it takes to save the weights and AdamW's moments of a VisualBERT-base, 1.4 GB, and how
// long a training waits when that is done in the background:
//
//   save_bench FOLDER [REPEATS [cuda]]
//   save_bench FOLDER -
//
// The first form prints seconds (smallest, median, largest of REPEATS, 7 unless given): of saves in
// place; of submit(), with memory that it has to get first, that was prepared, and that earlier
// saves used; of what is then left of the copy, which a training does not see unless it reaches the
// optimizer's step before; and of such a save as a whole. Then how much longer matrix products take
// beside a save, which is what its work costs where no core is idle. FOLDER is on the disk that
// counts; a checkpoint in it is replaced each time, as in a training. With `cuda` the tensors are
// on a GPU.
//
// The second saves once for each line of stdin and prints the seconds: for save_beside_torch.py.
#include "host/checkpoint/background_saver.h"
#include "host/device/device.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

constexpr std::string_view kOptimizer = "optimizer/";

// The shapes of the weights, 114.4 million numbers. save_beside_torch.py has the same.
std::vector<std::vector<std::int64_t>> shapes() {
  constexpr std::int64_t kWidth = 768;
  constexpr std::int64_t kInner = 4 * kWidth;
  std::vector<std::vector<std::int64_t>> all = {{30522, kWidth}, {512, kWidth},  {2, kWidth},
                                                {512, kWidth},   {2, kWidth},    {kWidth},
                                                {kWidth},        {kWidth, 2048}, {kWidth}};
  for (int layer = 0; layer < 12; ++layer) {
    for (int i = 0; i < 4; ++i) all.insert(all.end(), {{kWidth, kWidth}, {kWidth}});
    all.insert(all.end(), {{kWidth},
                           {kWidth},
                           {kInner, kWidth},
                           {kInner},
                           {kWidth, kInner},
                           {kWidth},
                           {kWidth},
                           {kWidth}});
  }
  all.insert(all.end(),
             {{kWidth, kWidth}, {kWidth}, {kWidth, kWidth}, {kWidth}, {3129, kWidth}, {3129}});
  return all;
}

CheckpointContent content(c10::Device device) {
  CheckpointContent made;
  int number = 0;
  for (const auto& shape : shapes()) {
    const std::string name = concat("weight_", number++);
    made.model.emplace_back(name, at::rand(shape).to(device));
    for (const char* moment : {"exp_avg", "exp_avg_sq"}) {
      made.trainer.emplace_back(concat(kOptimizer, name, "/", moment), at::rand(shape).to(device));
    }
  }
  made.state["progress"]["update"] = 1;
  return made;
}

template <class Action>
double seconds_of(Action&& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void print(const char* what, std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  std::cout << what << '\t' << seconds.front() << '\t' << seconds[seconds.size() / 2] << '\t'
            << seconds.back() << std::endl;
}

// Steps of a training that has nothing to do with the tensors.
void multiply(int times) {
  static const at::Tensor matrix = at::rand({1024, 1024});
  for (int i = 0; i < times; ++i) at::mm(matrix, matrix);
}

class Bench {
 public:
  Bench(std::filesystem::path folder, int repeats, c10::Device device)
      : folder_(std::move(folder) / "save_bench"), repeats_(repeats), content_(content(device)) {}

  double save_once() {
    return seconds_of([&] { save_checkpoint(folder_, content_); });
  }

  void run() {
    std::cout << "seconds\tsmallest\tmedian\tlargest" << std::endl;
    std::vector<double> saves;
    for (int i = 0; i < repeats_; ++i) saves.push_back(save_once());
    print("save_checkpoint", saves);
    submit_to_new("submit, memory to be got", /*prepared=*/false);
    submit_to_new("submit, memory prepared", /*prepared=*/true);
    submit_again();
    beside_products();
  }

 private:
  void submit(BackgroundSaver& saver) {
    saver.submit(content_, kOptimizer,
                 [this](const CheckpointContent& copy) { save_checkpoint(folder_, copy); });
  }

  void submit_to_new(const char* what, bool prepared) {
    std::vector<double> submits;
    for (int i = 0; i < repeats_; ++i) {
      BackgroundSaver saver;
      if (prepared) saver.prepare(content_);
      saver.join();
      submits.push_back(seconds_of([&] { submit(saver); }));
      saver.join();
    }
    print(what, submits);
  }

  void submit_again() {
    std::vector<double> submits;
    std::vector<double> copies;
    std::vector<double> wholes;
    BackgroundSaver saver;
    submit(saver);
    for (int i = 0; i < repeats_; ++i) {
      saver.join();
      submits.push_back(seconds_of([&] { submit(saver); }));
      copies.push_back(seconds_of([&] { saver.wait_for_copy(); }));
      wholes.push_back(submits.back() + copies.back() + seconds_of([&] { saver.join(); }));
    }
    print("submit, memory of an earlier save", submits);
    print("the rest of the copy", copies);
    print("a save in the background", wholes);
  }

  void beside_products() {
    constexpr int kProducts = 100;
    std::vector<double> alone;
    std::vector<double> delays;
    BackgroundSaver saver;
    submit(saver);
    saver.join();
    for (int i = 0; i < repeats_; ++i) {
      alone.push_back(seconds_of([&] { multiply(kProducts); }));
      delays.push_back(seconds_of([&] {
                         submit(saver);
                         multiply(kProducts);
                       }) -
                       alone.back());
      saver.join();
    }
    print("matrix products alone", alone);
    print("their delay beside a save", delays);
  }

  std::filesystem::path folder_;
  int repeats_;
  CheckpointContent content_;
};

int run(const std::string& folder, const std::string& repeats, bool on_gpu) {
  Bench bench(folder, std::max(2, std::atoi(repeats.c_str())),
              select_device(on_gpu ? "cuda" : "cpu"));
  if (repeats != "-") {
    bench.run();
    return 0;
  }
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) std::cout << bench.save_once() << std::endl;
  return 0;
}

}  // namespace
}  // namespace pergola::host

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: save_bench FOLDER [REPEATS [cuda] | -]\n";
    return 2;
  }
  try {
    return pergola::host::run(argv[1], argc > 2 ? argv[2] : "7", argc > 3);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
