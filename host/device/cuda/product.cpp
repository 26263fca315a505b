// SPDX-License-Identifier: BSD-3-Clause
// cuBLASLt stores by columns, so it is asked for the transposed result: its A is our b.
#include "host/device/cuda/product.h"

#include "pergola/error.h"

#include <ATen/Context.h>
#include <ATen/cuda/CUDAContextLight.h>
#include <ATen/record_function.h>
#include <c10/cuda/CUDAStream.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>
#include <vector>

namespace pergola::cuda {
namespace {

void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ErrorKind::kUnexpected, "cuBLASLt failed in ", what, ": ",
              cublasLtGetStatusString(status));
}

cudaDataType_t cublas_type(const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kBFloat16:
      return CUDA_R_16BF;
    case at::kHalf:
      return CUDA_R_16F;
    default:
      return CUDA_R_32F;
  }
}

cublasLtEpilogue_t native(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kNone:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case Epilogue::kBias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::kReluBias:
      return CUBLASLT_EPILOGUE_RELU_BIAS;
    case Epilogue::kGeluBias:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

template <class Handle, cublasStatus_t (*kDestroy)(Handle)>
struct Destroy {
  void operator()(Handle handle) const { kDestroy(handle); }
};
using Description = std::unique_ptr<cublasLtMatmulDescOpaque_t,
                                    Destroy<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t,
                               Destroy<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>>;
using Preference =
    std::unique_ptr<cublasLtMatmulPreferenceOpaque_t,
                    Destroy<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>>;

template <class T>
void set(const Description& description, cublasLtMatmulDescAttributes_t attribute, T value) {
  check(cublasLtMatmulDescSetAttribute(description.get(), attribute, &value, sizeof(value)),
        "cublasLtMatmulDescSetAttribute");
}

cublasComputeType_t compute_type(const Operand& a) {
  const bool rounds = a.matrix.scalar_type() == at::kFloat && at::globalContext().allowTF32CuBLAS();
  return rounds ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

Description describe(const Operand& a, const Operand& b, Epilogue epilogue,
                     const EpilogueTensors& tensors) {
  cublasLtMatmulDesc_t made = nullptr;
  check(cublasLtMatmulDescCreate(&made, compute_type(a), CUDA_R_32F), "cublasLtMatmulDescCreate");
  Description description(made);
  set(description, CUBLASLT_MATMUL_DESC_TRANSA, b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(description, CUBLASLT_MATMUL_DESC_TRANSB, a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(description, CUBLASLT_MATMUL_DESC_EPILOGUE, native(epilogue));
  if (tensors.bias.defined()) {
    set(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, tensors.bias.data_ptr());
    set(description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, cublas_type(tensors.bias));
  }
  if (tensors.aux.defined()) {
    set(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, tensors.aux.data_ptr());
    set(description, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, tensors.aux.size(1));
  }
  return description;
}

Layout layout_of(const at::Tensor& matrix) {
  cublasLtMatrixLayout_t made = nullptr;
  const auto width = static_cast<std::uint64_t>(matrix.size(1));
  check(cublasLtMatrixLayoutCreate(&made, cublas_type(matrix), width,
                                   static_cast<std::uint64_t>(matrix.size(0)), matrix.size(1)),
        "cublasLtMatrixLayoutCreate");
  return Layout(made);
}

// The largest power of two, up to 256, that divides an address.
std::uint32_t alignment_of(const at::Tensor& x) {
  const auto address = reinterpret_cast<std::uintptr_t>(x.data_ptr());
  std::uint32_t alignment = 256;
  while (address % alignment != 0) alignment /= 2;
  return alignment;
}

// All that the choice of an algorithm depends on.
using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, bool, bool, int, int, int, bool,
                       std::uint32_t, std::uint32_t, std::uint32_t, std::size_t, int, int>;

// An algorithm is chosen once for each kind of product: asking takes longer than the product of a
// small model. Always the first that cuBLASLt names, not the one that a race finds: runs and their
// resumption must choose alike.
class Algorithms {
 public:
  // Empty where cuBLASLt has none.
  template <class Choose>
  std::optional<cublasLtMatmulAlgo_t> get(const Key& key, Choose choose) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = chosen_.find(key);
    if (found != chosen_.end()) return found->second;
    return chosen_.emplace(key, choose()).first->second;
  }

 private:
  std::mutex mutex_;
  std::map<Key, std::optional<cublasLtMatmulAlgo_t>> chosen_;
};

Algorithms& algorithms() {
  static auto& all = *new Algorithms;  // autograd's threads may outlive static objects
  return all;
}

std::optional<cublasLtMatmulAlgo_t> choose(const Description& description, const Layout& a,
                                           const Layout& b, const Layout& c, const Key& key) {
  cublasLtMatmulPreference_t made = nullptr;
  check(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
  const Preference preference(made);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference.get(), attribute, &value, sizeof(value)),
          "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, at::cuda::getCUDABlasLtWorkspaceSize());
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, std::get<9>(key));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, std::get<10>(key));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, std::get<11>(key));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, std::get<11>(key));
  // Cut in parts, a short sum takes kernels more; where they add up in place, a graph waits 15 us
  // for the fill that comes before.
  constexpr std::int64_t kShort = 1024;
  if (std::get<5>(key) == CUDA_R_32F && std::get<2>(key) <= kShort) {
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
  }
  cublasLtMatmulHeuristicResult_t result = {};
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      at::cuda::getCurrentCUDABlasLtHandle(), description.get(), a.get(), b.get(), c.get(), c.get(),
      preference.get(), 1, &result, &found);
  if (status != CUBLAS_STATUS_SUCCESS || found == 0) return std::nullopt;
  return result.algo;
}

}  // namespace

