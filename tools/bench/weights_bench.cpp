// SPDX-License-Identifier: BSD-3-Clause
// How long it takes to read a file of weights, and how much memory:
//
//   weights_bench FILE [REPEATS]
//
// Lines for a model that takes the file's weights, for their reading alone, and for a bare read of
// the file into one piece of memory: the first round, which takes its memory from the system, then
// best and median of REPEATS (5 unless given), which may get it from the allocator. Then the peak
// of memory above what the program and its model had, over the file's size. The file should be in
// the page cache, so that the figures are those of the code and not of the disk: run it twice.
#include "host/checkpoint/input_file.h"
#include "host/checkpoint/pretrained.h"
#include "host/checkpoint/weights.h"
#include "pergola/base_model.h"
#include "pergola/error.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace pergola::host {
namespace {

// Has the weights of a file, by numbers: names of modules have no dots.
class Holder final : public BaseModel {
 public:
  explicit Holder(const StateDict& state) : BaseModel(Config()) {
    for (const auto& [name, tensor] : state) {
      names_[name] = concat("weight_", names_.size());
      register_parameter(names_[name], at::ones(tensor.sizes(), tensor.options()),
                         /*requires_grad=*/false);
    }
  }
  void build() override {}
  ModelOutput forward(const SampleList& /*batch*/) override { return {}; }
  [[nodiscard]] std::string format_state_key(const std::string& key) const override {
    const auto found = names_.find(key);
    return found == names_.end() ? key : found->second;
  }

 private:
  std::map<std::string, std::string> names_;
};

template <class Action>
double seconds_of(Action&& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// A line of /proc/self/status, in bytes.
double memory(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kib = 0;
    if (word == name + ":" && status >> kib) return kib * 1024;
  }
  return 0;
}

// REQUIRES: two rounds at least.
void print(const char* what, std::vector<double> seconds) {
  const double first = seconds.front();
  std::sort(seconds.begin() + 1, seconds.end());
  std::cout << what << '\t' << first << '\t' << seconds[1] << '\t'
            << seconds[1 + seconds.size() / 2] << '\n';
}

int run(const std::string& path, int repeats) {
  const InputFile file(path);
  const auto size = static_cast<double>(file.size());
  std::vector<double> load;
  std::vector<double> read;
  std::vector<double> bare;
  double peak = 0;
  for (int i = 0; i <= repeats; ++i) {
    Holder model(read_weights(path).state);
    std::ofstream("/proc/self/clear_refs") << 5;  // VmHWM begins anew
    const double before = memory("VmRSS");
    load.push_back(seconds_of([&] { static_cast<void>(load_pretrained(model, path, {})); }));
    peak = std::max(peak, memory("VmHWM") - before);
    read.push_back(seconds_of([&] { static_cast<void>(read_weights(path)); }));
    bare.push_back(seconds_of([&] {
      const at::Tensor bytes = at::empty({static_cast<std::int64_t>(file.size())}, at::kByte);
      file.read(static_cast<char*>(bytes.data_ptr()), file.size(), 0);
    }));
  }
  std::cout << "seconds\tfirst\tbest\tmedian\n";
  print("load_pretrained", load);
  print("read_weights", read);
  print("bare read", bare);
  std::cout << "peak memory / size of the file\t" << peak / size << '\n';
  return 0;
}

}  // namespace
}  // namespace pergola::host

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: weights_bench FILE [REPEATS]\n";
    return 2;
  }
  try {
    return pergola::host::run(argv[1], argc > 2 ? std::max(2, std::atoi(argv[2])) : 5);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
