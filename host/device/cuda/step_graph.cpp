// SPDX-License-Identifier: BSD-3-Clause
// CUDA graphs through LibTorch's own class, which knows its allocator and its generators.
#include "host/device/step_graph.h"

#include "host/device/cuda/kernels/copies.h"
#include "host/device/cuda/weight_copies.h"
#include "host/device/cuda_library.h"
#include "pergola/error.h"

#include <ATen/ATen.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include <cuda_runtime_api.h>

#include <cstddef>
#include <exception>
#include <utility>
#include <vector>

namespace pergola::host {
namespace {

namespace Allocator = c10::cuda::CUDACachingAllocator;
using at::cuda::MempoolId_t;
using pergola::cuda::Copies;

bool is_of_the_cpu(const void* memory) {
  if (memory == nullptr) return false;
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, memory) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return false;
  }
  return attributes.type == cudaMemoryTypeUnregistered || attributes.type == cudaMemoryTypeHost;
}

// A copy from or to the CPU's memory is recorded without a complaint, but each replay would read
// there what lies there by then, or write what nobody reads.
void refuse_copies_of_the_cpu(cudaGraph_t graph) {
  std::size_t count = 0;
  C10_CUDA_CHECK(cudaGraphGetNodes(graph, nullptr, &count));
  std::vector<cudaGraphNode_t> nodes(count);
  C10_CUDA_CHECK(cudaGraphGetNodes(graph, nodes.data(), &count));
  for (const cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type{};
    C10_CUDA_CHECK(cudaGraphNodeGetType(node, &type));
    if (type != cudaGraphNodeTypeMemcpy) continue;
    cudaMemcpy3DParms copy{};
    C10_CUDA_CHECK(cudaGraphMemcpyNodeGetParams(node, &copy));
    const bool from_cpu = is_of_the_cpu(copy.srcPtr.ptr);
    if (!from_cpu && !is_of_the_cpu(copy.dstPtr.ptr)) continue;
    throw Error(ErrorKind::kUnexpected, "it copies a tensor ", from_cpu ? "from" : "to",
                " the CPU");
  }
}

