# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: AGPL-3.0-only
"""Renders labelled data sets for the five tasks from the simulated table.

Its unit of work is one split (train, val, test): images are rendered once and shared; every task has its own
labels in ultralytics' format. The same seed gives the same files. It never trains and never imports
ultralytics.

    python -m edge_stack_ultralytics.dataset --out data [--train 2400 --val 150 --test 400]
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from edge_stack_sim.scene import (
    CLASSES,
    HEIGHT,
    HOME,
    JOINT_LIMITS,
    JOINTS,
    KEYPOINTS,
    NOMINAL,
    OBJECTS,
    PINION_RADIUS,
    SHOULDER_HEIGHT,
    TOOL,
    UPPER_ARM,
    WIDTH,
    random_style,
)
from edge_stack_sim.world import Annotation, World

SEEDS = {"train": 1, "val": 2, "test": 3}
STATES = ("mark_free", "mark_hidden", "mark_occupied")  # alphabetical, as ultralytics numbers folders
MIN_VISIBLE = 0.3  # part of a thing that must show for it to be labelled
MIN_SIZE = 4.0  # px, both sides of the visible box
MIN_PIXELS = 24
MIN_PIXELS_JOINTED = 60  # of gripper and hand, whose visible part is not known
ARM_MARGIN = 8.0  # px around the keypoints of the arm
NOMINAL_SHARE = 0.15  # of images that look as the demo does


@dataclass(frozen=True)
class Counts:
    """Images of each split."""

    train: int = 2400
    val: int = 150
    test: int = 400


# ---- scenes


def tool_down(x: float, y: float, z: float, roll: float, gripper: float) -> NDArray[np.float64] | None:
    """Joints [6] that hold the tool at a place (m) pointing down; None where the arm does not reach."""
    radius, height = math.hypot(x, y), z + TOOL - SHOULDER_HEIGHT
    distance = math.hypot(radius, height)
    if not 0.06 < distance < 2 * UPPER_ARM * 0.999:
        return None
    elbow = 2.0 * math.acos(distance / (2 * UPPER_ARM))
    lift = math.atan2(radius, height) - elbow / 2.0
    joints = np.array((math.atan2(y, x), lift, elbow, math.pi - lift - elbow, roll, gripper))
    low, high = np.array([JOINT_LIMITS[name] for name in JOINTS]).T
    return joints if bool(np.all((joints >= low) & (joints <= high))) else None


def _random_joints(world: World, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw an arm pose: at home, tool down over the table or a thing, or anything above the table."""
    kind = rng.random()
    if kind < 0.15:
        return np.asarray(HOME) + rng.normal(0.0, 0.08, 6)
    if kind < 0.85:
        for _ in range(50):
            if kind < 0.5:
                radius, bearing = rng.uniform(0.1, 0.29), rng.uniform(-1.2, 1.2)
                x, y = radius * math.cos(bearing), radius * math.sin(bearing)
            else:
                target = rng.choice(("mark", *OBJECTS))
                x, y = world.mark_position if target == "mark" else world.object_pose(str(target))[:2]
                x, y = x + rng.normal(0.0, 0.012), y + rng.normal(0.0, 0.012)
            joints = tool_down(x, y, rng.uniform(0.012, 0.14), rng.uniform(-1.7, 1.7), rng.uniform(0.05, 1.0))
            if joints is not None:
                joints[1:4] += rng.normal(0.0, 0.03, 3)
                return joints
    low, high = np.array([JOINT_LIMITS[name] for name in JOINTS]).T
    for _ in range(200):
        anything: NDArray[np.float64] = rng.uniform(low, high)
        anything[0] = rng.uniform(-1.2, 1.2)
        world.teleport_arm(anything)
        tips = (
            world.tool_position,
            world.data.site("left_fingertip").xpos,
            world.data.site("right_fingertip").xpos,
        )
        if min(float(tip[2]) for tip in tips) > 0.01 and float(world.data.body("wrist").xpos[2]) > 0.03:
            return anything
    return np.asarray(HOME)


