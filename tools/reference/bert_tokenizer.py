# SPDX-License-Identifier: BSD-3-Clause
"""Ids that BERT's tokenizer is held against: tests/golden/bert_tokenizer.json.

They come from BertWordPieceTokenizer of the library tokenizers, once with lower case and without
accents, once with neither. The vocabulary and the texts are made here: random.Random(5), and the
names and blocks of Python 3.11's unicodedata (Unicode 14). Of every code point there is more: what
becomes of "a" + it + "b", as a CRC-32 for each 1,024 of them.

    pip install tokenizers==0.23.3
    python tools/reference/bert_tokenizer.py 2000 > tests/golden/bert_tokenizer.json
    python tools/reference/bert_tokenizer.py 100000 > all.json  # the 2,000 are the first of them
    PERGOLA_BERT_TEXTS=all.json build/ci/tests/unit/data/bert_test --gtest_filter='BertGolden*'
"""

import json
import random
import sys
import tempfile
import unicodedata
import zlib

from tokenizers import BertWordPieceTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAGE = 1024
BLOCK = 16  # all of Unicode's blocks begin at and have multiples of it
LAST = 0x10FFFF

# Letters that words are made of: Latin with accents, Greek, Cyrillic, Hebrew, Arabic, Devanagari,
# Thai, Hangul's parts, kana.
ALPHABETS = ["abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "éèüñçåøßœæıſÀÉÖ",
             "αβγδεζηθικλμνξοπρσςτυφχψωΣΩ", "абвгдежзийклмнопрстуфхцчшщыьэюяЖЯё", "אבגדהוזחטיךכלםמ",
             "ابتثجحخدذرزسشصضطظعغفقكلم", "अआइईकखगघचछजझटठडढ", "กขคงจฉชซญดตถทธนบ",
             "".join(map(chr, range(0x1100, 0x1113))) + "".join(map(chr, range(0x1161, 0x1176))),
             "あいうえおかきくけこさしすせそアイウエオ"]

# Blocks of which the vocabulary has every single code point, as a first and as another piece:
# those where libraries of another Unicode differ, so that the difference shows in the ids.
TOLD_APART = [range(0x300, 0x340), range(0x7F0, 0x800), range(0x890, 0x8E8), range(0xD3B, 0xD3D),
              range(0x1734, 0x1735), range(0x1885, 0x1887), range(0x1AB0, 0x1AD0),
              range(0x1DF0, 0x1E00), range(0x2E40, 0x2E5E), range(0xA7C8, 0xA7DE),
              range(0x10D24, 0x10D28), range(0x10D50, 0x10D86), range(0x10F46, 0x10F5A),
              range(0x111C8, 0x111CC), range(0x11A33, 0x11A48), range(0x16EA0, 0x16ED4),
              range(0x1D165, 0x1D173), range(0x1E130, 0x1E137), range(0x1E944, 0x1E94B)]


def make_vocabulary(rng):
    tokens = dict.fromkeys(["[PAD]"] + [f"[unused{i}]" for i in range(20)] + SPECIALS[1:])
    singles = [chr(c) for c in range(0x21, 0x7F)]
    singles += [letter for alphabet in ALPHABETS for letter in alphabet]
    singles += [chr(c) for block in TOLD_APART for c in block]
    singles += list("¡¿«»–—…€£©®°·×÷„“”‘’、。「」・！？，．")
    for single in singles:
        tokens.update(dict.fromkeys([single, "##" + single]))
    tokens.update(dict.fromkeys(chr(0x4E00 + rng.randrange(0x1000)) for _ in range(200)))
    for _ in range(1500):
        alphabet = rng.choice(ALPHABETS[:2] + ALPHABETS)
        piece = "".join(rng.choice(alphabet) for _ in range(rng.randint(2, 5)))
        tokens["##" + piece if rng.random() < 0.5 else piece] = None
    return list(tokens)


