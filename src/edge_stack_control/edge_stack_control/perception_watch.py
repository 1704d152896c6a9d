# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
What several detectors see, each with its workspace and its age, and which rules about it can never fire.

Its unit of work is one message of one topic. The nearest of all topics counts, and the oldest of them is the age of
perception. A rule can never fire where no class that it names is one of its detector's, or where its workspace lies outside
every image; what is not known is not judged. One thread writes; `glance` and `cannot_fire` are whole objects that another
thread may read.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edge_stack_control.workspace import NOTHING, Box, Sight, WorkspaceWatch
from edge_stack_core.class_names import LABELS_MAX, PERSON_NAMES, Labels, can_match, no_class, spellings

# After this long without any publisher a topic is named.
ABSENT_S = 3.0
# More names, and more cameras, than these are not remembered.
_CAME_MAX = 1000
_CAMERAS_MAX = 64


@dataclass(frozen=True)
class WatchSettings:
    """
    What is watched, replaced as a whole.

    topics: of the detections. workspaces_px: of each topic x0, y0, x1, y1, ..., px; empty: the whole image. workspace_names:
    the parameter behind each. slow_zone_px: width of the zone around each. hold: whether a rule about persons that can never
    fire holds the robot; otherwise it is only shown. Raises ValueError, with the parameter's name, where a workspace is no
    polygon.
    """

    topics: tuple[str, ...]
    person_classes: tuple[str, ...]
    object_classes: tuple[str, ...] = ()
    min_score: float = 0.5
    workspaces_px: tuple[tuple[float, ...], ...] = ()
    workspace_names: tuple[str, ...] = ()
    slow_zone_px: float = 0.0
    hold: bool = True

    def __post_init__(self) -> None:
        """Check every workspace."""
        for index in range(len(self.topics)):
            self.watch(index, None)

    def watch(self, index: int, labels: Labels | None) -> WorkspaceWatch:
        """Return the watch over the workspace of one topic, whose classes have these numbers."""
        workspace = self.workspaces_px[index] if self.workspaces_px else ()
        try:
            return WorkspaceWatch(
                spellings(self.person_classes, labels),
                spellings(self.object_classes, labels),
                self.min_score,
                workspace,
                self.slow_zone_px,
            )
        except ValueError as error:
            raise ValueError(f"{self.workspace_name(index)}: {error}") from None

    def workspace_name(self, index: int) -> str:
        """Return the parameter that says the workspace of a topic."""
        return self.workspace_names[index] if self.workspace_names else "workspace_px"


@dataclass(frozen=True)
class Glance:
    """What all topics say at one moment. seen_s: of the oldest of them, monotonic; -inf: one has never come."""

    seen_s: float = -math.inf
    sight: Sight = NOTHING


@dataclass
class _View:
    """What is known of one topic. labels: None: not told. came: names that it told of. absent_s: since when it is silent."""

    topic: str
    watch: WorkspaceWatch
    sight: Sight = NOTHING
    seen_s: float = -math.inf
    labels: Labels | None = None
    came: set[str] = field(default_factory=set)
    frame_id: str = ""
    absent_s: float = math.nan
    is_absent: bool = False


