# SPDX-License-Identifier: Apache-2.0
# Every target links this, so that no flag is set twice or forgotten.
add_library(vhsm_flags INTERFACE)
target_include_directories(vhsm_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(vhsm_flags INTERFACE _GLIBCXX_ASSERTIONS VHSM_VERSION="${PROJECT_VERSION}")
target_compile_options(vhsm_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    -Wold-style-cast -Wcast-qual -Wcast-align -Wnon-virtual-dtor -Woverloaded-virtual -Wformat=2
    -Wimplicit-fallthrough -Wmissing-declarations -Wundef -Wextra-semi
    -Wzero-as-null-pointer-constant -Wdouble-promotion>
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wduplicated-cond -Wduplicated-branches
    -Wlogical-op -Wuseless-cast -Wsuggest-override -Wcast-function-type
    -Wno-maybe-uninitialized>  # false alarms inside libstdc++ and nlohmann-json at -O2
  $<$<BOOL:${VHSM_WERROR}>:$<$<COMPILE_LANGUAGE:CXX>:-Werror>>
  -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=
  -ffunction-sections  # what nobody calls is left out, and what a signature runs through is put together
  -ftls-model=initial-exec  # a few words for each thread: within what libc keeps free for modules
  -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-ftrivial-auto-var-init=zero>)
target_link_libraries(vhsm_flags INTERFACE Threads::Threads)
target_link_options(vhsm_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
if(VHSM_SANITIZE)
  target_compile_options(vhsm_flags INTERFACE
    -fsanitize=${VHSM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(vhsm_flags INTERFACE -fsanitize=${VHSM_SANITIZE})
else()
  target_compile_options(vhsm_flags INTERFACE
    $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3>)
endif()

# A storey of the house: a static library of one folder. It compiles against OpenSSL's headers and
# leaves the choice of copy (private static or the system's) to whoever links it.
function(vhsm_storey name)
  add_library(vhsm_${name} STATIC ${ARGN})
  target_link_libraries(vhsm_${name} PUBLIC vhsm_flags)
  target_include_directories(vhsm_${name} SYSTEM PUBLIC ${OPENSSL_INCLUDE_DIR})
endfunction()
