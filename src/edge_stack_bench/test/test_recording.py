# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Composed frames of a recording, and the files that they are written to."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge_stack_bench.views.frame_files import GifWriter, Mp4Writer, open_writer
from edge_stack_bench.views.recording import DRAWN, ModelView, ShownFigures, Status, compose, picture
from edge_stack_bench.views.report import RunRecord
from edge_stack_perception.vision.types import Detections

FRAME = np.full((240, 320, 3), (180, 160, 140), np.uint8)
STATUS = Status(
    "put the red cube on the mark",
    4,
    3,
    "run",
    "ok",
    24.0,
    0.3,
    {
        "fusion": ShownFigures(24.0, 24.0, 0.3, "critical", "active"),
        "detect": ShownFigures(5.0, 5.0, 21.0, "essential", "active"),
    },
)


def view(*, classes: bool = False) -> ModelView:
    if classes:
        none = np.zeros(0, np.float32)
        found = Detections(
            none.reshape(0, 4), none, none.astype(np.int32), probabilities=np.array([0.9, 0.1], np.float32)
        )
    else:
        found = Detections(
            np.array([[100, 80, 140, 120]], np.float32), np.array([0.9], np.float32), np.zeros(1, np.int32)
        )
    return ModelView(FRAME, found, ("red_cube", "mark"))


VIEWS = {"detect": view(), "segment": view(), "pose": view(), "obb": view(), "classify": view(classes=True)}


def moving(number: int) -> NDArray[np.uint8]:
    """A frame with a square that moves; even sizes."""
    image = np.full((120, 160, 3), (180, 160, 140), np.uint8)
    image[40:60, 4 * number : 4 * number + 20] = (255, 82, 82)
    return image


def test_every_frame_of_a_recording_has_one_even_size() -> None:
    sizes = {compose(FRAME, {**VIEWS, "detect": view()}, s).shape for s in (STATUS, Status())}
    sizes.add(compose(FRAME, {n: v for n, v in VIEWS.items() if n != "detect"}, STATUS).shape)
    assert len(sizes) == 1
    assert all(size % 2 == 0 for size in sizes.pop()[:2])


def test_a_recording_shows_the_camera_before_there_are_results() -> None:
    image = compose(FRAME, {}, Status())
    assert (image[100, 100] == FRAME[0, 0]).all()


def test_the_strip_tells_of_the_instruction_and_marks_a_node_that_is_too_slow() -> None:
    slow = Status(nodes={"detect": ShownFigures(3.0, 5.0, 21.0, "essential", "active")})
    good = Status(nodes={"detect": ShownFigures(5.0, 5.0, 21.0, "essential", "active")})
    strips = [compose(FRAME, {}, s)[480:].astype(int) for s in (slow, good)]
    orange = [int(((s[..., 0] - s[..., 2]) > 100).sum()) for s in strips]
    assert orange[0] > 10
    assert orange[1] == 0
    assert compose(FRAME, {}, STATUS)[480:506].max() > 200


def test_more_nodes_than_fit_are_left_out_and_nothing_fails() -> None:
    many = Status(nodes={f"a_node_with_a_long_name_{i}": ShownFigures(5.0, 5.0) for i in range(40)})
    assert compose(FRAME, VIEWS, many).shape == compose(FRAME, VIEWS, STATUS).shape
    assert picture(FRAME, VIEWS, many).shape == picture(FRAME, VIEWS, STATUS).shape


def test_the_picture_has_a_panel_for_each_model_and_one_for_figures() -> None:
    page = picture(FRAME, VIEWS, STATUS)
    assert page.shape == (2 * 366 + 6, 3 * 486 + 6, 3)
    panels = [
        page[6 + r * 366 : 366 + r * 366, 6 + c * 486 : 486 + c * 486] for r in (0, 1) for c in (0, 1, 2)
    ]
    for panel in panels[:5]:
        assert (panel == FRAME[0, 0]).all(2).mean() > 0.5
    assert not (panels[5] == FRAME[0, 0]).all(2).any()


def test_the_picture_of_a_camera_alone_is_a_picture() -> None:
    assert picture(FRAME, {}, Status()).shape == (366 + 6, 2 * 486 + 6, 3)


def test_figures_come_from_the_record_of_the_run() -> None:
    record = RunRecord()
    record.task.take("put the red cube on the mark", 2, 1)
    node = record.node("detect")
    node.rate_hz, node.target_hz, node.state = 5.0, 5.0, "active"
    status = Status.of(record)
    assert (status.instruction, status.attempts, status.successes) == ("put the red cube on the mark", 2, 1)
    assert status.nodes["detect"].rate_hz == 5.0
    assert np.isnan(status.control_hz)


