# SPDX-License-Identifier: BSD-3-Clause
"""Numbers that the metrics of predicted texts are held against: tests/golden/text_metrics.json.

Normalized answers, and the accuracies and ANLS over them, come from MMF's own file
mmf/utils/m4c_evaluators.py (of mmf 1.0.0rc10 on PyPI; SHA-256 in EVALUATORS_SHA256), which needs
nothing else but an edit distance, given here. BLEU-4 comes from nltk. No seed: nothing is random
but the captions (random.Random(4)).

    pip download mmf==1.0.0rc10 --no-deps --no-binary :all: && tar xzf mmf-1.0.0rc10.tar.gz
    pip install nltk==3.10.4
    python tools/reference/text_metrics.py mmf-1.0.0rc10 > tests/golden/text_metrics.json
"""

import hashlib
import importlib.util
import json
import pathlib
import random
import re
import sys
import types
import warnings

import nltk
from nltk.translate.bleu_score import corpus_bleu

EVALUATORS_SHA256 = "a714ee8cd004f85b76ecedde9c4640a4bb3d0fbf6b7b248109fbbc2b246ff0cf"

TEXTS = [
    "the two mountain's \t \n   ", "", " ", "Yes", "yes.", "Yes!", "a dog", "An apple", "THE END",
    "none", "zero", "one", "Two Dogs", "ten", "eleven", "no one", "twenty-one", "1,000", "1,000 men",
    "3.5", "3. 5", "3.", ".5", "U.S.A.", "u.s. army", "e.g. 4.2 m", "a.b.c", "...", "10.10.2010",
    "." * 40, "x" + "." * 33 + "y", "black/white", "black / white", "black/white / red", "t-shirt",
    "t - shirt", "t-shirt -", "half-hour - break-up", "what?", "what ?", "hello, world", "a,b",
    '"quoted"', '"quoted" text', "(in) brackets", "[x]", "{y}", "a+b=c", "a + b=c", "back\\slash",
    "under_score", "<tag>", "mail@home", "back`tick", "semi;colon", "stop! now!", "50%", "$5", "#1",
    "a&b", "5:30", "5:30 pm", "dont", "don't", "Dont", "cant", "aint", "couldnt've", "couldn'tve",
    "couldntve", "hes", "shes", "she's", "he's", "its", "it's", "itd", "itd've", "it'dve", "lets",
    "let's", "Im", "Ive", "Id've", "oclock", "five oclock", "maam", "'ows'at", "ow's'at", "'ow'sat",
    "somebody'd", "somebodyd", "somebodyd've", "someonell", "thats", "therere", "theyve", "twas",
    "wed've", "weve", "whos", "wholl", "whyre", "wont", "yall", "yall'll", "y'allll", "yall'd've",
    "y'alld've", "y'all'dve", "youre", "hadnt've", "oughtnt", "notve", "whens", "whered", "mightnt",
    "dog's bone", "dogs'", "DOG'S", "dog',s", "dog'?s", "the a an", "a-the-an", "theme", "none of it",
    "new\nline", "tab\there", "a\rb", "caf\u00e9", "\u4e2d\u6587 two", "na\u00efve-ish",
]

PAIRS = [
    ("hello", "hello"), ("Hello ", " hELLO"), ("hello", "hallo"), ("ab", "a"), ("ab", "c"),
    ("abcd", "abxy"), ("abcd", "axyz"), ("", "a"), ("kitten", "sitting"), ("caf\u00e9", "cafe"),
    ("\u4e2d\u6587\u5b57", "\u4e2d\u56fd\u5b57"), ("\u4e2d\u6587", "\u65e5\u672c"),
    ("coca cola", "coca-cola"), ("the coca cola company", "coca cola"), ("1234567890", "1234509876"),
    ("flaw", "lawn"), ("a" * 50, "a" * 25), ("a" * 50, "a" * 24), ("\U0001f600x", "\U0001f600y"),
]

