# SPDX-License-Identifier: Apache-2.0
# The private copy of OpenSSL: the distribution's static libraries, whose symbols stay hidden in
# what links them. libstdc++ and libgcc are static too, so that the result needs libc alone.
find_library(VHSM_LIBCRYPTO_A libcrypto.a REQUIRED)
find_library(VHSM_LIBSSL_A libssl.a REQUIRED)

# What this libcrypto.a wants beside it (Debian 13: zlib and zstd, for compression).
execute_process(COMMAND ${CMAKE_NM} ${VHSM_LIBCRYPTO_A} OUTPUT_VARIABLE symbols ERROR_QUIET)
set(VHSM_LIBCRYPTO_NEEDS "")
if(symbols MATCHES " U (deflate|inflate)")
  find_library(VHSM_LIBZ_A libz.a REQUIRED)
  list(APPEND VHSM_LIBCRYPTO_NEEDS ${VHSM_LIBZ_A})
endif()
if(symbols MATCHES " U ZSTD_")
  find_library(VHSM_LIBZSTD_A libzstd.a REQUIRED)
  list(APPEND VHSM_LIBCRYPTO_NEEDS ${VHSM_LIBZSTD_A})
endif()
unset(symbols)

add_library(vhsm_private_openssl INTERFACE)
target_include_directories(vhsm_private_openssl SYSTEM INTERFACE ${OPENSSL_INCLUDE_DIR})
target_link_libraries(vhsm_private_openssl INTERFACE
  ${VHSM_LIBSSL_A} ${VHSM_LIBCRYPTO_A} ${VHSM_LIBCRYPTO_NEEDS} ${CMAKE_DL_LIBS})
target_link_options(vhsm_private_openssl INTERFACE -Wl,--exclude-libs,ALL)
if(NOT VHSM_SANITIZE)
  target_link_options(vhsm_private_openssl INTERFACE -static-libstdc++ -static-libgcc)
endif()