def _hold(world: World, name: str, joints: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Put an object between the fingers and close them on it."""
    size = world.style.object_sizes[name]
    joints[5] = size / 2.0 / PINION_RADIUS + rng.uniform(0.0, 0.03)
    joints[4] = np.clip(joints[4], -1.5, 1.5)
    world.teleport_arm(joints)
    across = world.data.site("tool").xmat.reshape(3, 3)[:, 1]
    x, y, z = world.tool_position - world.tool_axis * rng.uniform(-0.004, 0.012)
    world.set_object(name, x, y, math.atan2(across[1], across[0]), max(z, size / 2.0))


def _random_hand(world: World, rng: np.random.Generator) -> None:
    world.set_hand(
        rng.uniform(0.05, 0.42), rng.uniform(-0.25, 0.25), rng.uniform(0.025, 0.16), rng.uniform(-1.3, 1.3)
    )


def scramble(world: World, rng: np.random.Generator, hand_share: float = 0.2) -> None:
    """Draw a new scene: style, places, arm pose, perhaps a thing in the gripper, perhaps a hand."""
    world.restyle(NOMINAL if rng.random() < NOMINAL_SHARE else random_style(rng))
    world.teleport_arm(HOME)  # out of the way of what is placed
    world.place_objects(rng)
    if rng.random() < 0.3:  # the task's goal: something on the mark
        x, y = world.mark_position + rng.normal(0.0, 0.012, 2)
        world.set_object(str(rng.choice(OBJECTS)), x, y, rng.uniform(-math.pi, math.pi))
    joints = _random_joints(world, rng)
    world.teleport_arm(joints)
    if rng.random() < 0.25 and world.tool_axis[2] < -0.9:
        _hold(world, str(rng.choice(OBJECTS)), joints, rng)
    if rng.random() < hand_share:
        _random_hand(world, rng)
    else:
        world.hide_hand()
    mujoco.mj_forward(world.model, world.data)


# ---- labels


def labelled(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Those that show enough of themselves to be found."""
    kept = []
    for item in annotations:
        x1, y1, x2, y2 = item.box
        jointed = item.name in ("gripper", "hand")
        enough = int(item.mask.sum()) >= (MIN_PIXELS_JOINTED if jointed else MIN_PIXELS)
        if enough and item.visible >= MIN_VISIBLE and min(x2 - x1, y2 - y1) >= MIN_SIZE:
            kept.append(item)
    return kept


def _scaled(points: NDArray[np.float64]) -> str:
    unit = np.clip(np.asarray(points, dtype=np.float64).reshape(-1, 2) / (WIDTH, HEIGHT), 0.0, 1.0)
    return " ".join(f"{value:.6f}" for value in unit.ravel())


def _xywh(box: Sequence[float] | NDArray[np.float64]) -> str:
    x1, y1, x2, y2 = np.clip(box, 0, (WIDTH, HEIGHT, WIDTH, HEIGHT))
    return _scaled(np.array(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)))


def detect_lines(items: Sequence[Annotation]) -> list[str]:
    """One `class cx cy w h` a thing; the box is of its visible pixels."""
    return [f"{item.class_id} {_xywh(item.box)}" for item in items]


def obb_lines(items: Sequence[Annotation]) -> list[str]:
    """One `class` and four corners an object: the smallest rectangle around its whole projection.

    So the cylinder has an angle too: that of its projection, which perspective makes longer one way.
    """
    return [f"{item.class_id} {_scaled(item.corners)}" for item in items if item.name in OBJECTS]