VOCABULARY = ["<pad>", "<s>", "</s>", "<unk>", "yes", "no", "the", "two", "red", "mountain", "'s",
              "top", "coca", "cola", "t-shirt", "dont", "2"]

# Words by number; from len(VOCABULARY) on, the context tokens.
N = len(VOCABULARY)
SEQUENCES = [
    ([4, 2, 5], [], ["yes"] * 10),
    ([5, 2], [], ["yes"] * 7 + ["No!"] * 3),
    ([5, 2], [], ["yes"] * 8 + ["no", "NO "]),
    ([5], [], ["yes"] * 9 + ["no"]),
    ([7, 9, 10, 11, 2, 2], [], ["2 mountain's top"] * 4 + ["top"] * 6),
    ([N, N + 1, 2], ["Coca", "Cola?"], ["coca cola"] * 3 + ["Coca-Cola"] * 7),
    ([12, N + 1, 2, N], ["Coca", "Cola?"], ["pepsi"] * 5 + ["coca  cola"] * 5),
    ([6, 8, 2], [], ["red", "Red", "the red", "blue", "blue", "a red", "pink", "pink", "rose", "rose"]),
    ([14, 2], [], ["t shirt"] * 10),
    ([15, 2], [], ["don't"] * 2 + ["do not"] * 8),
    ([2], [], ["yes"] * 10),
    ([3, 2], [], ["unk"] * 10),
    ([N + 2, 2], ["stop", "exit", "STOP"], ["stop", "stopp", "shop", "sto", "exit"] * 2),
    ([8, N, 2], ["appel"], ["red apple"]),
    ([8, 2], ["unused"], ["blue", "red"]),
    ([8, 2], ["unused"], ["blue", "red", "red", "green"]),
]

# One number each, as a classifier gives it; 0 is never chosen.
SINGLE = [
    (4, [], ["yes"] * 10), (4, [], ["yes"] * 2 + ["no"] * 8), (7, [], ["2"] * 3 + ["3"] * 7),
    (14, [], ["t shirt"] + ["shirt"] * 9), (N, ["The Exit"], ["exit"] * 10),
    (N + 1, ["a", "B"], ["b", "c"]), (15, [], ["don't"]), (3, [], ["red"] * 10),
]


def load_evaluators(folder):
    path = pathlib.Path(folder) / "mmf" / "utils" / "m4c_evaluators.py"
    if hashlib.sha256(path.read_bytes()).hexdigest() != EVALUATORS_SHA256:
        sys.exit(f"{path} is not that of mmf 1.0.0rc10")
    editdistance = types.ModuleType("editdistance")
    editdistance.eval = edit_distance
    sys.modules["editdistance"] = editdistance
    spec = importlib.util.spec_from_file_location("m4c_evaluators", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def edit_distance(left, right):
    table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left) + 1):
        for j in range(len(right) + 1):
            if i == 0 or j == 0:
                table[i][j] = i + j
                continue
            same = left[i - 1] == right[j - 1]
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1,
                              table[i - 1][j - 1] + (not same))
    return table[-1][-1]


def word_tokenize(word):
    return word.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()


def tokenize(sentence):
    sentence = sentence.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return [token.strip() for token in re.split(r"(\W+)", sentence) if token.strip()]


def text_of(ids, context):
    """The text of MMF's textvqa_accuracy (MMF.md 5)."""
    words = []
    for number in ids:
        if number >= N:
            words.append(word_tokenize(context[number - N]))
        elif VOCABULARY[number] == "</s>":
            break
        else:
            words.append(VOCABULARY[number])
    return " ".join(words).replace(" 's", "'s")


def entries(samples):
    """MMF's form; answers repeated in turn to ten, as its answer processor does."""
    rows = []
    for ids, context, answers in samples:
        ids = ids if isinstance(ids, list) else [ids]
        people = (answers * 10)[:10]
        rows.append({"pred_answer": text_of(ids, context), "gt_answers": people})
    return rows


