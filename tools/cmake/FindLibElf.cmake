# SPDX-License-Identifier: BSD-3-Clause
# elfutils' libelf, preferably static: LibElf::libelf
find_path(LibElf_INCLUDE_DIR libelf.h)
find_library(LibElf_LIBRARY NAMES libelf.a elf)
find_package(ZLIB QUIET)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibElf REQUIRED_VARS LibElf_LIBRARY LibElf_INCLUDE_DIR)
if(LibElf_FOUND AND NOT TARGET LibElf::libelf)
  find_library(LibElf_ZLIB NAMES libz.a z REQUIRED)
  add_library(LibElf::libelf INTERFACE IMPORTED)
  target_include_directories(LibElf::libelf SYSTEM INTERFACE ${LibElf_INCLUDE_DIR})
  target_link_libraries(LibElf::libelf INTERFACE ${LibElf_LIBRARY} ${LibElf_ZLIB})
endif()
mark_as_advanced(LibElf_INCLUDE_DIR LibElf_LIBRARY LibElf_ZLIB)
