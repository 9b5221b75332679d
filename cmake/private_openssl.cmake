# SPDX-License-Identifier: Apache-2.0
# The private copy of OpenSSL: the distribution's static libraries, linked with hidden symbols.
find_library(VHSM_LIBCRYPTO_A libcrypto.a REQUIRED)
find_library(VHSM_LIBSSL_A libssl.a REQUIRED)
# What the distribution's libcrypto.a wants beside it (Debian 13: zlib and zstd for compression).
find_package(PkgConfig)
set(VHSM_LIBCRYPTO_NEEDS "")
foreach(library z zstd)
  execute_process(COMMAND sh -c "nm ${VHSM_LIBCRYPTO_A} 2>/dev/null | grep -qE ' U (${library}_|ZSTD_|deflate)'"
    RESULT_VARIABLE absent)
endforeach()
