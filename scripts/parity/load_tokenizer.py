#!/usr/bin/env python3
"""Loads tokenizer folders with transformers and prints what they give for some texts.

    python3 scripts/parity/load_tokenizer.py TEXTS.json FOLDER...

TEXTS.json is a list of texts. Prints one JSON object: folder -> {class, size, ids, off, bare (decoded), special}.
"""
import json, os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import AutoTokenizer

texts = json.load(open(sys.argv[1], encoding="utf-8"))
out = {}
for folder in sys.argv[2:]:
    tok = AutoTokenizer.from_pretrained(folder)
    rows = [tok(t, return_offsets_mapping=True) for t in texts]
    out[folder] = {
        "class": type(tok).__name__, "size": len(tok), "ids": [r["input_ids"] for r in rows], "off": [r["offset_mapping"] for r in rows],
        "bare": [tok.decode(r["input_ids"], skip_special_tokens=True, clean_up_tokenization_spaces=False) for r in rows],
        "special": {role: getattr(tok, role + "_token_id", None) for role in ["pad", "unk", "cls", "sep", "mask"]},
    }
json.dump(out, sys.stdout)
