#!/usr/bin/env python3
"""The peer of bench/augment: sentences/s of nlpaug on one core, one sentence at a time as its users call it.

    NLTK_DATA=DIR OMP_NUM_THREADS=1 python3 bench/peers/augment.py SENTENCES.jsonl SECONDS

RandomWordAug (swap) needs nothing. SynonymAug needs WordNet as NLTK_DATA/corpora/wordnet; without it that row is left
out. Where NLTK's tagger has no data, every word counts as a noun, which only saves the peer time.
"""
import importlib.metadata, json, sys, time
import nlpaug.augmenter.word as naw

path, seconds = sys.argv[1], float(sys.argv[2])
with open(path, encoding="utf-8") as lines:
    texts = [json.loads(line)["text"] for line in lines if line.strip()]


def measure(name, aug, note=""):
    def once(t):
        aug.augment(t)

    for t in texts[:50]:
        once(t)  # warms up
    done, start = 0, time.perf_counter()
    while done == 0 or time.perf_counter() - start < seconds:
        for t in texts[done % len(texts):][:20]:
            once(t)
            done += 1
    took = time.perf_counter() - start
    return {"system": name, "sentences": done, "seconds": took, "sentences_per_s": done / took, "note": note}


runs = [measure("nlpaug.RandomWordAug(swap)", naw.RandomWordAug(action="swap")),
        measure("nlpaug.RandomWordAug(delete)", naw.RandomWordAug(action="delete"))]
missing = ""
try:
    import nltk
    from nltk.corpus import wordnet

    wordnet.synsets("testing")
    note = ""
    try:
        nltk.pos_tag(["testing"])
    except LookupError:
        note = "every word tagged as a noun: the tagger has no data here"
        nltk.pos_tag = lambda tokens, *a, **k: [(t, "NN") for t in tokens]
    runs.append(measure("nlpaug.SynonymAug(wordnet)", naw.SynonymAug(aug_src="wordnet"), note))
except LookupError as e:
    missing = "SynonymAug: no WordNet under NLTK_DATA"
json.dump({"version": importlib.metadata.version("nlpaug"), "missing": missing, "runs": runs}, sys.stdout)