template <class Call>
bool succeeds(Call call) noexcept {
  try {
    call();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

// LibTorch's graph, and what it leaves undone when a recording fails: its capture_end() throws
// where CUDA says that the capture is invalid, and the generators count as capturing for ever.
class Graph final : public at::cuda::CUDAGraph {
 public:
  Graph() : CUDAGraph(/*keep_graph=*/true) {}
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  // It may still run.
  ~Graph() { static_cast<void>(cudaDeviceSynchronize()); }

  void record(MempoolId_t pool, const std::function<void()>& work) {
    // Other threads load batches meanwhile, and may ask CUDA for memory.
    try {
      capture_begin(pool, cudaStreamCaptureModeThreadLocal);
      began_ = true;
      work();
      capture_end();
    } catch (...) {
      give_up();
      throw;
    }
    refuse_copies_of_the_cpu(raw_cuda_graph());
    instantiate();
  }

  // What was recorded first, and all else after it.
  [[nodiscard]] cudaGraphNode_t first_node() {
    std::size_t count = 0;
    C10_CUDA_CHECK(cudaGraphGetRootNodes(raw_cuda_graph(), nullptr, &count));
    PERGOLA_ASSERT(count == 1);
    cudaGraphNode_t node = nullptr;
    C10_CUDA_CHECK(cudaGraphGetRootNodes(raw_cuda_graph(), &node, &count));
    return node;
  }

  // From the next launch on; those that are under way keep what they have.
  void set(cudaGraphNode_t kernel, const cudaKernelNodeParams& params) {
    C10_CUDA_CHECK(cudaGraphExecKernelNodeSetParams(graph_exec_, kernel, &params));
  }

 private:
  void give_up() noexcept {
    // An error of `work` that CUDA has not noticed: this ends the capture in good order.
    if (began_ && !capture_ended_) succeeds([&] { capture_end(); });
    for (auto& [generator, count] : captured_generator_states_) generator->capturing_ = false;
    if (!capture_ended_) {
      end_capture_of_stream();
      close_pools();
    }
    static_cast<void>(cudaGetLastError());  // or the next check finds it
  }

  // Of the device's memory and of page-locked memory. Who allocates from one that is left open asks
  // this object whether its stream is capturing, whether or not there is such an object.
  void close_pools() noexcept {
    const auto close = [this](auto end, auto release) {
      const bool was_open = succeeds(end);
      if (was_open || began_) succeeds(release);
    };
    close([this] { Allocator::endAllocateToPool(capture_dev_, mempool_id_); },
          [this] { Allocator::releasePool(capture_dev_, mempool_id_); });
    close([this] { at::getHostAllocator(at::kCUDA)->end_allocate_to_pool(mempool_id_); },
          [this] { at::getHostAllocator(at::kCUDA)->release_pool(mempool_id_); });
  }

  void end_capture_of_stream() noexcept {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    const cudaStream_t stream = capture_stream_.stream();
    if (cudaStreamIsCapturing(stream, &status) != cudaSuccess ||
        status == cudaStreamCaptureStatusNone) {
      return;
    }
    cudaGraph_t graph = nullptr;
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess && graph != nullptr) {
      static_cast<void>(cudaGraphDestroy(graph));
    }
  }

  bool began_ = false;
};

std::vector<Copies::Piece> pieces_of(const std::vector<at::Tensor>& inputs) {
  if (inputs.size() > Copies::kMost) {
    throw Error(ErrorKind::kUnexpected, "it reads ", inputs.size(),
                " tensors of a batch, of which ", Copies::kMost, " can be recorded");
  }
  std::vector<Copies::Piece> pieces;
  for (const at::Tensor& input : inputs) {
    pieces.push_back({input.const_data_ptr(), input.mutable_data_ptr(),
                      static_cast<std::int64_t>(input.nbytes())});
  }
  return pieces;
}

// The first kernel copies the inputs. Outside of the graph those copies would be a launch more, for
// which a small update waits longer than for their bytes.
class CudaGraph final : public RecordedWork {
 public:
  CudaGraph(c10::Device device, MempoolId_t pool, const std::function<void()>& work,
            const std::vector<at::Tensor>& inputs)
      : device_(device), inputs_(inputs), copies_(pieces_of(inputs)) {
    graph_.record(pool, [&] {
      if (!copies_.empty()) launch_copies();
      work();
    });
    if (!copies_.empty()) copy_node_ = graph_.first_node();
  }
  void replay(const std::vector<at::Tensor>& from) override {
    PERGOLA_ASSERT(from.empty() || from.size() == inputs_.size());
    const c10::cuda::CUDAGuard guard(device_);
    pergola::cuda::refresh_weight_copies();  // no kernel of it knows what happened in between
    if (copy_node_ != nullptr) read(from.empty() ? inputs_ : from);
    graph_.replay();
  }

 private:
  void launch_copies() {
    const cudaKernelNodeParams of = copies_.launch();
    C10_CUDA_CHECK(cudaLaunchKernel(of.func, of.gridDim, of.blockDim, of.kernelParams,
                                    of.sharedMemBytes, c10::cuda::getCurrentCUDAStream()));
  }
  // Inputs that are copied onto themselves stay as they are.
  void read(const std::vector<at::Tensor>& from) {
    for (std::size_t i = 0; i < from.size(); ++i) {
      PERGOLA_ASSERT(from[i].nbytes() == inputs_[i].nbytes());
      copies_.read(i, from[i].const_data_ptr());
    }
    graph_.set(copy_node_, copies_.launch());
  }

  c10::Device device_;
  std::vector<at::Tensor> inputs_;
  Copies copies_;
  Graph graph_;
  cudaGraphNode_t copy_node_ = nullptr;
};

class CudaRecorder final : public GraphRecorder {
 public:
  explicit CudaRecorder(c10::Device device)
      : device_(device), pool_(at::cuda::graph_pool_handle()) {}

  std::unique_ptr<RecordedWork> record(const std::function<void()>& work,
                                       const std::vector<at::Tensor>& inputs) override {
    const c10::cuda::CUDAGuard guard(device_);
    hold_pool();
    // What steps without a graph have used is for the graph now.
    pergola::cuda::refresh_weight_copies();  // or it records that they are made
    C10_CUDA_CHECK(cudaDeviceSynchronize());
    Allocator::emptyCache();
    auto graph = std::make_unique<CudaGraph>(device_, pool_, work, inputs);
    pergola::cuda::note_recorded_work();
    return graph;
  }

  void release() override {
    holder_.reset();
    held_ = at::Tensor();
    pool_ = at::cuda::graph_pool_handle();
  }

  at::Tensor without_hold(const at::Tensor& tensor) override {
    return at::from_blob(
        tensor.data_ptr(), tensor.sizes(), tensor.strides(), [](void*) {}, tensor.options(),
        tensor.device());
  }

 private:
  // LibTorch forgets a pool with its last graph, and takes no other into it then.
  void hold_pool() {
    if (holder_) return;
    auto holder = std::make_unique<Graph>();
    holder->record(pool_, [&] { held_ = at::zeros({1}, at::TensorOptions(device_)); });
    holder_ = std::move(holder);
  }

  c10::Device device_;
  MempoolId_t pool_;
  at::Tensor held_;
  std::unique_ptr<Graph> holder_;
};

std::unique_ptr<GraphRecorder> make_cuda_recorder(c10::Device device) {
  return std::make_unique<CudaRecorder>(device);
}

}  // namespace
}  // namespace pergola::host

const pergola::host::CudaLibrary* pergola_cuda_library() noexcept {
  static const pergola::host::CudaLibrary library{&pergola::host::make_cuda_recorder};
  return &library;
}
