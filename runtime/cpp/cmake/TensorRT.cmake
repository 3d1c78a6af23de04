# The TensorRT backend, where TENSORRT_ROOT names an unpacked SDK (TensorRT for RTX, or TensorRT 10 or 11). Its headers
# are all that is needed: the library is loaded when a stream asks for it. They include CUDA's, which are looked for in
# CUDAToolkit_ROOT and CUDA's usual places.
set(TENSORRT_ROOT "$ENV{TENSORRT_ROOT}" CACHE PATH "An unpacked SDK of TensorRT for RTX, or of TensorRT 10 or 11")

function(v2v_add_tensorrt target)
  find_path(tensorrt_include NvInferRuntime.h NO_CACHE NO_DEFAULT_PATH PATHS "${TENSORRT_ROOT}" PATH_SUFFIXES include)
  if(NOT tensorrt_include)
    message(FATAL_ERROR "TENSORRT_ROOT is ${TENSORRT_ROOT}, which holds no include/NvInferRuntime.h: name the folder "
      "of an unpacked SDK, or leave it out to build without the TensorRT backend")
  endif()
  find_path(cuda_include cuda_runtime_api.h NO_CACHE
    HINTS "${CUDAToolkit_ROOT}" ENV CUDAToolkit_ROOT ENV CUDA_PATH ENV CUDA_HOME "${tensorrt_include}" /usr/local/cuda
    PATH_SUFFIXES include)
  if(NOT cuda_include)
    message(FATAL_ERROR "TensorRT's headers in ${tensorrt_include} include cuda_runtime_api.h, which is not to be "
      "found: name the folder of a CUDA toolkit in CUDAToolkit_ROOT")
  endif()
  message(STATUS "TensorRT backend: headers in ${tensorrt_include}, CUDA's in ${cuda_include}")
  target_sources(${target} PRIVATE src/backends/tensorrt_sdk.cpp)
  target_include_directories(${target} SYSTEM PRIVATE "${tensorrt_include}" "${cuda_include}")
  target_compile_definitions(${target} PUBLIC V2V_HAS_TENSORRT)
endfunction()