class PerceptionWatch:
    """
    Looks at every topic of the settings.

    glance: what they say. cannot_fire: rules about persons that can never hold, in words; "" where there are none, or where
    the settings let the robot run all the same. problems: what is to be shown, one sentence each.
    """

    def __init__(self, settings: WatchSettings) -> None:
        """Have seen nothing yet."""
        self._settings = settings
        self._views = [_View(topic, settings.watch(i, None)) for i, topic in enumerate(settings.topics)]
        self._images: dict[str, tuple[int, int]] = {}
        self.glance = Glance()
        self.cannot_fire = ""
        self.problems: tuple[str, ...] = ()

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics in the order of their numbers."""
        return self._settings.topics

    # ---- what comes

    def configure(self, settings: WatchSettings) -> None:
        """Take other settings of the same topics; those of others are for another watch, and change nothing."""
        if settings.topics != self._settings.topics:
            return
        self._settings = settings
        for index, view in enumerate(self._views):
            view.watch = settings.watch(index, view.labels)
        self._judge()

    def take(self, index: int, boxes: Sequence[Box], seen_s: float, frame_id: str = "") -> bool:
        """Take the detections of one image; False, and nothing changes, if a newer one came before. seen_s: monotonic."""
        view = self._views[index]
        if seen_s < view.seen_s:
            return False
        view.sight, view.seen_s = view.watch.look(boxes), seen_s
        self.glance = Glance(
            min(one.seen_s for one in self._views),
            nearest([(one.topic if len(self._views) > 1 else "", one.sight) for one in self._views]),
        )
        new = {box.name for box in boxes} - view.came
        view.came.update(itertools.islice(new, max(_CAME_MAX - len(view.came), 0)))
        if (new and view.labels) or frame_id != view.frame_id:
            view.frame_id = frame_id
            self._judge()
        return True

    def take_labels(self, index: int, names: Iterable[tuple[int, str]]) -> None:
        """Take the classes of a topic's model, as id and name; none at all tell nothing of it."""
        view = self._views[index]
        labels = dict(itertools.islice(names, LABELS_MAX)) or None
        if labels == view.labels:
            return
        view.labels = labels
        view.came.clear()  # it was another model that told of them
        view.watch = self._settings.watch(index, view.labels)
        self._judge()

    def take_image(self, frame_id: str, width: int, height: int) -> None:
        """Take the size of a camera's images, px; a camera without a name, or without a size, tells nothing."""
        known = self._images.get(frame_id) == (width, height)
        full = len(self._images) >= _CAMERAS_MAX and frame_id not in self._images
        if known or full or not frame_id or width <= 0 or height <= 0:
            return
        self._images[frame_id] = (width, height)
        self._judge()

    def take_publishers(self, counts: Sequence[int], now_s: float) -> None:
        """Take how many publish each topic, in a node that is active. now_s: monotonic."""
        before = [view.is_absent for view in self._views]
        for view, count in zip(self._views, counts, strict=True):
            if count:
                view.absent_s = math.nan
            elif math.isnan(view.absent_s):
                view.absent_s = now_s
            view.is_absent = now_s - view.absent_s >= ABSENT_S  # not so for NaN
        if before != [view.is_absent for view in self._views]:
            self._judge()

    def forget_publishers(self) -> None:
        """Begin anew to wait for publishers."""
        for view in self._views:
            view.absent_s, view.is_absent = math.nan, False
        self._judge()

    # ---- what follows

    def untold(self) -> list[str]:
        """Return the topics that have come, and whose classes nobody tells."""
        return [view.topic for view in self._views if view.labels is None and view.seen_s > -math.inf]

    def stale_words(self, now_s: float, timeout_s: float) -> str:
        """Return which topics are stale and why, in words; empty where none is. now_s: monotonic."""
        words = []
        for view in self._views:
            age_s = now_s - view.seen_s
            if age_s <= timeout_s:
                continue
            if view.is_absent:
                words.append(_absent(view.topic))
            elif math.isinf(age_s):
                words.append(f"the newest detection of {view.topic} has never come")
            else:
                words.append(
                    f"the newest detection of {view.topic} is {age_s:.2f} s old, at most {timeout_s:g} s is allowed"
                )
        return "; ".join(words)

    def _judge(self) -> None:
        """Find the rules that can never fire."""
        settings, blind, problems = self._settings, list[str](), list[str]()
        persons = settings.person_classes
        for index, view in enumerate(self._views):
            if persons and view.labels and not any(can_match(n, view.labels, view.came) for n in persons):
                blind.append(no_class("person_classes", persons, {view.topic: view.labels}, PERSON_NAMES))
            size = self._images.get(view.frame_id)
            if size is not None and not view.watch.reaches_into(*size):
                blind.append(
                    f"{settings.workspace_name(index)}: lies outside the image of {view.topic}, which is {size[0]} px wide"
                    f" and {size[1]} px high: nobody is ever seen in it"
                )
            if view.is_absent:
                problems.append(_absent(view.topic))
        models = {view.topic: view.labels for view in self._views if view.labels}
        lost = [name for name in persons if self._is_nowhere(name)]
        if len(lost) < len(persons):  # else it is said above
            problems += [no_class("person_classes", (name,), models, PERSON_NAMES) for name in lost]
        lost = [name for name in settings.object_classes if self._is_nowhere(name)]
        problems += [no_class("object_classes", (name,), models) for name in lost]
        self.problems = (*blind, *problems)
        self.cannot_fire = "; ".join(blind) if settings.hold else ""

    def _is_nowhere(self, name: str) -> bool:
        """Return whether no watched model can have a class, as far as all of them are known."""
        return bool(self._views) and not any(can_match(name, view.labels, view.came) for view in self._views)


def nearest(sights: Iterable[tuple[str, Sight]]) -> Sight:
    """Return the nearest person and the nearest object of all topics. A topic that is not empty is named in the words."""
    inside, person, thing, person_text, thing_text = False, math.inf, math.inf, "", ""
    for topic, sight in sights:
        where = f" on {topic}" if topic else ""
        inside = inside or sight.person_inside
        if sight.person_distance < person:
            person, person_text = sight.person_distance, f"{sight.person}{where}"
        if sight.object_distance < thing:
            thing, thing_text = sight.object_distance, f"{sight.object}{where}"
    return Sight(inside, person, thing, person_text, thing_text)


def _absent(topic: str) -> str:
    return f"no publisher on {topic}"
