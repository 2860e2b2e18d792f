#!/usr/bin/env python3
"""Loads a model folder with transformers and computes its logits.

    load_model.py DIR < {"rows": [{"ids": […], "types": […]}]}

Prints {"architecture", "labels": [in order], "label2id", "problem_type", "missing": [keys], "unexpected": [keys],
"logits": [per row]} as JSON; token classifiers give one list per position.
"""
import json, sys
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

folder = sys.argv[1]
config = AutoConfig.from_pretrained(folder)
tags = config.architectures[0].endswith("ForTokenClassification")
auto = AutoModelForTokenClassification if tags else AutoModelForSequenceClassification
model, info = auto.from_pretrained(folder, output_loading_info=True, dtype=torch.float32, attn_implementation="eager")
model.eval()
rows = json.load(sys.stdin)["rows"]
logits = []
with torch.no_grad():
    for r in rows:
        ids = torch.tensor([r["ids"]])
        types = torch.tensor([r.get("types") or [0] * len(r["ids"])])
        logits.append(model(input_ids=ids, token_type_ids=types).logits[0].tolist())
json.dump({
    "architecture": type(model).__name__,
    "labels": [config.id2label[i] for i in range(len(config.id2label))],
    "label2id": config.label2id,
    "problem_type": config.problem_type or "",
    "missing": sorted(map(str, info["missing_keys"])),
    "unexpected": sorted(map(str, info["unexpected_keys"])),
    "logits": logits,
}, sys.stdout)
