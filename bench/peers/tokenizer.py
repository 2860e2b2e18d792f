#!/usr/bin/env python3
"""The peer of bench/tokenizer: tokens/s of Python `tokenizers` on one core, one text at a time and in batches.

    TOKENIZERS_PARALLELISM=false RAYON_NUM_THREADS=1 python3 bench/peers/tokenizer.py FILE.json CORPUS.jsonl SECONDS
"""
import json, sys, time
import tokenizers

file, corpus, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
tok = tokenizers.Tokenizer.from_file(file)
with open(corpus, encoding="utf-8") as lines:
    texts = [json.loads(line)["text"] for line in lines if line.strip()]

def one_by_one():
    return sum(len(tok.encode(t)) for t in texts)

def batches():
    return sum(len(e) for i in range(0, len(texts), 256) for e in tok.encode_batch(texts[i:i + 256]))

def measure(name, work):
    tokens, passes, start = work(), 0, time.perf_counter()  # the first pass warms up
    while passes == 0 or time.perf_counter() - start < seconds:
        tokens = work()
        passes += 1
    took = time.perf_counter() - start
    return {"system": name, "tokens": tokens, "passes": passes, "seconds": took, "tokens_per_s": tokens * passes / took}

json.dump({"version": tokenizers.__version__, "runs": [measure("tokenizers", one_by_one), measure("tokenizers-batch", batches)]}, sys.stdout)
