#!/usr/bin/env python3
"""A peer of bench/link: MB/s of a Python package that finds many names in text, on one core.

    python3 bench/peers/gazetteer.py ahocorasick_rs|pyahocorasick|flashtext FOLDER SECONDS

FOLDER holds names.txt and text.txt. The text is put in small letters first, which is not counted.
"""
import json, sys, time
from importlib.metadata import PackageNotFoundError, version

system, folder, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
try:
    if system == "ahocorasick_rs":
        import ahocorasick_rs
    elif system == "pyahocorasick":
        import ahocorasick
    else:
        import flashtext
    found = version(system)
except (ImportError, PackageNotFoundError):
    json.dump({"missing": True}, sys.stdout)
    sys.exit(0)
with open(folder + "/names.txt", encoding="utf-8") as f:
    names = f.read().split("\n")
with open(folder + "/text.txt", encoding="utf-8") as f:
    lines = f.read().lower().splitlines(keepends=True)

def rss():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) * 1024 / 1e6

before = rss()
if system == "ahocorasick_rs":
    matcher = ahocorasick_rs.AhoCorasick(names, matchkind=ahocorasick_rs.MatchKind.LeftmostLongest)
    def search():
        return sum(len(matcher.find_matches_as_indexes(line)) for line in lines)
elif system == "pyahocorasick":
    matcher = ahocorasick.Automaton()
    for i, name in enumerate(names):
        matcher.add_word(name, i)
    matcher.make_automaton()
    def search():
        return sum(1 for line in lines for _ in matcher.iter_long(line))
else:
    matcher = flashtext.KeywordProcessor(case_sensitive=True)
    for name in names:
        matcher.add_keyword(name, name)
    def search():
        return sum(len(matcher.extract_keywords(line, span_info=True)) for line in lines)
grown = rss() - before
matches, passes = search(), 0  # the first pass warms up
start = time.perf_counter()
while passes == 0 or time.perf_counter() - start < seconds:
    search()
    passes += 1
took = time.perf_counter() - start
json.dump({"version": found, "matches": matches, "passes": passes, "seconds": took, "rss_mb": grown}, sys.stdout)
