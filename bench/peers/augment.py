#!/usr/bin/env python3
"""The peer of bench/augment: sentences/s of nlpaug on one core, one sentence at a time as its users call it.

    NLTK_DATA=DIR OMP_NUM_THREADS=1 python3 bench/peers/augment.py SENTENCES.jsonl SECONDS

RandomWordAug needs nothing. SynonymAug needs WordNet as NLTK_DATA/corpora/wordnet; without it that row is left out. It
tags every sentence first. Where NLTK's tagger has no data it is trained on a few sentences here, which costs the same
per word, and measured a second time without any tagger.
"""
import importlib.metadata, json, sys, time
import nlpaug.augmenter.word as naw

TAGGED = ["The/DT company/NN said/VBD its/PRP$ profit/NN rose/VBD sharply/RB in/IN the/DT third/JJ quarter/NN ./.",
          "Sales/NNS fell/VBD by/IN five/CD percent/NN because/IN demand/NN was/VBD weak/JJ ./.",
          "Analysts/NNS expect/VBP higher/JJR costs/NNS and/CC lower/JJR margins/NNS next/JJ year/NN ./.",
          "A/DT small/JJ bank/NN quickly/RB opened/VBD two/CD new/JJ offices/NNS in/IN Oslo/NNP ./."]

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
    try:
        nltk.pos_tag(["testing"])
        runs.append(measure("nlpaug.SynonymAug(wordnet)", naw.SynonymAug(aug_src="wordnet")))
    except LookupError:  # NLTK's tagger has no data here
        from nltk.tag.perceptron import PerceptronTagger

        tagger = PerceptronTagger(load=False)
        tagger.train([[(w.split("/")[0], w.split("/")[1]) for w in line.split()] for line in TAGGED * 5], nr_iter=5)
        nltk.pos_tag = lambda tokens, *a, **k: tagger.tag(tokens)
        runs.append(measure("nlpaug.SynonymAug(wordnet)", naw.SynonymAug(aug_src="wordnet"), "NLTK's tagger, trained on a few sentences: its own data come from no package"))
        nltk.pos_tag = lambda tokens, *a, **k: [(t, "NN") for t in tokens]
        runs.append(measure("nlpaug.SynonymAug(wordnet), untagged", naw.SynonymAug(aug_src="wordnet"), "every word taken for a noun"))
except (LookupError, OSError) as e:
    missing = f"SynonymAug: {e}"
json.dump({"version": importlib.metadata.version("nlpaug"), "missing": missing, "runs": runs}, sys.stdout)
