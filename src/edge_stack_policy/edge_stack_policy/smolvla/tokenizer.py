# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Reads the tokenizer.json of SmolVLM2's kind, byte-level BPE, and turns instructions into token numbers.

Its unit is one file. The `tokenizers` package does this for every kind, but brings a dozen packages along; the one kind that
SmolVLA has takes a page. Any other is refused, never guessed.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_stack_core.errors import ConfigurationError

# GPT-2's pattern over classes of characters: L letter, N number, O other, S white space; a blank is itself.
_WORDS = re.compile(r" ?L+| ?N+| ?O+|[ S]+(?![^ S])|[ S]+")
_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
_NO_WHITE_SPACE = "\x1c\x1d\x1e\x1f"
"""Python's isspace() counts them, Unicode's White_Space does not."""
_CACHED_WORDS = 4096


class Tokenizer:
    """One tokenizer.json. `encode` is what the file's own library gives, without padding or truncation."""

    def __init__(self, path: str | Path) -> None:
        """Read a file. Raises ConfigurationError that names it if it is damaged or of another kind."""
        self._path = Path(path)
        data = self._read()
        try:
            model = data["model"]
            self._refuse_other_kinds(data, model)
            self._vocabulary: dict[str, int] = dict(model["vocab"])
            merges = [
                tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge)
                for merge in model["merges"]
            ]
            self._ranks = {merge: rank for rank, merge in enumerate(merges)}
            self._whole_words = bool(model.get("ignore_merges"))
            self._splits_digits = any(step["type"] == "Digits" for step in _steps(data))
            added = {token["content"]: int(token["id"]) for token in data.get("added_tokens", [])}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(
                f"{self._path}: is no tokenizer.json: {type(error).__name__} {error}"
            ) from None
        self._added = added
        longest_first = sorted(added, key=len, reverse=True)
        self._added_pattern = (
            re.compile("(" + "|".join(map(re.escape, longest_first)) + ")") if added else None
        )
        self._word = functools.lru_cache(_CACHED_WORDS)(self._encode_word)

    def encode(self, text: str) -> list[int]:
        """Return the token numbers of a text."""
        result: list[int] = []
        for part in self._added_pattern.split(text) if self._added_pattern else [text]:
            if part in self._added:
                result.append(self._added[part])
                continue
            for word in self._words(part):
                result += self._word(word)
        return result

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"{self._path}: cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigurationError(f"{self._path}: is not valid JSON: {error}") from error
        if not isinstance(data, dict):
            raise ConfigurationError(f"{self._path}: is not a JSON object")
        return data

    def _refuse_other_kinds(self, data: dict[str, Any], model: dict[str, Any]) -> None:
        after = data.get("post_processor")
        steps = _steps(data)
        wrong = {
            f"model {model.get('type')}": model.get("type", "BPE") != "BPE",
            "a normalizer": bool(data.get("normalizer")),
            "a post-processor that adds tokens": after is not None and not _adds_nothing(after),
            "pre-tokenizers " + ", ".join(step["type"] for step in steps): [
                step["type"] for step in steps if step["type"] != "Digits"
            ]
            != ["ByteLevel"],
            "digits that stay together": any(
                step["type"] == "Digits" and not step.get("individual_digits") for step in steps
            ),
            "a prefixed blank": any(step.get("add_prefix_space") for step in steps),
            "another pattern of words": any(not step.get("use_regex", True) for step in steps),
            "dropout": bool(model.get("dropout")),
            "prefixes or suffixes of words": bool(
                model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
            ),
            "stripping tokens": any(
                token.get("lstrip") or token.get("rstrip") or token.get("single_word")
                for token in data.get("added_tokens", [])
            ),
        }
        found = [what for what, is_so in wrong.items() if is_so]
        if found:
            raise ConfigurationError(
                f"{self._path}: has {', '.join(found)}; only byte-level BPE as SmolVLM2 has it can be read"
            )

    def _words(self, text: str) -> Iterator[str]:
        """Yield the parts of a text that are merged on their own."""
        classes = "".join(map(_class_of, text))
        start = 0
        # Digits are cut off first; what is between them is then cut into words.
        pieces = []
        for index, kind in enumerate(classes if self._splits_digits else ""):
            if kind == "N":
                pieces += [(start, index), (index, index + 1)]
                start = index + 1
        for begin, end in [*pieces, (start, len(text))]:
            while begin < end:
                stop = begin
                if text[begin] == "'":
                    stop += next((len(c) for c in _CONTRACTIONS if text.startswith(c, begin, end)), 0)
                if stop == begin:
                    found = _WORDS.match(classes, begin, end)
                    assert found is not None, "every character has a class"
                    stop = found.end()
                yield text[begin:stop]
                begin = stop

    def _encode_word(self, word: str) -> tuple[int, ...]:
        symbols = [_BYTES[byte] for byte in word.encode("utf-8", errors="replace")]
        whole = "".join(symbols)
        if self._whole_words and whole in self._vocabulary:
            return (self._vocabulary[whole],)
        while len(symbols) > 1:
            ranks = [self._ranks.get(pair, len(self._ranks)) for pair in itertools.pairwise(symbols)]
            best = min(range(len(ranks)), key=ranks.__getitem__)
            if ranks[best] == len(self._ranks):
                break
            symbols[best : best + 2] = [symbols[best] + symbols[best + 1]]
        return tuple(self._vocabulary[symbol] for symbol in symbols if symbol in self._vocabulary)


def _steps(data: dict[str, Any]) -> list[dict[str, Any]]:
    step = data.get("pre_tokenizer") or {}
    return list(step["pretokenizers"]) if step.get("type") == "Sequence" else [step] if step else []


def _adds_nothing(after: dict[str, Any]) -> bool:
    template = after.get("single", [])
    return after["type"] == "ByteLevel" or (
        after["type"] == "TemplateProcessing" and [list(piece) for piece in template] == [["Sequence"]]
    )


def _class_of(character: str) -> str:
    if character == " ":
        return " "
    if character.isspace() and character not in _NO_WHITE_SPACE:
        return "S"
    category = unicodedata.category(character)[0]
    return category if category in "LN" else "O"


def _byte_symbols() -> dict[int, str]:
    """GPT-2's visible character for each byte."""
    visible = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + n) for n, byte in enumerate(hidden)}


_BYTES = _byte_symbols()