def outline(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """One polygon [N, 2] around a mask; parts are joined by bridges of no width, holes are filled.

    A hole is a smaller thing in front, and ultralytics paints smaller things later (overlap_mask).
    """
    # Twice the size makes the polygon run along the pixels' edges rather than through their centres.
    big = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, _ = cv2.findContours(big, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    parts = [contour[:, 0].astype(np.float64) for contour in contours if cv2.contourArea(contour) >= 16]
    parts = parts or [max(contours, key=len)[:, 0].astype(np.float64)]
    parts.sort(key=len, reverse=True)
    polygon = parts[0]
    for part in parts[1:]:
        gaps = np.linalg.norm(polygon[:, None] - part[None], axis=2)
        here, there = np.unravel_index(int(gaps.argmin()), gaps.shape)
        loop = np.concatenate((part[there:], part[: there + 1]))
        polygon = np.concatenate((polygon[: here + 1], loop, polygon[here:]))
    return np.asarray((polygon + 0.5) / 2.0)


def segment_lines(items: Sequence[Annotation]) -> list[str]:
    """One `class` and polygon a thing, of its visible pixels."""
    return [f"{item.class_id} {_scaled(outline(item.mask))}" for item in items]


def pose_lines(items: Sequence[Annotation]) -> list[str]:
    """Label the arm: box around gripper and visible keypoints; fingertips in order of x in the image.

    The two fingers look the same, so "left" and "right" are the image's.
    """
    gripper = next((item for item in items if item.name == "gripper"), None)
    if gripper is None or gripper.keypoints is None:
        return []
    points = gripper.keypoints.copy()
    points[3:5] = points[3:5][np.argsort(points[3:5, 0], kind="stable")]
    inside = points[:, 2] > 0
    around = np.concatenate((points[inside, :2], np.reshape(gripper.box, (2, 2))))
    box = np.concatenate((around.min(axis=0) - ARM_MARGIN, around.max(axis=0) + ARM_MARGIN))
    values = []
    for x, y, visibility in points:
        values.append(f"{x / WIDTH:.6f} {y / HEIGHT:.6f} {visibility:.0f}" if visibility else "0 0 0")
    return [f"0 {_xywh(box)} {' '.join(values)}"]


LINES = {"detect": detect_lines, "segment": segment_lines, "obb": obb_lines, "pose": pose_lines}


# ---- scene states


def scene_state(world: World, annotations: Sequence[Annotation]) -> str | None:
    """State of the mark in this frame; None where a person would not be sure either.

    occupied: an object rests on it. hidden: arm, hand or a held object covers most of it, or it is out of
    view.
    """
    mark = next((item for item in annotations if item.name == "mark"), None)
    visible = 0.0 if mark is None else mark.visible
    occupant = False
    for name in OBJECTS:
        place = world.object_pose(name)
        distance = math.dist(place[:2], world.mark_position)
        height = float(place[2]) - world.style.object_sizes[name] / 2.0
        if height < 0.004 and distance < world.style.mark_radius:
            seen = next((item.visible for item in annotations if item.name == name), 0.0)
            if distance > world.style.mark_radius * 0.75 or seen < 0.5:
                return None
            occupant = True
    if occupant:
        return "mark_occupied" if visible > 0.25 else None
    if visible < 0.35:
        return "mark_hidden"
    return "mark_free" if visible > 0.65 else None


def stage_state(world: World, state: str, rng: np.random.Generator) -> None:
    """Draw a scene that is likely to be in `state`."""
    scramble(world, rng)
    x, y = world.mark_position
    if state == "mark_occupied":
        spread = rng.normal(0.0, 0.012, 2)
        world.set_object(
            str(rng.choice(OBJECTS)), x + spread[0], y + spread[1], rng.uniform(-math.pi, math.pi)
        )
    elif state == "mark_hidden":
        if rng.random() < 0.6:
            # The gripper hides the mark where it stands between mark and camera, over it or nearer.
            joints = tool_down(
                x + rng.uniform(-0.01, 0.05), y + rng.normal(0.0, 0.015), rng.uniform(0.015, 0.12),
                rng.uniform(-1.6, 1.6), rng.uniform(0.05, 1.0),
            )  # fmt: skip
            if joints is not None:
                world.teleport_arm(joints)
        else:
            world.set_hand(
                x + rng.uniform(-0.05, 0.04),
                y + rng.normal(0.0, 0.03),
                rng.uniform(0.025, 0.1),
                rng.uniform(-0.9, 0.9),
            )
    mujoco.mj_forward(world.model, world.data)


# ---- files


def render_split(folder: Path, split: str, count: int) -> None:
    """Render `count` images of a split with the labels of detect, segment, pose and obb."""
    rng = np.random.default_rng(SEEDS[split])
    world = World(seed=SEEDS[split])
    images = {task: _fresh(folder / task / "images" / split) for task in LINES}
    labels = {task: _fresh(folder / task / "labels" / split) for task in LINES}
    for index in range(count):
        scramble(world, rng)
        items = labelled(world.annotations())
        image = images["detect"] / f"{index:05d}.png"
        _write(image, world.render())
        for task, lines in LINES.items():
            if (
                task != "detect"
            ):  # ultralytics finds labels by the image's own path, so each task has a link of its own
                os.link(image, images[task] / image.name)
            (labels[task] / f"{index:05d}.txt").write_text("".join(f"{line}\n" for line in lines(items)))
        _progress(f"{split} images", index + 1, count)
    world.close()


def render_states(folder: Path, split: str, count: int) -> None:
    """Render `count` images of a split for classify, as many of each state."""
    rng = np.random.default_rng(100 + SEEDS[split])
    world = World(seed=100 + SEEDS[split])
    for number, state in enumerate(STATES):
        images = _fresh(folder / "classify" / split / state)
        wanted = count // len(STATES)
        done = 0
        while done < wanted:
            stage_state(world, state, rng)
            if scene_state(world, world.annotations()) == state:
                _write(images / f"{done:05d}.png", world.render())
                done += 1
                _progress(f"{split} states", number * wanted + done, wanted * len(STATES))
    world.close()


def write_yaml(folder: Path, task: str) -> Path:
    """Write and return ultralytics' description of a task's data."""
    names = {"obb": OBJECTS, "pose": ("arm",)}.get(task, CLASSES)
    text = (
        f"path: {folder.resolve() / task}\ntrain: images/train\nval: images/val\ntest: images/test\nnames:\n"
    )
    text += "".join(f"  {index}: {name}\n" for index, name in enumerate(names))
    if task == "pose":
        text += f"kpt_shape: [{len(KEYPOINTS)}, 3]\nkpt_names:\n  0: [{', '.join(KEYPOINTS)}]\n"
        text += "flip_idx: [0, 1, 2, 4, 3]\n"
    path = folder / f"{task}.yaml"
    path.write_text(text)
    return path


def render_all(folder: Path, counts: Counts) -> None:
    """Render every split of every task into `folder`."""
    for split, count in (("train", counts.train), ("val", counts.val), ("test", counts.test)):
        render_split(folder, split, count)
        render_states(folder, split, count)
    for task in LINES:
        write_yaml(folder, task)


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _write(path: Path, rgb: NDArray[np.uint8]) -> None:
    if not cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise OSError(f"cannot write {path}")


def _progress(what: str, done: int, total: int) -> None:
    if done == total or done % 50 == 0:
        end = "\n" if done == total or not sys.stdout.isatty() else "\r"
        print(f"{what}: {done}/{total}", end=end, flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Render labelled data sets from the simulated table.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data sets")
    for split, count in vars(Counts()).items():
        parser.add_argument(
            f"--{split}", type=int, default=count, help=f"images of {split} (default {count})"
        )
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    render_all(arguments.out, Counts(arguments.train, arguments.val, arguments.test))


if __name__ == "__main__":
    main()