bool multiply(const Operand& a, const Operand& b, const at::Tensor& into, bool accumulate,
              Epilogue epilogue, const EpilogueTensors& tensors) {
  at::RecordFunction record(at::RecordScope::FUNCTION);  // for whoever counts operations
  const std::vector<c10::IValue> inputs = record.isActive()
                                              ? std::vector<c10::IValue>{a.matrix, b.matrix, into}
                                              : std::vector<c10::IValue>();
  if (record.isActive()) record.before("pergola::product", &inputs);
  const Description description = describe(a, b, epilogue, tensors);
  const Layout layout_a = layout_of(b.matrix);
  const Layout layout_b = layout_of(a.matrix);
  const Layout layout_c = layout_of(into);
  const Key key{into.size(0),
                into.size(1),
                a.matrix.size(a.transposed ? 0 : 1),
                a.transposed,
                b.transposed,
                cublas_type(a.matrix),
                cublas_type(into),
                native(epilogue),
                accumulate,
                alignment_of(b.matrix),
                alignment_of(a.matrix),
                alignment_of(into),
                at::cuda::getCUDABlasLtWorkspaceSize(),
                into.get_device(),
                compute_type(a)};
  const std::optional<cublasLtMatmulAlgo_t> algorithm =
      algorithms().get(key, [&] { return choose(description, layout_a, layout_b, layout_c, key); });
  if (!algorithm) return false;
  const float alpha = 1;
  const float beta = accumulate ? 1 : 0;
  check(cublasLtMatmul(at::cuda::getCurrentCUDABlasLtHandle(), description.get(), &alpha,
                       b.matrix.const_data_ptr(), layout_a.get(), a.matrix.const_data_ptr(),
                       layout_b.get(), &beta, into.data_ptr(), layout_c.get(), into.data_ptr(),
                       layout_c.get(), &*algorithm, at::cuda::getCUDABlasLtWorkspace(),
                       at::cuda::getCUDABlasLtWorkspaceSize(), c10::cuda::getCurrentCUDAStream()),
        "cublasLtMatmul");
  if (record.isActive()) record.setOutputs(std::vector<c10::IValue>{into});
  return true;
}

void multiply(const Operand& a, const Operand& b, const at::Tensor& into, bool accumulate) {
  if (multiply(a, b, into, accumulate, Epilogue::kNone, {})) return;
  throw Error(ErrorKind::kUnexpected, "cuBLASLt has no product of ", a.matrix.sizes(), " and ",
              b.matrix.sizes(), " in ", a.matrix.scalar_type(), " to ", into.scalar_type());
}

}  // namespace pergola::cuda