class Texts:
    """A text at a time, from one of several makers."""

    def __init__(self, rng, vocabulary):
        self.rng = rng
        self.pieces = [token.removeprefix("##") for token in vocabulary]
        self.marks = [chr(c) for c in range(LAST + 1) if unicodedata.category(chr(c))[0] == "M"]
        self.marks += [chr(c) for block in TOLD_APART for c in block]
        # All of Unicode's blocks, but of long ones, and of what is in none, a part.
        long = [range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xAC00, 0xD7A0),
                range(0xE000, 0xF900), range(0x17000, 0x18800), range(0x20000, 0x2E800),
                range(0x2EE60, 0x2F800), range(0x2FA20, 0xE0000), range(0xE01F0, LAST)]
        blocks = [b for b in range(0, LAST, BLOCK) if not 0xD800 <= b < 0xE000
                  and (b % 0x800 == 0 or not any(b in r for r in long))]
        rng.shuffle(blocks)
        self.blocks = blocks
        self.turn = 0

    def block_letters(self):
        """One or two code points of the next block."""
        block = self.blocks[self.turn % len(self.blocks)]
        self.turn += 1
        return "".join(chr(block + self.rng.randrange(BLOCK)) for _ in range(self.rng.randint(1, 2)))

    def any_code(self):
        code = self.rng.randrange(LAST + 1 - 0x800)
        return chr(code if code < 0xD800 else code + 0x800)

    def of_blocks(self):
        space = ["", "", " ", "a", "é", "."]
        return "".join(self.block_letters() + self.rng.choice(space) for _ in range(6))

    def of_pieces(self):
        space = ["", "", " ", " ", "  ", "-", ".", ", ", "\t", "\n", "\u00a0", "\u200b", "\u3000"]
        count = self.rng.randint(1, 8)
        return "".join(self.rng.choice(self.pieces) + self.rng.choice(space) for _ in range(count))

    def of_marks(self):
        text = ""
        for _ in range(self.rng.randint(1, 3)):
            text += self.rng.choice("aEoçक가ἀ中" + self.any_code())
            text += "".join(self.rng.choice(self.marks) for _ in range(self.rng.randint(1, 5)))
        return text

    def of_specials(self):
        parts = SPECIALS + ["[mask]", "[[MASK]", "[MASK", "MASK]", "[SEP]]", " ", "word", "é", "中"]
        return "".join(self.rng.choice(parts) for _ in range(self.rng.randint(1, 6)))

    def of_ascii(self):
        return "".join(chr(self.rng.randrange(128)) for _ in range(self.rng.randint(0, 24)))

    def long_word(self):
        letter = self.rng.choice(["a", "é", "中", "e\u0301", "\u07fd", "x.", "я"])
        return letter * self.rng.choice([33, 50, 99, 100, 101])

    def of_any_code(self):
        return "".join(self.any_code() for _ in range(self.rng.randint(1, 8)))

    def next(self):
        makers = [self.of_blocks] * 10 + [self.of_pieces] * 5 + [self.of_marks] * 3
        makers += [self.of_specials, self.of_ascii, self.of_any_code]
        return self.rng.choice(makers)() if self.rng.random() < 0.98 else self.long_word()


def page_sums(tokenizer):
    """Of each page, the CRC-32 of the words of "a" + code point + "b", one line for each of them."""
    sums = []
    for page in range(0, LAST + 1, PAGE):
        crc = 0
        for code in range(page, page + PAGE):
            if 0xD800 <= code < 0xE000:
                continue
            text = tokenizer.normalizer.normalize_str("a" + chr(code) + "b")
            words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
            crc = zlib.crc32((" ".join(words) + "\n").encode(), crc)
        sums.append(crc)
    return sums


def main():
    rng = random.Random(5)
    vocabulary = make_vocabulary(rng)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("".join(token + "\n" for token in vocabulary))
        file.flush()
        lower = BertWordPieceTokenizer(file.name, lowercase=True)
        kept = BertWordPieceTokenizer(file.name, lowercase=False, strip_accents=False)
    texts = Texts(rng, vocabulary)
    print('{"vocabulary":', json.dumps(vocabulary), ",")
    print('"page_sums": {"lower":', json.dumps(page_sums(lower)), ",")
    print('"kept":', json.dumps(page_sums(kept)), "},")
    print('"texts": [')
    count = int(sys.argv[1])
    for i in range(count):
        text = texts.next()
        ids = [t.encode(text, add_special_tokens=False).ids for t in (lower, kept)]
        row = json.dumps([text, *ids], separators=(",", ":"))
        print(row + ("," if i + 1 < count else ""))
    print("]}")


main()
