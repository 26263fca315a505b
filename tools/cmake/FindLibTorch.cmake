# SPDX-License-Identifier: BSD-3-Clause
# Finds LibTorch as tools/setup unpacks it, or another one that PERGOLA_LIBTORCH names (a folder
# with include/ and lib/, such as the `torch` folder of an installed wheel), without its own CMake
# files: those ask for a CUDA toolkit. Defines
#   LibTorch::cpu   headers, libtorch_cpu and libc10: all that the host links; CUDA is loaded later
#   LibTorch_VERSION, LibTorch_LIBRARY_DIRS

# The environment is remembered, since a build configures again in shells that may lack it; the
# search is not, so that another folder counts in a build tree that is there.
if(NOT "$ENV{PERGOLA_LIBTORCH}" STREQUAL "")
  set(PERGOLA_LIBTORCH "$ENV{PERGOLA_LIBTORCH}" CACHE PATH "Folder with LibTorch's include/ and lib/" FORCE)
endif()
foreach(_found LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY)
  unset(${_found} CACHE)
endforeach()

set(_cache $ENV{XDG_CACHE_HOME})
if(NOT _cache)
  set(_cache $ENV{HOME}/.cache)
endif()
find_path(LibTorch_INCLUDE_DIR torch/headeronly/version.h
          HINTS ${PERGOLA_LIBTORCH} ${_cache}/pergola/libtorch-2.11.0/torch
          PATH_SUFFIXES include NO_DEFAULT_PATH)
set(_lib ${LibTorch_INCLUDE_DIR}/../lib)
cmake_path(NORMAL_PATH _lib)
find_library(LibTorch_CPU_LIBRARY torch_cpu HINTS ${_lib} NO_DEFAULT_PATH)
find_library(LibTorch_C10_LIBRARY c10 HINTS ${_lib} NO_DEFAULT_PATH)
if(LibTorch_INCLUDE_DIR)
  set(LibTorch_VERSION "")
  foreach(_part MAJOR MINOR PATCH)
    file(STRINGS ${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h _line
         REGEX "#define TORCH_VERSION_${_part} ")
    string(REGEX MATCH "[0-9]+$" _number "${_line}")
    list(APPEND LibTorch_VERSION ${_number})
  endforeach()
  list(JOIN LibTorch_VERSION "." LibTorch_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch
  REQUIRED_VARS LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY LibTorch_INCLUDE_DIR
  VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "run tools/setup, or set PERGOLA_LIBTORCH to a torch folder")

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  set(LibTorch_LIBRARY_DIRS ${_lib})
  # libcudart and libcupti, which libtorch_cpu needs even without a GPU: in the wheels' layout they
  # are siblings of torch/, which libtorch_cpu's own rpath knows but a linker wants to be told.
  file(GLOB _nvidia LIST_DIRECTORIES true ${_lib}/../../nvidia/*/lib)
  add_library(LibTorch::cpu INTERFACE IMPORTED)
  target_include_directories(LibTorch::cpu SYSTEM INTERFACE ${LibTorch_INCLUDE_DIR}
                             ${LibTorch_INCLUDE_DIR}/torch/csrc/api/include)
  # The wheel is a release build, and without this its headers lay some classes out in another way
  # (at::RecordFunction).
  target_compile_definitions(LibTorch::cpu INTERFACE NDEBUG)
  target_link_libraries(LibTorch::cpu INTERFACE ${LibTorch_CPU_LIBRARY} ${LibTorch_C10_LIBRARY})
  foreach(_dir IN LISTS _nvidia)
    target_link_options(LibTorch::cpu INTERFACE LINKER:-rpath-link,${_dir})
  endforeach()
endif()
mark_as_advanced(LibTorch_INCLUDE_DIR LibTorch_CPU_LIBRARY LibTorch_C10_LIBRARY)
