# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
The two lessons of the demo's policy: to see, and to act.

Their unit of work is one stretch of training. `learn_to_see` trains vision tower and connector to say where things are;
`learn_to_act` then trains text model and action expert by flow matching over image tokens that are computed once. Each
leaves the student with the running mean of its weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from edge_stack_policy.base import STATE
from edge_stack_policy.contract import ACTION
from edge_stack_sim.learning.demonstrations import HORIZON, IMAGE_SIDE, Samples
from edge_stack_sim.learning.model import CELLS, GRID, PATCH, Statistics, Student
from edge_stack_sim.scene import HEIGHT, WIDTH
from edge_stack_sim.world import World

Say = Callable[[str], None]

BATCH = 64
DRAWS = 2  # of noise for each prefix
FEATURE_BATCH = 200
_MARK = 4
_BEARING, _RADIUS = 0.5, (0.21, 0.03)  # rad; mean and deviation, m
_BOUND = 1.0  # of the gradient's norm
_SOON = 14  # steps of a chunk that are surely executed
_REPORT_EVERY = 100


@dataclass(frozen=True)
class TrainingPace:
    """
    How long to train; the learning rate ends at whichever limit comes first.

    steps: at most. minutes: at most, of each thread's processor time: a busy machine makes the training
    longer, not worse. rate: the highest.
    """

    steps: int
    minutes: float
    rate: float

    def progress(self, step: int, elapsed_s: float) -> float:
        """Return how much is done, 0..1."""
        return max(step / self.steps, elapsed_s / (60.0 * self.minutes))


@dataclass(frozen=True)
class ObjectPlaces:
    """
    Where things are.

    cells: int64 [N, P] index of the image token. whereabouts: [N, P, 4], as SightHead says them. seen: [N, P], 1 if in the
    image.
    """

    cells: Tensor
    whereabouts: Tensor
    seen: Tensor

    @classmethod
    def of(cls, samples: Samples) -> ObjectPlaces:
        """Project the samples' points into the camera."""
        world = World()
        pixels = world.project(samples.points.reshape(-1, 3).astype(np.float64)).reshape(
            *samples.points.shape[:2], 2
        )
        world.close()
        where = pixels * (IMAGE_SIDE / WIDTH, IMAGE_SIDE / HEIGHT) / PATCH
        cells = np.floor(where).astype(np.int64)
        inside = ((cells >= 0) & (cells < GRID)).all(-1)
        x, y = samples.points[..., 0], samples.points[..., 1]
        around = (np.arctan2(y, x) / _BEARING, (np.hypot(x, y) - _RADIUS[0]) / _RADIUS[1])
        whereabouts = np.concatenate((where - cells - 0.5, np.stack(around, -1)), -1).astype(np.float32)
        clipped = np.clip(cells, 0, GRID - 1)
        return cls(
            torch.from_numpy(clipped[..., 1] * GRID + clipped[..., 0]),
            torch.from_numpy(whereabouts),
            torch.from_numpy(inside.astype(np.float32)),
        )


@dataclass(frozen=True)
class Lesson:
    """Samples as `learn_to_act` takes them. tokens: bfloat16 [N, CELLS, D] of the finished eyes; the rest normalized."""

    tokens: Tensor
    states: Tensor
    chunks: Tensor
    targets: Tensor
    places: ObjectPlaces

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.targets)


def prepare(student: Student, samples: Samples, statistics: Statistics, device: torch.device) -> Lesson:
    """Look at every image once."""
    tokens = []
    with torch.no_grad(), autocast(device):
        for start in range(0, len(samples), FEATURE_BATCH):
            images = torch.from_numpy(samples.images[start : start + FEATURE_BATCH]).to(device)
            tokens.append(student.look(images).bfloat16().cpu())
    return Lesson(
        torch.cat(tokens),
        normalized(samples.states, statistics, STATE),
        normalized(samples.chunks, statistics, ACTION),
        torch.from_numpy(samples.targets.astype(np.int64)),
        ObjectPlaces.of(samples),
    )


def join(lessons: list[Lesson]) -> Lesson:
    """Put lessons one after another."""

    def rows(part: Callable[[Lesson], Tensor]) -> Tensor:
        return torch.cat([part(lesson) for lesson in lessons])

    return Lesson(
        rows(lambda one: one.tokens),
        rows(lambda one: one.states),
        rows(lambda one: one.chunks),
        rows(lambda one: one.targets),
        ObjectPlaces(
            rows(lambda one: one.places.cells),
            rows(lambda one: one.places.whereabouts),
            rows(lambda one: one.places.seen),
        ),
    )


def normalized(values: NDArray[np.floating], statistics: Statistics, key: str) -> Tensor:
    """Return values with about zero mean and unit variance."""
    scaled = (values - statistics[key]["mean"]) / statistics[key]["std"]
    return torch.from_numpy(np.asarray(scaled, dtype=np.float32))


def autocast(device: torch.device) -> Any:
    """Return a context in which matrices are multiplied in bfloat16, where that is faster."""
    fast = device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast)


