# SPDX-License-Identifier: BSD-3-Clause
# Whether kernels are built: PERGOLA_CUDA_KERNELS is true where PERGOLA_CUDA allows it and there is a toolkit
# of CUDA 13, as LibTorch has it.
set(PERGOLA_CUDA AUTO CACHE STRING "Build the CUDA kernels: ON, OFF, or AUTO (where nvcc 13 is found)")
set_property(CACHE PERGOLA_CUDA PROPERTY STRINGS AUTO ON OFF)
if(NOT PERGOLA_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "PERGOLA_CUDA=${PERGOLA_CUDA} is none of AUTO, ON and OFF")
endif()
set(PERGOLA_CUDA_KERNELS FALSE)
if(NOT PERGOLA_CUDA STREQUAL OFF)
  find_package(CUDAToolkit 13 QUIET)
  if(CUDAToolkit_FOUND AND CUDAToolkit_NVCC_EXECUTABLE)
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80-real 90)  # Ampere, Hopper; newer ones compile Hopper's PTX
    endif()
    set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE} CACHE FILEPATH "nvcc")
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc has it
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    set(PERGOLA_CUDA_KERNELS TRUE)
  elseif(PERGOLA_CUDA STREQUAL ON)
    message(FATAL_ERROR "PERGOLA_CUDA=ON, but no CUDA toolkit of version 13 was found; put its bin/ with nvcc "
                        "on the PATH, or set CUDAToolkit_ROOT")
  endif()
endif()
message(STATUS "CUDA kernels: ${PERGOLA_CUDA_KERNELS}")
