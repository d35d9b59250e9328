# shellcheck shell=bash disable=SC2154 # root, home, launch and the functions come from ./castalia and its parts
# ./castalia package: a folder with a Java runtime of its own, packed, for machines without Java. Sourced by ./castalia.

package_help() {
  cat <<'TEXT'
Usage: ./castalia package [--quick] [FILE]

Packs the program with a Java runtime of its own into FILE (default: castalia-linux-x86_64.tar.xz here), for
machines without Java: unpack it with `tar -xf FILE` and run castalia/castalia. Needs xz; takes two minutes.

  --quick   pack in half a minute; the file is half as large again

Example:
  ./castalia package /tmp/castalia.tar.xz
TEXT
}

# What a runtime needs besides what the others bring: HTTP, Vector API, JFR (Akka refers to it).
runtime_modules=java.base,java.logging,java.management,java.naming,java.net.http,jdk.httpserver
runtime_modules+=,jdk.incubator.vector,jdk.jfr,jdk.management,jdk.unsupported

# pack FOLDER OUT: one archive of two parts, since machine code packs better by itself and after a filter for it.
pack() {
  local natives parts=("$2.natives" "$2.rest") tar options
  options=(--sort=name --owner=0 --group=0 --numeric-owner "--mtime=@0")
  natives=$(cd "$1" && ls castalia/runtime/lib/server/libjvm.so castalia/runtime/lib/*.so \
    castalia/lib/{dnnl,tokenizers,zstd-jni,jcuda-natives}-*.jar) || return 1
  # A tar ends with two empty blocks; the first part must not, for the second to follow it.
  ( set -o pipefail
    tar -C "$1" "${options[@]}" -b 1 -cf - -T - <<< "$natives" | head -c -1024 |
      xz -T 1 --x86 "--lzma2=$package_native" > "${parts[0]}" ) &
  tar=$!
  ( set -o pipefail
    tar -C "$1" "${options[@]}" -X - -cf - castalia <<< "$natives" | xz -T 1 "--lzma2=$package_other" > "${parts[1]}" )
  local code=$?
  wait $tar && [ $code -eq 0 ] && cat "${parts[@]}" > "$2"
  code=$?
  rm -f "${parts[@]}"
  return $code
}

run_package() {
  local out='' bytes strip=() folder
  package_native=preset=9e,dict=96MiB,lc=4,pb=0 package_other=preset=9e,dict=96MiB
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help) package_help; return 0 ;;
      --quick) package_native=preset=1 package_other=preset=1 ;;
      -*) die 2 "package does not know '$1'; see ./castalia package --help" ;;
      *) [ -z "$out" ] || die 2 "package writes one file; '$out' and '$1' were named"
        out=$1 ;;
    esac
    shift
  done
  out=${out:-$root/castalia-linux-x86_64.tar.xz}
  case $out in /*) ;; *) out=$PWD/$out ;; esac
  : > "$out.new" 2> /dev/null || die 16 "cannot write $out"
  prepare_home
  require_jdk
  ensure_built
  if ! command -v xz > /dev/null; then rm -f "$out.new"; die 19 "package needs xz; install xz-utils"; fi
  if command -v strip > /dev/null; then strip=("$(command -v strip)" --strip-unneeded)
  else say "no strip on PATH (binutils): the file will be 2 MiB larger"; fi
  work=$home/tmp/package-$$
  rm -rf "$work" && mkdir -p "$work/castalia" || die 16 "cannot write $work"
  unfinished=$out.new
  trap 'rm -rf "$work" "$unfinished"' EXIT
  folder=$work/castalia
  "$jdk_home/bin/jlink" --add-modules "$runtime_modules" --strip-debug --no-header-files --no-man-pages \
    --compress zip-0 --output "$folder/runtime" 2> "$work/jlink" || die 4 "jlink failed: $(tail -n 1 "$work/jlink")"
  [ ${#strip[@]} -eq 0 ] || "${strip[@]}" "$folder"/runtime/lib/*.so "$folder"/runtime/lib/server/*.so ||
    die 4 "strip failed on the runtime's libraries"
  "$jdk_home/bin/java" "-Djava.io.tmpdir=$home/tmp" "$launch/LeanJars.java" "$dist/lib" "$folder/lib" \
    ${strip[@]+"${strip[@]}"} || die 16 "the jars cannot be repacked"
  cp "$launch/jvm.args" "$launch/options.sh" "$root/LICENSE" "$root/NOTICE" "$root/THIRD-PARTY.md" "$folder/" &&
    cp "$launch/packed.sh" "$folder/castalia" && chmod +x "$folder/castalia" || die 16 "cannot write $work"
  pack "$work" "$out.new" && mv "$out.new" "$out" || die 16 "cannot write $out: is the disk full?"
  bytes=$(stat -c %s "$out")
  say "$out: $((bytes / 1048576)).$((bytes % 1048576 * 10 / 1048576)) MiB; unpack it and run castalia/castalia"
}