def learn_to_see(
    student: Student, samples: Samples, pace: TrainingPace, device: torch.device, say: Say
) -> None:
    """Train vision tower and connector, then level them for the text model."""
    places = ObjectPlaces.of(samples)
    parameters = [*(p for eye in student.eyes for p in eye.parameters()), *student.sight.parameters()]
    for step, rows in _steps(student, parameters, len(samples), pace):
        images = _shaken(torch.from_numpy(samples.images[rows.numpy()]).to(device).float())
        cells, seen = places.cells[rows].to(device), places.seen[rows].to(device)
        with autocast(device):
            found = student.sight(student.look(images)).float()
        there = torch.zeros(len(rows), CELLS, cells.shape[1], device=device)
        there.scatter_(1, cells[:, None], seen[:, None])
        said = torch.gather(found[..., 1:], 1, cells[:, None, :, None].expand(-1, 1, -1, 4))[:, 0]
        wrong = binary_cross_entropy_with_logits(
            found[..., 0], there, pos_weight=torch.tensor(10.0, device=device)
        )
        off = ((said - places.whereabouts[rows].to(device)) ** 2) * seen[..., None]
        (2.0 * wrong + 12.0 * off.mean()).backward()
        if step % _REPORT_EVERY == 0:
            hit = (found[..., 0].argmax(1) == cells).float().mean()
            pixels, angle = off[..., :2].mean().sqrt() * PATCH, off[:, :_MARK, 2].mean().sqrt() * _BEARING
            say(
                f"seeing: step {step}, in the right cell {hit:.0%}, off by {pixels:.1f} px, {angle * 1e3:.0f} mrad"
            )
    student.level_eyes(torch.from_numpy(samples.images[:FEATURE_BATCH]).to(device))


def learn_to_act(
    student: Student, lesson: Lesson, pace: TrainingPace, device: torch.device, say: Say
) -> None:
    """Train all but the eyes."""
    eyes = {id(p) for eye in student.eyes for p in eye.parameters()}
    parameters = [p for p in student.policy.parameters() if id(p) not in eyes]
    parameters += student.attention.parameters()
    weights = torch.ones(HORIZON, device=device)
    weights[_SOON:] = torch.linspace(1.0, 0.3, HORIZON - _SOON)
    weights /= weights.mean()
    for step, rows in _steps(student, parameters, len(lesson), pace):
        targets, states = lesson.targets[rows].to(device), lesson.states[rows].to(device)
        with autocast(device):
            prefix = student.read(
                lesson.tokens[rows].to(device), targets, states + 0.01 * torch.randn_like(states)
            )
            flow = student.flow_error(prefix, lesson.chunks[rows].to(device), DRAWS)
            attended = [student.attention(layer).float() for layer in prefix.layers]
        asked, chosen = _asked(lesson, rows, device)
        wrong = sum(
            binary_cross_entropy_with_logits(one, asked, pos_weight=torch.tensor(15.0, device=device))
            for one in attended
        )
        error = (flow * weights[:, None]).mean()
        (error + 0.75 * wrong).backward()
        if step % _REPORT_EVERY == 0:
            hit = (attended[0].argmax(1)[:, 0] == chosen).float().mean()
            say(f"acting: step {step}, error of the flow {error:.3f}, looks at the right object {hit:.0%}")


def _asked(lesson: Lesson, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return 1 where the object and the mark are [B, CELLS, 2], and the object's cell [B]."""
    number = torch.arange(len(rows))
    which = torch.stack([lesson.targets[rows], torch.full_like(rows, _MARK)], 1)
    cells = lesson.places.cells[rows][number[:, None], which]
    seen = lesson.places.seen[rows][number[:, None], which]
    asked = torch.zeros(len(rows), CELLS, 2).scatter_(1, cells[:, None], seen[:, None])
    return asked.to(device), cells[:, 0].to(device)


def _shaken(images: Tensor) -> Tensor:
    """Change exposure and white balance a little."""
    batch = len(images)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, device=images.device)

    gain = (1.0 + 0.06 * draw(batch, 1, 1, 1)) * (1.0 + 0.03 * draw(batch, 1, 1, 3))
    return (images * gain + 4.0 * draw(batch, 1, 1, 1)).clamp(0.0, 255.0)


def _steps(
    student: nn.Module, parameters: list[nn.Parameter], count: int, pace: TrainingPace
) -> Iterator[tuple[int, Tensor]]:
    """
    Yield (number, rows) for each batch; the caller leaves its gradients.

    At the end the parameters become their running mean.
    """
    student.train()
    optimizer = torch.optim.AdamW(parameters, lr=pace.rate, weight_decay=1e-3, betas=(0.9, 0.98))
    mean = [p.detach().clone() for p in parameters]
    began, step = time.process_time(), 0
    while (done := pace.progress(step, (time.process_time() - began) / torch.get_num_threads())) < 1.0:
        rate = pace.rate * min(1.0, (step + 1) / 100) * (0.03 + 0.97 * 0.5 * (1.0 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        step += 1
        yield step, torch.randint(0, count, (BATCH,))
        torch.nn.utils.clip_grad_norm_(parameters, _BOUND)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(mean, [p.detach() for p in parameters], 1.0 - min(0.998, step / (step + 20)))
    with torch.no_grad():
        for parameter, value in zip(parameters, mean, strict=True):
            parameter.copy_(value)
    student.eval()
