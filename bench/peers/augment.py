#!/usr/bin/env python3
"""The peer of bench/augment: sentences/s of nlpaug on one core, one sentence at a time as its users call it.

    NLTK_DATA=DIR OMP_NUM_THREADS=1 python3 bench/peers/augment.py SENTENCES.jsonl SECONDS

RandomWordAug needs nothing. SynonymAug needs NLTK_DATA/corpora/wordnet and NLTK's tagger, with which it tags every
sentence first (bench/augment brings it); without them that row is left out. It is measured a second time without any
tagger.
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
    assert nltk.pos_tag(["The", "bank", "fell"]) == [("The", "DT"), ("bank", "NN"), ("fell", "VBD")]
    runs.append(measure("nlpaug.SynonymAug(wordnet)", naw.SynonymAug(aug_src="wordnet")))
    nltk.pos_tag = lambda tokens, *a, **k: [(t, "NN") for t in tokens]
    runs.append(measure("nlpaug.SynonymAug(wordnet), untagged", naw.SynonymAug(aug_src="wordnet"), "every word taken for a noun"))
except (LookupError, OSError) as e:
    missing = f"SynonymAug: {e}"
json.dump({"version": importlib.metadata.version("nlpaug"), "missing": missing, "runs": runs}, sys.stdout)
