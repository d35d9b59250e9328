#!/bin/bash
# `castalia data prepare` beside Hugging Face's tokenizers library in Python on the JDK's own source archive, in turns,
# three pairs, two threads each; both write token files, which are compared byte by byte. On an otherwise idle machine.
# usage: deploy/bench/prepare.sh TOKENIZER PYTHON [ARCHIVE]
#   TOKENIZER  a tokenizer.json; PYTHON  one with tokenizers and numpy; ARCHIVE  default: lib/src.zip of CASTALIA_JAVA_HOME
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
tokenizer=$1
python=$2
archive=${3:-${CASTALIA_JAVA_HOME:?names the JDK}/lib/src.zip}
folder=$root/.castalia/bench/prepare-$(date +%Y%m%d-%H%M%S)
mkdir -p "$folder"
for pair in 1 2 3; do
  "$root/castalia" data prepare "$archive" --match '*.java' --tokenizer "$tokenizer" --append-eod --threads 2 \
    --out "$folder/ours$pair" 2> /dev/null
  RAYON_NUM_THREADS=2 "$python" "$root/deploy/bench/tokenizers_prepare.py" "$archive" "$tokenizer" "$folder/peer$pair"
  cmp "$folder/ours$pair.bin" "$folder/peer$pair.bin"
  cmp "$folder/ours$pair.idx" "$folder/peer$pair.idx"
  rm "$folder"/*.bin "$folder"/*.idx
done
