#!/usr/bin/env python3
"""Loads an adapter folder with Hugging Face peft on its base and computes its logits.

    load_adapter.py DIR BASE < {"rows": [{"ids": […], "types": […]}]}

Prints {"labels": [in order], "logits": [per row]} as JSON; token classifiers, language models and heads of answers give one
list per position. A weight that is
missing or has no place is an error.
"""
import json, sys, warnings
import torch
from peft import PeftConfig, PeftModel, load_peft_weights
from transformers import (AutoConfig, AutoModelForCausalLM, AutoModelForQuestionAnswering, AutoModelForSequenceClassification,
                          AutoModelForTokenClassification)

folder, base = sys.argv[1:3]
config = AutoConfig.from_pretrained(folder)
task = PeftConfig.from_pretrained(folder).task_type
tags = task in ("TOKEN_CLS", "QUESTION_ANS")
auto = {"TOKEN_CLS": AutoModelForTokenClassification, "QUESTION_ANS": AutoModelForQuestionAnswering,
        "CAUSAL_LM": AutoModelForCausalLM}.get(task, AutoModelForSequenceClassification)
inner = auto.from_pretrained(base, config=config, dtype=torch.float32, attn_implementation="eager")
rows = getattr(PeftConfig.from_pretrained(folder), "trainable_token_indices", None) or []
rows = [i for ids in rows.values() for i in ids] if isinstance(rows, dict) else rows
if rows and max(rows) >= inner.config.vocab_size: inner.resize_token_embeddings(max(rows) + 1, mean_resizing=False)
with warnings.catch_warnings():
    warnings.filterwarnings("error", message=".*(missing|unexpected) adapter keys.*")
    model = PeftModel.from_pretrained(inner, folder).eval()
names = set(load_peft_weights(folder))
have = {n.replace(".default", "").replace(".modules_to_save", "").replace("lora_magnitude_vector.weight", "lora_magnitude_vector")
        for n, _ in model.named_parameters(remove_duplicate=False)} | {"prompt_embeddings"}
assert names <= have, names - have
virtual = getattr(model.peft_config["default"], "num_virtual_tokens", 0) if model.peft_config["default"].peft_type == "PROMPT_TUNING" else 0
# peft's own forward of heads of answers takes token types and does not pass them on.
forward = model.base_model if task == "QUESTION_ANS" else model
logits = []
with torch.no_grad():
    for r in json.load(sys.stdin)["rows"]:
        ids = torch.tensor([r["ids"]])
        types = {"token_type_ids": torch.tensor([r.get("types") or [0] * len(r["ids"])])} if config.model_type == "bert" else {}
        said = forward(input_ids=ids, **types, attention_mask=torch.ones_like(ids))
        out = (torch.stack([said.start_logits, said.end_logits], -1) if "start_logits" in said else said.logits)[0]
        logits.append((out[virtual:] if tags else out).tolist())
json.dump({"labels": [config.id2label[i] for i in range(len(config.id2label))], "logits": logits}, sys.stdout)
