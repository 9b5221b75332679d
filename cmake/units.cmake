# SPDX-License-Identifier: Apache-2.0
# Units of packaging/systemd that name programs. They are written once for tests, and again when they are
# installed: only then `cmake --install --prefix` says where the programs are.
function(vhsm_units)
  foreach(unit ${ARGN})
    set(template ${PROJECT_SOURCE_DIR}/packaging/systemd/${unit}.in)
    set(written ${CMAKE_CURRENT_BINARY_DIR}/${unit})
    configure_file(${template} ${written} @ONLY)
    install(CODE "
      set(CMAKE_INSTALL_FULL_BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
      configure_file(\"${template}\" \"${written}\" @ONLY)")
    install(FILES ${written} DESTINATION lib/systemd/system)
  endforeach()
endfunction()
