# SPDX-License-Identifier: BSD-3-Clause
include(GoogleTest)

# pergola_add_test(config_test SOURCES a_test.cpp ... [LINK lib ...] [LABELS unit ...]
#                  [NEEDS target ...] [TORCH] [SERIAL] [TIMEOUT seconds])
# One GoogleTest program; ctest sees each of its tests. NEEDS: targets that it loads or runs.
# SERIAL: ctest runs nothing beside them.
function(pergola_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 test "TORCH;SERIAL" "TIMEOUT" "SOURCES;LINK;LABELS;NEEDS")
  if(NOT test_TIMEOUT)
    set(test_TIMEOUT 120)
  endif()
  add_executable(${name} ${test_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${test_LINK} GTest::gmock GTest::gtest GTest::gtest_main)
  if(test_TORCH)
    pergola_use_torch_pch(${name})
  endif()
  if(test_NEEDS)
    add_dependencies(${name} ${test_NEEDS})
  endif()
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 TEST_PREFIX "${name}."
                       PROPERTIES LABELS "${test_LABELS}" TIMEOUT ${test_TIMEOUT}
                                  RUN_SERIAL ${test_SERIAL})
endfunction()
