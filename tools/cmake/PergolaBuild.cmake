# SPDX-License-Identifier: BSD-3-Clause
# How all of Pergola is compiled, and the two target kinds that the tree is made of.
# Included once, by the top CMakeLists.txt.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1 -DNDEBUG")  # -g on a LibTorch unit is 200 MB
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wshadow=local;-Wnon-virtual-dtor>")
if(PERGOLA_SANITIZE)
  list(JOIN PERGOLA_SANITIZE "," sanitizers)
  # LibTorch's own classes are not instrumented, and their type_info is not visible to vptr.
  add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${sanitizers};-fno-omit-frame-pointer;\
-fno-sanitize-recover=all;-fno-sanitize=vptr>")
  add_link_options(-fsanitize=${sanitizers})
endif()

find_program(PERGOLA_CCACHE ccache)
if(PERGOLA_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${PERGOLA_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
  add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess>)
endif()
add_link_options(LINKER:-z,defs)

# The installed program finds the SDK beside it, and LibTorch where it was built against; a machine
# with LibTorch elsewhere sets LD_LIBRARY_PATH.
set(CMAKE_INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}" "$ORIGIN")
set(CMAKE_INSTALL_RPATH_USE_LINK_PATH ON)

# One precompiled header for all units that include LibTorch: tensors and the base of all modules.
# With the whole of torch/torch.h in it, GCC would instantiate all of that in every unit again: the
# build took twice as long.
function(pergola_use_torch_pch target)
  if(NOT TARGET pergola_torch_pch)
    file(WRITE ${PROJECT_BINARY_DIR}/pch/pergola_torch_pch.cpp "")
    add_library(pergola_torch_pch STATIC ${PROJECT_BINARY_DIR}/pch/pergola_torch_pch.cpp)
    target_link_libraries(pergola_torch_pch PRIVATE LibTorch::cpu)
    target_precompile_headers(pergola_torch_pch PRIVATE <ATen/ATen.h> <torch/nn/module.h> <torch/types.h>)
  endif()
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    # CMake would compile it with -fPIE, and GCC takes a header precompiled with -fPIC for that only
    # when the flags are the same.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
  target_precompile_headers(${target} REUSE_FROM pergola_torch_pch)
endfunction()

# pergola_add_layer(config SOURCES a.cpp b.cpp [PUBLIC lib ...] [PRIVATE lib ...] [TORCH])
# One folder of host/: the static library pergola_host_<name>. Without TORCH it sees the SDK's
# headers but not LibTorch's: it compiles in a second, and cannot come to depend on them.
function(pergola_add_layer name)
  cmake_parse_arguments(PARSE_ARGV 1 layer "TORCH" "" "SOURCES;PUBLIC;PRIVATE")
  set(target pergola_host_${name})
  add_library(${target} STATIC ${layer_SOURCES})
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${target} PUBLIC ${layer_PUBLIC} PRIVATE ${layer_PRIVATE})
  if(layer_TORCH)
    target_link_libraries(${target} PUBLIC Pergola::sdk)
    pergola_use_torch_pch(${target})
  else()
    target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/sdk/include
                               ${PROJECT_BINARY_DIR}/sdk/include)
    target_link_libraries(${target} PUBLIC $<LINK_ONLY:Pergola::sdk>)
  endif()
endfunction()
