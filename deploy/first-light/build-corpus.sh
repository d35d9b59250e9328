#!/bin/sh
# Rebuilds the shipped text and tokenizer from the Debian packages they come from.
#
#   deploy/first-light/build-corpus.sh [--debs FOLDER] [OUTPUT]
#
# FOLDER holds the four .deb files named below; without it they are fetched with 'apt-get download'
# (Debian 12, amd64). OUTPUT is by default the folder of the shipped files. Needs dpkg-deb, zcat,
# sha256sum, libreadline8, a JDK 25 in JAVA_HOME or PATH, and the built modules (./castalia test or
# mvn package). The result is the same every time; its SHA-256 stand in CORPUS.md.
set -eu
export LC_ALL=C.UTF-8

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
debs=
if [ "${1:-}" = --debs ]; then
    debs=$(cd "$2" && pwd)
    shift 2
fi
output=${1:-$root/deploy/src/main/resources/castalia/first-light}
mkdir -p "$output"
output=$(cd "$output" && pwd)
java=java
if [ -n "${JAVA_HOME:-}" ]; then
    java=$JAVA_HOME/bin/java
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if [ -z "$debs" ]; then
    apt-get download bible-kjv=4.38 bible-kjv-text=4.38 jargon-text=4.4.7-4.1 dict-devil=1.0-13.1
    debs=$work
fi
cat > sums <<'SUMS'
75a49c032a6efa9faa2beb4a9acb70974380122906329d0e100de36cc88ff02d  bible-kjv_4.38_amd64.deb
d61b6aad4c51ba9e2800b825325fa6a09e99a0d02a9bb6dc4724fcc4995a1b7a  bible-kjv-text_4.38_all.deb
17d05997e30eb3d5d6713929b8e2f81b63a5f50073858ad2a06701c71f54dcdb  jargon-text_4.4.7-4.1_all.deb
6a535684def2a1f70cd42da16d12d43f0e9dc3e54e4a329178eebab3170e3154  dict-devil_1.0-13.1_all.deb
SUMS
(cd "$debs" && sha256sum -c --quiet "$work/sums")
for deb in "$debs"/bible-kjv_*.deb "$debs"/bible-kjv-text_*.deb "$debs"/jargon-text_*.deb \
    "$debs"/dict-devil_*.deb; do
    dpkg-deb -x "$deb" unpacked
done

# The Bible is stored compressed; its own program prints it, with -f as one labelled verse a line.
unpacked/usr/bin/bible -p unpacked/usr/lib -l70 -f gen1:1-rev22:21 > kjv.txt
zcat unpacked/usr/share/doc/jargon-text/jargon.txt.gz > jargon.txt
zcat < unpacked/usr/share/dictd/devil.dict.dz > devil.txt

"$java" -cp "$root/deploy/target/classes:$root/workers/target/classes" \
    castalia.deploy.firstlight.FirstLightCorpus kjv.txt jargon.txt devil.txt "$output"
cd "$output"
wc -c corpus.txt tokenizer.json
sha256sum corpus.txt tokenizer.json
