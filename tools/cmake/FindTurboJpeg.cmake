# SPDX-License-Identifier: BSD-3-Clause
# libjpeg-turbo's own interface, preferably static: TurboJpeg::turbojpeg
find_path(TurboJpeg_INCLUDE_DIR turbojpeg.h)
find_library(TurboJpeg_LIBRARY NAMES libturbojpeg.a turbojpeg)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TurboJpeg REQUIRED_VARS TurboJpeg_LIBRARY TurboJpeg_INCLUDE_DIR)
if(TurboJpeg_FOUND AND NOT TARGET TurboJpeg::turbojpeg)
  add_library(TurboJpeg::turbojpeg INTERFACE IMPORTED)
  target_include_directories(TurboJpeg::turbojpeg SYSTEM INTERFACE ${TurboJpeg_INCLUDE_DIR})
  target_link_libraries(TurboJpeg::turbojpeg INTERFACE ${TurboJpeg_LIBRARY})
endif()
mark_as_advanced(TurboJpeg_INCLUDE_DIR TurboJpeg_LIBRARY)
