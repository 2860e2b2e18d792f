#!/usr/bin/env python3
"""Loads model folders with transformers and computes their logits.

    load_model.py DIR < {"rows": [{"ids": […], "types": […]}]}
    load_model.py DIR… < {"rows": [rows of each folder]}

Prints {"architecture", "labels": [in order], "label2id", "problem_type", "missing": [keys], "unexpected": [keys],
"logits": [per row]} as JSON; token classifiers, language models and heads of answers (start, end) give one list
per position. Of several folders it prints a list of these.
"""
import json, sys
import torch
from transformers import (AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForQuestionAnswering,
                          AutoModelForSequenceClassification, AutoModelForTokenClassification)

kinds = {"ForTokenClassification": AutoModelForTokenClassification, "ForMaskedLM": AutoModelForMaskedLM,
         "ForQuestionAnswering": AutoModelForQuestionAnswering, "ForCausalLM": AutoModelForCausalLM, "LMHeadModel": AutoModelForCausalLM}

def load(folder, rows):
    config = AutoConfig.from_pretrained(folder)
    auto = next((a for end, a in kinds.items() if config.architectures[0].endswith(end)), AutoModelForSequenceClassification)
    model, info = auto.from_pretrained(folder, output_loading_info=True, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    logits = []
    with torch.no_grad():
        for r in rows:
            ids = torch.tensor([r["ids"]])
            more = {} if config.model_type in ("gpt2", "roberta", "distilbert", "llama") else {"token_type_ids": torch.tensor([r.get("types") or [0] * len(r["ids"])])}
            out = model(input_ids=ids, **more)
            both = torch.stack([out.start_logits, out.end_logits], -1) if "start_logits" in out else out.logits
            logits.append(both[0].tolist())
    return {
        "architecture": type(model).__name__,
        "labels": [config.id2label[i] for i in range(len(config.id2label))],
        "label2id": config.label2id,
        "problem_type": config.problem_type or "",
        "missing": sorted(map(str, info["missing_keys"])),
        "unexpected": sorted(map(str, info["unexpected_keys"])),
        "logits": logits,
    }

folders, rows = sys.argv[1:], json.load(sys.stdin)["rows"]
json.dump(load(folders[0], rows) if len(folders) == 1 else [load(f, r) for f, r in zip(folders, rows)], sys.stdout)