def captions(words, count, rng):
    samples = []
    for _ in range(count):
        base = [rng.choice(words) for _ in range(rng.randint(4, 11))]
        def altered():
            return [w if rng.random() < 0.75 else rng.choice(words + ["zebra", "quilt"]) for w in base]
        references = [" ".join(altered()[: rng.randint(3, 11)]) for _ in range(rng.randint(1, 5))]
        predicted = [w for w in altered() if w in words][: rng.randint(0, 11)]
        samples.append({"predicted": predicted, "references": references})
    return samples


def bleu4(samples, vocabulary):
    known = lambda word: word if word in vocabulary else "<unk>"
    references = [[[known(t) for t in tokenize(r)] for r in s["references"]] for s in samples]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(corpus_bleu(references, [s["predicted"] for s in samples]))


def caption_corpora():
    rng = random.Random(4)
    words = ["a", "man", "dog", "on", "the", "street", "with", "red", "ball", "and", "blue", "sky"]
    vocabulary = ["<pad>", "<s>", "</s>", "<unk>"] + words
    same = [{"predicted": ["a"] * 10, "references": ["a " * 10] * 5}] * 5
    half = [{"predicted": ["a"] * 5 + ["sky"] * 5, "references": ["a " * 10] * 5}] * 5
    corpora = {
        "all the same (MMF's test)": same,
        "half of the words (MMF's test)": half,
        "random": captions(words, 40, rng),
        "random again": captions(words, 15, rng),
        "no word in common": [{"predicted": ["man", "dog"], "references": ["red sky"]}],
        "no pair in common": [{"predicted": ["man", "dog"], "references": ["dog man sky"]}],
        "empty prediction": [{"predicted": [], "references": ["dog man sky"]}],
        "short": [{"predicted": ["man", "dog", "on"], "references": ["man dog on", "man"]}],
        "unknown": [{"predicted": ["a", "<unk>", "on", "the", "street"],
                     "references": ["A zebra, on the street?", "a man's dog - on the street"]}],
        "lengths as near": [{"predicted": ["a", "dog", "on", "the", "street"],
                             "references": ["a dog on the", "a dog on the street red"]}],
    }
    return {"vocabulary": vocabulary,
            "corpora": [{"name": name, "samples": samples, "bleu4": bleu4(samples, vocabulary)}
                        for name, samples in corpora.items()]}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    mmf = load_evaluators(sys.argv[1])
    normalize = mmf.EvalAIAnswerProcessor()
    people = mmf.TextVQAAccuracyEvaluator()
    exact = mmf.STVQAAccuracyEvaluator()
    similar = mmf.STVQAANLSEvaluator()
    sequences = entries(SEQUENCES)
    golden = {
        "versions": {"mmf": "1.0.0rc10", "nltk": nltk.__version__},
        "normalized": [[text, normalize(text)] for text in TEXTS],
        "anls": [[a, b, similar.get_anls(a, b)] for a, b in PAIRS],
        "edit_distance": [[a, b, edit_distance(a, b)] for a, b in PAIRS],
        "vocabulary": VOCABULARY,
        "sequences": [{"ids": ids, "context_tokens": context, "answers": answers, "text": row["pred_answer"],
                       "textvqa_accuracy": people.eval_pred_list([row]),
                       "stvqa_accuracy": exact.eval_pred_list([row]),
                       "stvqa_anls": similar.eval_pred_list([row])}
                      for (ids, context, answers), row in zip(SEQUENCES, sequences)],
        "single": [{"ids": [number], "context_tokens": context, "answers": answers,
                    "vqa_evalai_accuracy": people.eval_pred_list([row])}
                   for (number, context, answers), row in zip(SINGLE, entries(SINGLE))],
        "means": {"textvqa_accuracy": people.eval_pred_list(sequences),
                  "stvqa_accuracy": exact.eval_pred_list(sequences),
                  "stvqa_anls": similar.eval_pred_list(sequences),
                  "vqa_evalai_accuracy": people.eval_pred_list(entries(SINGLE))},
        "captions": caption_corpora(),
    }
    json.dump(golden, sys.stdout, indent=1, ensure_ascii=True)
    print()


if __name__ == "__main__":
    main()
