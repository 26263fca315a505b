# SPDX-License-Identifier: BSD-3-Clause
include(GoogleTest)
set(PERGOLA_TESTING_DIR ${PROJECT_SOURCE_DIR}/sdk/testing)
include(PergolaTesting)   # pergola_add_model_contract_test, the same file that the SDK installs

# pergola_add_test(config_test SOURCES a_test.cpp ... [LINK lib ...] [LABELS unit ...]
#                  [NEEDS target ...] [TORCH] [EACH] [SERIAL] [TIMEOUT seconds] [COST seconds])
# One GoogleTest program, which is one test to ctest: to load LibTorch takes longer than most tests
# do. EACH: each of its tests is one to ctest, in a process of its own. NEEDS: targets that it loads
# or runs. SERIAL: ctest runs nothing beside them. COST: of those that take minutes, which begin first,
# or one core waits for them at the end.
function(pergola_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 test "TORCH;EACH;SERIAL" "TIMEOUT;COST" "SOURCES;LINK;LABELS;NEEDS")
  if(NOT test_TIMEOUT)
    set(test_TIMEOUT 300)
  endif()
  add_executable(${name} ${test_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/tests)
  # The libraries under test stay as they are; their tests compile in three quarters of the time.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  target_link_libraries(${name} PRIVATE ${test_LINK} GTest::gmock GTest::gtest GTest::gtest_main)
  if(test_TORCH)
    pergola_use_torch_pch(${name})
  endif()
  if(test_NEEDS)
    add_dependencies(${name} ${test_NEEDS})
  endif()
  if(NOT test_COST)
    set(test_COST 0)
  endif()
  set(properties LABELS "${test_LABELS}" TIMEOUT ${test_TIMEOUT} RUN_SERIAL ${test_SERIAL} COST ${test_COST})
  if(test_EACH)
    gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 TEST_PREFIX "${name}." PROPERTIES ${properties})
  else()
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES ${properties} ENVIRONMENT GTEST_BRIEF=1)
  endif()
endfunction()
