# SPDX-License-Identifier: BSD-3-Clause
# pergola_add_model_contract_test(plugin [MODELS model ...] [CONFIG model_config.<model>.key=value ...]
#                                 [TOGETHER] [TIMEOUT seconds])
#
# The GoogleTest program <plugin>_contract_test: a test for each model of the plugin and each thing that
# `pergola plugins check` examines, contract.<model>.<examination> to ctest. MODELS: these alone.
# CONFIG: over the defaults, and over what the manifest's [models.<model>.check] says. TOGETHER: one test
# to ctest, <plugin>_contract_test, which is quicker. TIMEOUT: of each, by default 300. Needs GoogleTest;
# does nothing where BUILD_TESTING is off. REQUIRES: enable_testing(), or include(CTest), before.

function(pergola_add_model_contract_test plugin)
  cmake_parse_arguments(PARSE_ARGV 1 test "TOGETHER" "TIMEOUT" "MODELS;CONFIG")
  if(test_UNPARSED_ARGUMENTS OR NOT TARGET ${plugin})
    message(FATAL_ERROR "pergola_add_model_contract_test(${plugin}): expected a target of "
                        "pergola_add_plugin, and MODELS, CONFIG, TOGETHER or TIMEOUT; found "
                        "'${plugin}' '${test_UNPARSED_ARGUMENTS}'")
  endif()
  if(DEFINED BUILD_TESTING AND NOT BUILD_TESTING)
    return()
  endif()
  if(NOT test_TIMEOUT)
    set(test_TIMEOUT 300)
  endif()
  find_package(GTest QUIET)
  if(NOT TARGET GTest::gtest)
    message(FATAL_ERROR "pergola_add_model_contract_test(${plugin}): GoogleTest was not found; install "
                        "it (package libgtest-dev), or configure with -DBUILD_TESTING=OFF")
  endif()

  # The same program for all plugins; what it examines is in a file beside it.
  if(NOT TARGET pergola_model_contract)
    add_library(pergola_model_contract OBJECT ${PERGOLA_TESTING_DIR}/model_contract_test.cpp)
    target_compile_features(pergola_model_contract PRIVATE cxx_std_17)
    target_link_libraries(pergola_model_contract PRIVATE GTest::gtest)
  endif()
  set(name ${plugin}_contract_test)
  add_executable(${name} $<TARGET_OBJECTS:pergola_model_contract>)
  target_link_libraries(${name} PRIVATE GTest::gtest)
  # Another plugin.toml is another list of tests, and ctest lists those of a newer program anew.
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX LINK_DEPENDS $<TARGET_FILE:${plugin}>)
  add_dependencies(${name} ${plugin})
  set(settings "program\t$<TARGET_FILE:Pergola::pergola>\nplugin\t$<TARGET_FILE:${plugin}>\n")
  foreach(model IN LISTS test_MODELS)
    string(APPEND settings "model\t${model}\n")
  endforeach()
  foreach(word IN LISTS test_CONFIG)
    string(APPEND settings "config\t${word}\n")
  endforeach()
  file(GENERATE OUTPUT $<TARGET_FILE:${name}>.txt CONTENT "${settings}")

  if(test_TOGETHER)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${test_TIMEOUT})
  else()
    include(GoogleTest)
    gtest_discover_tests(${name} TEST_PREFIX contract. DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                         PROPERTIES TIMEOUT ${test_TIMEOUT})
  endif()
endfunction()
