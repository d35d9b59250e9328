"""What `castalia data prepare` does, with Hugging Face's tokenizers library: the files of a zip archive that end with
.java, in the order of their names, to PREFIX.bin and PREFIX.idx, <|endoftext|> after each.

For comparison by hand: needs Python with tokenizers and numpy. Set RAYON_NUM_THREADS to the number of threads.
usage: tokenizers_prepare.py ARCHIVE TOKENIZER PREFIX
"""
import sys
import time
import zipfile

import numpy as np
from tokenizers import Tokenizer

archive, tokenizer_file, prefix = sys.argv[1:]
start = time.time()
tokenizer = Tokenizer.from_file(tokenizer_file)
end = tokenizer.token_to_id("<|endoftext|>")
sizes, text_bytes = [], 0


def blocks(zip_file, names):
    texts = []
    for name in names:
        content = zip_file.read(name)
        if content:
            texts.append(content)
        if sum(map(len, texts)) > 4 << 20:
            yield texts
            texts = []
    yield texts


with zipfile.ZipFile(archive) as zip_file, open(prefix + ".bin", "wb") as out:
    names = sorted(name for name in zip_file.namelist() if name.endswith(".java"))
    for texts in blocks(zip_file, names):
        text_bytes += sum(map(len, texts))
        encoded = tokenizer.encode_batch_fast([t.decode("utf-8") for t in texts], add_special_tokens=False)
        for one in encoded:
            ids = one.ids + [end]
            sizes.append(len(ids))
            out.write(np.array(ids, dtype=np.uint16).tobytes())
sizes = np.array(sizes, dtype=np.int32)
pointers = np.concatenate([[0], np.cumsum(sizes[:-1], dtype=np.int64) * 2])
with open(prefix + ".idx", "wb") as index:
    index.write(b"MMIDIDX\x00\x00" + np.array([1], dtype="<u8").tobytes() + bytes([8]))
    index.write(np.array([len(sizes), len(sizes) + 1], dtype="<u8").tobytes())
    index.write(sizes.astype("<i4").tobytes() + pointers.astype("<i8").tobytes())
    index.write(np.arange(len(sizes) + 1, dtype="<i8").tobytes())
seconds = time.time() - start
tokens = int(sizes.sum(dtype=np.int64))
print(f"{len(sizes)} documents, {tokens} tokens, {text_bytes} bytes, {text_bytes / seconds / 1e6:.1f} MB/s, "
      f"{tokens / seconds:.0f} tokens/s")
