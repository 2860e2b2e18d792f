#!/usr/bin/env python3
"""The peer of bench/kg: facts in SQLite, imported and looked up.

    python3 bench/peers/kg_sqlite.py FACTS.gz LOOKUPS.json DATABASE

WAL, synchronous NORMAL. Entities and relations are numbered; a fact is three numbers with the
primary key (subject, relation, object), and indexes by object, relation and name stand beside it,
as in the store it is compared with. Indexes are made after the rows, which is faster.
"""
import gzip, json, os, sqlite3, sys, time

facts_file, questions_file, file = sys.argv[1:4]
nt = ".nt." in os.path.basename(facts_file)
for end in ("", "-wal", "-shm"):
    if os.path.exists(file + end):
        os.remove(file + end)

def status(key):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(key)) * 1024 / 1e6

def triples():
    with gzip.open(facts_file, "rt", encoding="utf-8") as f:
        if nt:
            for line in f:
                s, r, o, _ = line.split(" ")
                yield s[1:-1], r[1:-1], o[1:-1]
        else:
            for line in f:
                yield line[:-1].split("\t")

start = time.perf_counter()
for _ in triples():
    pass
read = time.perf_counter() - start

start = time.perf_counter()
db = sqlite3.connect(file, isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=NORMAL")
db.execute("PRAGMA cache_size=-200000")
db.execute("CREATE TABLE entities (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
db.execute("CREATE TABLE relations (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
db.execute("CREATE TABLE facts (s INTEGER NOT NULL, r INTEGER NOT NULL, o INTEGER NOT NULL, PRIMARY KEY (s, r, o)) WITHOUT ROWID")
db.execute("CREATE TABLE loaded (s INTEGER, r INTEGER, o INTEGER)")
entities, relations = {}, {}

def numbered():
    for s, r, o in triples():
        yield entities.setdefault(s, len(entities)), relations.setdefault(r, len(relations)), entities.setdefault(o, len(entities))

db.execute("BEGIN")
db.executemany("INSERT INTO loaded VALUES (?, ?, ?)", numbered())
db.executemany("INSERT INTO entities VALUES (?, ?)", ((n, name) for name, n in entities.items()))
db.executemany("INSERT INTO relations VALUES (?, ?)", ((n, name) for name, n in relations.items()))
db.execute("INSERT INTO facts SELECT DISTINCT s, r, o FROM loaded ORDER BY s, r, o")
db.execute("DROP TABLE loaded")
db.execute("CREATE INDEX by_name ON entities (name)")
db.execute("CREATE INDEX by_object ON facts (o)")
db.execute("CREATE INDEX by_relation ON facts (r)")
db.execute("COMMIT")
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
took = time.perf_counter() - start
rss = status("VmHWM")
entities = relations = None
db.execute("VACUUM")
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
db.close()
size = os.path.getsize(file) / 1e6

start = time.perf_counter()
db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
db.execute("PRAGMA cache_size=-200000")
db.execute("PRAGMA mmap_size=2147483648")
stored = db.execute("SELECT count(*) FROM facts").fetchone()[0]
opened = time.perf_counter() - start
with open(questions_file, encoding="utf-8") as f:
    q = json.load(f)

def by_name(name):
    rows = db.execute("SELECT id FROM entities WHERE name = ?", (name,)).fetchall()
    assert len(rows) == 1
    return rows

def by_subject(name):
    rows = db.execute("SELECT r.name, o.name FROM entities s JOIN facts f ON f.s = s.id JOIN relations r ON r.id = f.r JOIN entities o ON o.id = f.o WHERE s.name = ?", (name,)).fetchall()
    assert rows
    return rows

def times(look, names):
    for name in names:
        look(name)
    took = []
    for name in names:
        start = time.perf_counter_ns()
        look(name)
        took.append((time.perf_counter_ns() - start) / 1e3)
    took.sort()
    n = len(took)
    return {"p50_us": took[n // 2], "p99_us": took[n * 99 // 100], "max_us": took[-1]}

found = sum((r, o) in by_subject(s) for s, r, o in (tuple(x) for x in q["facts"]))
json.dump({"version": sqlite3.sqlite_version, "import_s": took, "read_s": read, "rss_mb": rss, "store_mb": size, "open_s": opened, "stored": stored, "found": found,
           "by_name": times(by_name, q["names"]), "by_subject": times(by_subject, q["subjects"]), "lookup_rss_mb": status("VmRSS")}, sys.stdout)