def test_a_gif_has_every_frame_with_its_own_duration(tmp_path: Path) -> None:
    path = tmp_path / "view.gif"
    writer = GifWriter(path)
    for i, time_s in enumerate((0.0, 0.2, 0.4, 1.4)):
        writer.add(moving(i), time_s)
    writer.close()
    writer.close()
    with Image.open(path) as gif:
        assert gif.n_frames == 4
        assert gif.size == (160, 120)
        durations = []
        for i in range(4):
            gif.seek(i)
            durations.append(gif.info["duration"])
            shown = np.asarray(gif.convert("RGB")).astype(int)
            assert np.abs(shown - moving(i)).max() < 24, f"frame {i}"
    assert durations[:3] == [200, 200, 1000]


def test_a_colour_that_comes_later_than_the_first_frame_is_kept(tmp_path: Path) -> None:
    writer = GifWriter(tmp_path / "view.gif", DRAWN)
    writer.add(np.full((120, 160, 3), (180, 160, 140), np.uint8), 0.0)
    writer.add(moving(3), 0.2)
    writer.close()
    with Image.open(tmp_path / "view.gif") as gif:
        gif.seek(1)
        assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - moving(3)).max() < 24


def test_noise_is_not_written_into_a_gif_and_movement_is(tmp_path: Path) -> None:
    writer = GifWriter(tmp_path / "view.gif", DRAWN)
    noise = np.random.default_rng(0).integers(-5, 6, (9, 120, 160, 3))
    for i in range(9):
        writer.add(np.clip(moving(i) + noise[i], 0, 255).astype(np.uint8), i / 5)
    writer.close()
    with Image.open(tmp_path / "view.gif") as gif:
        for i in range(9):
            gif.seek(i)
            assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - moving(i)).max() < 48, f"frame {i}"
    assert (tmp_path / "view.gif").stat().st_size < 120 * 160 * 3


def test_a_frame_that_does_not_change_costs_a_gif_almost_nothing(tmp_path: Path) -> None:
    sizes = []
    for count in (1, 51):
        path = tmp_path / f"{count}.gif"
        writer = GifWriter(path)
        for i in range(count):
            writer.add(compose(FRAME, VIEWS, STATUS), i / 5)
        writer.close()
        sizes.append(path.stat().st_size)
    assert sizes[1] - sizes[0] < 50 * 64


def test_a_gif_takes_no_more_frames_than_its_limit(tmp_path: Path) -> None:
    writer = GifWriter(tmp_path / "view.gif", max_frames=3)
    for i in range(6):
        writer.add(moving(i), i / 5)
    writer.close()
    with Image.open(tmp_path / "view.gif") as gif:
        assert gif.n_frames == 3


def test_an_mp4_keeps_the_time_by_repeating_and_leaving_out_frames(tmp_path: Path) -> None:
    path = tmp_path / "view.mp4"
    writer = Mp4Writer(path, 5.0)
    for i, time_s in enumerate((10.0, 10.2, 10.21, 11.2)):
        writer.add(moving(i), time_s)
    writer.close()
    writer.close()
    video = cv2.VideoCapture(str(path))
    squares = []
    while True:
        decoded, image = video.read()
        if not decoded:
            break
        columns = np.nonzero(image[50, :, 2].astype(int) - image[50, :, 0] > 80)[0]
        squares.append(round(float(columns.mean() - 9.5) / 4))
    assert squares == [0, 1, 3, 3, 3, 3, 3]


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_a_frame_of_another_size_is_fitted_to_the_file(tmp_path: Path, ending: str) -> None:
    writer = open_writer(tmp_path / f"new folder/view.{ending}", 5.0)
    writer.add(moving(0), 0.0)
    writer.add(np.zeros((60, 300, 3), np.uint8), 0.2)
    writer.close()
    assert (tmp_path / f"new folder/view.{ending}").stat().st_size > 0


def test_another_ending_is_refused() -> None:
    with pytest.raises(ValueError, match=r"view.avi: the name must end in .gif or .mp4"):
        open_writer(Path("view.avi"), 5.0)


def test_a_file_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "view.mp4").mkdir()
    with pytest.raises(OSError, match=r"view.mp4"):
        Mp4Writer(tmp_path / "view.mp4", 5.0).add(moving(0), 0.0)
    (tmp_path / "view.gif").mkdir()
    with pytest.raises(OSError, match=r"view.gif"):
        GifWriter(tmp_path / "view.gif").add(moving(0), 0.0)
