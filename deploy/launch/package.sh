# shellcheck shell=bash disable=SC2154 # root, home, launch and the functions come from ./castalia and its parts
# ./castalia package: a folder with a Java runtime of its own, packed, for machines without Java. Sourced by ./castalia.

# What a runtime needs besides what the others bring: HTTP, Vector API, JFR (Akka refers to it).
runtime_modules=java.base,java.logging,java.management,java.naming,java.net.http,java.sql,java.xml,jdk.httpserver
runtime_modules+=,jdk.incubator.vector,jdk.jfr,jdk.management,jdk.unsupported

# lean_jar JAR TO: copies a jar without compression (the archive's is better) and without other machines' natives.
lean_jar() {
  local work=$home/tmp/jar-$$
  rm -rf "$work" && mkdir -p "$work" && (
    cd "$work" || exit 1
    "$jdk_home/bin/jar" -xf "$1" || exit 1
    case ${1##*/} in
      dnnl-*) find org/bytedeco -type f ! -name 'libdnnl.so.3' ! -name 'libgomp.so.1' -name '*.so*' -delete
        rm -rf org/bytedeco/dnnl/linux-x86_64/include org/bytedeco/dnnl/linux-x86_64/share ;;
      jcuda-natives-*) find lib -type f ! -name 'libJCudaDriver-*' -delete ;;
      tokenizers-*) find native -type f -path '*/lib/*' ! -path '*/linux-x86_64/*' -delete ;;
      zstd-jni-*) find . -type f -name 'libzstd-jni*' ! -path './linux/amd64/*' -delete ;;
    esac
    "$jdk_home/bin/jar" -c0Mf "$2" .
  )
  local code=$?
  rm -rf "$work"
  return $code
}

run_package() {
  local out=${1:-$root/castalia-linux-x86_64.tar.xz} jar bytes
  work=$home/tmp/package-$$
  case $out in -h | --help)
    echo "Usage: castalia package [FILE]"
    echo "Pack the program with a Java runtime of its own (default: castalia-linux-x86_64.tar.xz here)."
    return 0 ;;
  esac
  case $out in /*) ;; *) out=$PWD/$out ;; esac
  prepare_home
  require_jdk
  ensure_built
  command -v xz > /dev/null || die 19 "package needs xz; install xz-utils"
  rm -rf "$work" && mkdir -p "$work/castalia/lib" || die 16 "cannot write $work"
  trap 'rm -rf "$work"' EXIT
  "$jdk_home/bin/jlink" --add-modules "$runtime_modules" --strip-debug --no-header-files --no-man-pages \
    --compress zip-0 --output "$work/castalia/runtime" || die 4 "jlink failed"
  for jar in "$dist"/lib/*.jar; do
    lean_jar "$jar" "$work/castalia/lib/${jar##*/}" || die 16 "cannot repack $jar"
  done
  cp "$launch/jvm.args" "$work/castalia/jvm.args" && cp "$launch/packed.sh" "$work/castalia/castalia" &&
    cp "$root/LICENSE" "$root/NOTICE" "$root/THIRD-PARTY.md" "$work/castalia/" || die 16 "cannot write $work"
  chmod +x "$work/castalia/castalia"
  (set -o pipefail; tar -C "$work" -cf - castalia | xz -6 -T 0 > "$out.new") && mv "$out.new" "$out" ||
    { rm -f "$out.new"; die 16 "cannot write $out"; }
  bytes=$(stat -c %s "$out")
  say "$out: $((bytes / 1048576)).$((bytes % 1048576 * 10 / 1048576)) MiB; unpack it and run castalia/castalia"
}
