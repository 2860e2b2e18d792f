#!/usr/bin/env python3
"""Few-shot classification with setfit, one JSON line per run.

    setfit_fewshot.py --model DIR --train F --test F [--iterations 20] [--batch 16] [--max-len 64] [--seed 0] [--threads 2]

Data: JSONL {"text", "label"}. The body is trained on 2 x --iterations pairs of each example for one epoch, as in
Tunstall et al. 2022, then a logistic regression on its vectors. Prints the seconds of training and of predicting
the test rows, accuracy and macro F1.
"""
import argparse, json, resource, tempfile, time, uuid
import torch
from datasets import Dataset, fingerprint
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.metrics import accuracy_score, f1_score

# datasets pickles tables and functions for names in its cache, which not every pair of versions can; nothing is cached here.
fingerprint.Hasher.hash = classmethod(lambda cls, value: uuid.uuid4().hex)

def read(path):
    rows = [json.loads(line) for line in open(path, encoding="utf-8")]
    return [r["text"] for r in rows], [str(r["label"]) for r in rows]

def main():
    p = argparse.ArgumentParser()
    for n in ("model", "train", "test"): p.add_argument("--" + n, required=True)
    p.add_argument("--iterations", type=int, default=20); p.add_argument("--batch", type=int, default=16)
    p.add_argument("--max-len", type=int, default=64); p.add_argument("--seed", type=int, default=0); p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    x, y = read(a.train); tx, ty = read(a.test)
    labels = sorted(set(y))
    data = Dataset.from_dict({"text": x, "label": [labels.index(v) for v in y]})
    model = SetFitModel.from_pretrained(a.model, labels=labels, device="cpu")
    model.model_body.max_seq_length = a.max_len
    with tempfile.TemporaryDirectory() as out:
        args = TrainingArguments(output_dir=out, batch_size=a.batch, num_epochs=1, num_iterations=a.iterations, seed=a.seed,
                                 report_to="none", save_strategy="no", show_progress_bar=False)
        trainer = Trainer(model=model, args=args, train_dataset=data)
        t = time.time(); trainer.train(); train = time.time() - t
    t = time.time(); said = [str(v) for v in model.predict(tx, batch_size=32, show_progress_bar=False)]; predict = time.time() - t
    print(json.dumps(dict(train_s=round(train, 2), predict_s=round(predict, 2), n=len(x), accuracy=accuracy_score(ty, said),
                          macro_f1=f1_score(ty, said, average="macro", zero_division=0),
                          peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)))

if __name__ == "__main__": main()
