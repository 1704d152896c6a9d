# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Class names of models as rules write them: which of them can match, and what to write in place of one that never can.

Its unit of work is one name against the classes of the models behind some topics. Detectors tell classes by name, or by
number where their labels (vision_msgs/LabelInfo) say what the numbers mean; a rule may write either. A detector whose labels
are not known is never judged.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence

Labels = Mapping[int, str]
"""Class names of a model by class id."""

# More than these many names of one model are not read: a label_info is a list that somebody else writes.
LABELS_MAX = 10_000
# As many classes are named in full; of more, three examples.
_NAMED_MAX = 8
_EXAMPLES = 3
# What models call persons and parts of them: what a rule about persons most likely means, best first.
PERSON_NAMES = (
    "person",
    "hand",
    "people",
    "pedestrian",
    "human",
    "worker",
    "man",
    "woman",
    "child",
    "face",
    "head",
    "arm",
)


def label_topic(topic: str) -> str:
    """Return the topic on which a detector tells its classes, which lies beside that of its detections."""
    folder, slash, _ = topic.rpartition("/")
    return f"{folder}{slash}label_info"


def spellings(names: Iterable[str], labels: Labels | None) -> frozenset[str]:
    """
    Return every class id by which a detector may tell of these names: each as it is written, its number, its name.

    Where a class is itself named by a number, numbers are no ids, and names stay as they are.
    """
    written = frozenset(names)
    if not labels or any(name.isdecimal() for name in labels.values()):
        return written
    pairs = [(str(number), name) for number, name in labels.items()]
    return written.union(
        (number for number, name in pairs if name in written),
        (name for number, name in pairs if number in written),
    )


def can_match(name: str, labels: Labels | None, came: Collection[str] = ()) -> bool:
    """Return whether a detector can ever tell of this name; True where its labels are not known. came: what it told of."""
    if not labels:
        return True
    meant = spellings((name,), labels)
    return not meant.isdisjoint(labels.values()) or not meant.isdisjoint(came)


def no_class(
    what: str, names: Sequence[str], models: Mapping[str, Labels], likely: Sequence[str] = ()
) -> str:
    """
    Say that none of these names is a class of any of these models, and what to write.

    what: where the names stand. models: labels by topic. likely: names to propose where none is written alike.
    """
    quoted = ", ".join(f"'{name}'" for name in names)
    subject = f"{quoted} is no class" if len(names) == 1 else f"none of {quoted} is a class"
    near = _nearest(names, [name for labels in models.values() for name in labels.values()], likely)
    places = " or ".join(f"{topic} ({_classes(labels, near)})" for topic, labels in models.items())
    return f"{what}: {subject} of {places}: write {' or '.join(near) or 'one of its classes'}"


def _nearest(names: Sequence[str], classes: Sequence[str], likely: Sequence[str]) -> list[str]:
    """Return the classes that are written most like the names; the likely ones where none is."""
    by_lower = {name.lower(): name for name in reversed(classes)}
    near: dict[str, None] = {}
    for name in names:
        for match in difflib.get_close_matches(name.lower(), by_lower, _EXAMPLES, cutoff=0.7):
            near[by_lower[match]] = None
    if not near:
        near = {by_lower[name]: None for name in likely if name in by_lower}
    return list(near)[:_EXAMPLES]


def _classes(labels: Labels, near: Sequence[str]) -> str:
    names = list(labels.values())
    count = f"{len(names)} class{'es' if len(names) != 1 else ''}"
    if len(names) <= _NAMED_MAX:
        return f"{count}: {', '.join(names)}"
    own = [name for name in near if name in names]
    examples = list(dict.fromkeys([*own, *names[:_EXAMPLES]]))[:_EXAMPLES]
    return f"{count}, for example {', '.join(examples)}"
