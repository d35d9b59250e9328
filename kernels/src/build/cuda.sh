#!/bin/bash
# Compiles the CUDA kernels (nvcc) into CLASSES, one image per source file, and copies the sources there;
# or compiles the stand-ins for NVIDIA's libraries (g++) into FOLDER. Says `not run` where the compiler
# is missing.
#   cuda.sh kernels CLASSES FOLDER
#   cuda.sh standins FOLDER
#   cuda.sh launches [SOURCES]
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
sources=$here/main/cuda
flags=(-std=c++17 -fmad=false -gencode=arch=compute_80,code=sm_80
  -gencode=arch=compute_90a,code=sm_90a -gencode=arch=compute_80,code=compute_80)

# of files and words: what a result depends on
fingerprint() {
  local files=() words=()
  for each in "$@"; do if [ -f "$each" ]; then files+=("$each"); else words+=("$each"); fi; done
  { echo "${words[*]-}"; cat "${files[@]}"; } | sha256sum | cut -c1-64
}

# Classes that only hold memory, wait, or bring functions and libraries in. All others of the back end
# say what is computed, in which parts and how it is asked for: their sources decide bits, as kernels do.
still=" CudaArena CudaCopier CudaDevice CudaException CudaPeerMemory CudaSettings CudaUnavailableException
  DeviceMemory Driver Foreign Gpu InterProcess KernelFunctions NativePointer Nccl NcclGroups Nvrtc
  Results Staging Working package-info "

# the fingerprint of those sources
launches() {
  local folder=${1:-$here/main/java/castalia/kernels/cuda} file name files=()
  for file in "$folder"/*.java; do
    name=${file##*/}
    if [[ ${still//$'\n'/ } != *" ${name%.java} "* ]]; then files+=("$file"); fi
  done
  fingerprint "${files[@]}" | cut -c1-16
}

kernels() {
  local out=$1/castalia/kernels/cuda folder=$2 nvcc file
  mkdir -p "$out"
  rm -f "$out"/*.cu "$out"/*.cuh
  cp "$sources"/*.cu "$sources"/*.cuh "$out"
  { fingerprint "$sources"/*.cu "$sources"/*.cuh | cut -c1-16
    for file in "$sources"/*.cu "$sources"/*.cuh; do basename "$file"; done; } > "$out/sources"
  launches > "$out/launches"
  nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
  if [ ! -x "$nvcc" ]; then
    rm -f "$out"/modules "$out"/*.fatbin
    echo "not run: compilation of the CUDA kernels, because nvcc is not on the path"
    return
  fi
  local version print
  version=$("$nvcc" --version | tail -n 1)
  print=$(fingerprint "$sources"/*.cu "$sources"/*.cuh "$version" "${flags[@]}")
  mkdir -p "$folder"
  if [ -f "$out/modules" ] && [ "$(head -n 1 "$out/modules")" = "${print:0:16}" ]; then return; fi
  rm -f "$out"/modules "$out"/*.fatbin "$folder"/*.ptxas
  local failed=0 waiting=() name
  for file in "$sources"/*.cu; do
    name=$(basename "$file" .cu)
    "$nvcc" "${flags[@]}" -Xptxas -v -fatbin -o "$out/$name.fatbin" "$file" > "$folder/$name.ptxas" 2>&1 &
    waiting+=("$!:$name")
    if [ ${#waiting[@]} -ge 2 ]; then join "${waiting[0]}" "$folder"; waiting=("${waiting[@]:1}"); fi
  done
  for file in "${waiting[@]}"; do join "$file" "$folder"; done
  if [ "$failed" = 1 ]; then exit 1; fi
  { echo "${print:0:16}"; for file in "$sources"/*.cu; do basename "$file" .cu; done; } > "$out/modules.new"
  mv "$out/modules.new" "$out/modules"
}

join() {
  if ! wait "${1%%:*}"; then cat "$2/${1#*:}.ptxas" >&2; failed=1; fi
}

standins() {
  local out=$1 tests=$here/test/cuda print
  if ! command -v g++ > /dev/null; then
    rm -rf "$out"
    echo "not run: compilation of the stand-ins for NVIDIA's libraries, because g++ is not on the path"
    return
  fi
  print=$(fingerprint "$sources"/*.cu "$sources"/*.cuh "$tests"/shim/* "$tests"/standin/* "$0" "$(g++ --version | head -n 1)")
  if [ "$(cat "$out/fingerprint" 2> /dev/null)" = "$print" ]; then return; fi
  rm -rf "$out"
  mkdir -p "$out/objects"
  local options=(-std=c++20 -O2 -fPIC -DCASTALIA_SHIM -I "$tests/shim" -I "$sources" -ffp-contract=off
    -fno-strict-aliasing -mfma -mf16c -Wno-unknown-pragmas)
  printf '%s\n' "$sources"/*.cu "$tests"/shim/*.cpp "$tests"/standin/*.cpp | xargs -P 2 -I FILE sh -c \
    'file=$1; out=$2; shift 2; exec g++ "$@" -x c++ -c "$file" -o "$out/$(basename "$file").o"' sh FILE "$out/objects" "${options[@]}"
  mv "$out/objects/cublaslt.cpp.o" "$out/objects/nvrtc.cpp.o" "$out/objects/nccl.cpp.o" "$out"
  g++ -shared -Wl,-soname,libcuda.so.1 -o "$out/libcuda.so.1" "$out"/objects/*.o
  g++ -shared -Wl,-soname,libcublasLt.so.13 -o "$out/libcublasLt.so.13" "$out/cublaslt.cpp.o" "$out/libcuda.so.1"
  g++ -shared -Wl,-soname,libnccl.so.2 -o "$out/libnccl.so.2" "$out/nccl.cpp.o" "$out/libcuda.so.1"
  g++ -shared -Wl,-soname,libnvrtc.so.13 -o "$out/libnvrtc.so.13" "$out/nvrtc.cpp.o"
  echo "$print" > "$out/fingerprint"
}

"$@"
