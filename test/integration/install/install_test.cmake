# cmake -D build_dir=… -D source_dir=… -D work_dir=… -D sanitize=… -D config=… -P install_test.cmake
function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  message(STATUS "${output}")
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "failed (${result}): ${ARGV}")
  endif()
endfunction()

set(prefix ${work_dir}/prefix)
file(REMOVE_RECURSE ${prefix} ${work_dir}/consumer)
run(${CMAKE_COMMAND} --install ${build_dir} --prefix ${prefix} --component client)
set(flags "")
if(sanitize)
  # A library that is instrumented needs its runtime in the program.
  set(flags "-fsanitize=${sanitize}")
endif()
run(${CMAKE_COMMAND} -S ${source_dir} -B ${work_dir}/consumer -D CMAKE_PREFIX_PATH=${prefix}
    -D CMAKE_BUILD_TYPE=${config} -D CMAKE_CXX_FLAGS=${flags})
run(${CMAKE_COMMAND} --build ${work_dir}/consumer)
run(${work_dir}/consumer/consumer)
