# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Opens a LeRobot checkpoint: finds its folder, loads model and processors, and reads what it says about its features.

Its unit is one checkpoint, a folder or a name on the Hugging Face hub. Weights are safetensors; nothing is unpickled, and
no code of a checkpoint is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack_core.errors import ConfigurationError
from edge_stack_policy.contract import ACTION, FeatureShapes
from edge_stack_policy.lerobot.hub import find_folder, first_line
from edge_stack_policy.lerobot.installed import require_lerobot, supports_rtc
from edge_stack_policy.lerobot.smolvla_offline import VLM_FOLDER
from edge_stack_policy.lerobot.trust import check_steps, forbid_foreign_code
from edge_stack_policy.lerobot.weights import load_policy

EMPTY_CAMERA = ".empty_camera_"
"""In keys of cameras that a policy fills in itself."""
BACKBONES = ("vlm_model_name", "vision_encoder_name", "text_encoder_name")
"""Fields of configurations that name a backbone on the hub."""
AS_LOADED = {
    "load_vlm_weights": False,  # the checkpoint has them all
    "pretrained_backbone_weights": None,  # the same; torchvision would download a pickle
    "compile_model": False,  # takes minutes at the first inference
}
"""Fields of configurations that get other values for inference."""
SCALING = ("resize_imgs_with_padding", "image_resolution", "image_resize_shape", "resize_shape", "image_size")
"""Fields of configurations that say that the policy scales images itself."""
HUB = re.compile("huggingface.co|offline", re.IGNORECASE)
"""In errors of what was looked for on the hub."""


@dataclass
class Checkpoint:
    """A loaded policy. kind: LeRobot's name of it, for example act. rename: keys of observations that it renames."""

    folder: Path
    kind: str
    config: Any
    policy: Any
    preprocessor: Any
    postprocessor: Any
    rename: Mapping[str, str]

    @property
    def guides_chunks(self) -> bool:
        """Whether it can continue a running chunk by real-time chunking."""
        return supports_rtc(self.policy)

    def step(self, name: str) -> Any:
        """Return the preprocessor's step of that registered name, or None."""
        return next((s for s in self.preprocessor.steps if getattr(s, "_registry_name", "") == name), None)

    def features(self) -> FeatureShapes:
        """What it says about itself, under the keys that observations come with."""
        before = {new: old for old, new in self.rename.items()}
        inputs = {
            before.get(key, key): tuple(feature.shape)
            for key, feature in self.config.input_features.items()
            if EMPTY_CAMERA not in key
        }
        outputs = {key: tuple(feature.shape) for key, feature in self.config.output_features.items()}
        names = getattr(self.config, "action_feature_names", None)
        normalizer = self.step("normalizer_processor")
        stats = getattr(normalizer, "stats", None) or {}
        ranges = {}
        for key in (*self.config.input_features, *self.config.output_features):
            values = _range(stats.get(key, {}))
            if values is not None and values[0].ndim == 1:
                ranges[before.get(key, key)] = values
        return FeatureShapes(
            inputs,
            outputs,
            flexible_images=any(getattr(self.config, name, None) is not None for name in SCALING),
            names={ACTION: tuple(names)} if names else {},
            ranges=ranges,
        )


def _range(stats: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return lowest and highest values from a feature's statistics, if they are there and fit together."""
    values = {name: np.asarray(value, dtype=np.float64) for name, value in stats.items()}
    if "min" in values and "max" in values:
        return values["min"], values["max"]
    if "mean" in values and "std" in values:
        return values["mean"] - 3.0 * values["std"], values["mean"] + 3.0 * values["std"]
    return None


def load_checkpoint(path: str, device: str) -> Checkpoint:
    """
    Load a checkpoint onto a device.

    path: folder or hub name. Raises ConfigurationError that says what is missing or wrong, and what would be right.
    """
    require_lerobot()
    folder = find_folder(path)
    kind, rename, overrides = _read_files(folder)
    require_lerobot(kind)
    if folder.joinpath("adapter_config.json").exists():
        raise ConfigurationError(
            f"{folder}: is a PEFT adapter; merge it into its base policy and give that folder"
        )
    try:
        from lerobot.configs.policies import PreTrainedConfig
        from lerobot.policies.factory import make_pre_post_processors

        forbid_foreign_code()
        config = PreTrainedConfig.from_pretrained(folder)
        config.device = device
        config.pretrained_path = folder
        changes: dict[str, Any] = dict(AS_LOADED)
        if (folder / VLM_FOLDER).is_dir():
            changes.update(dict.fromkeys(BACKBONES, str(folder / VLM_FOLDER)))
        for name, value in changes.items():
            if hasattr(config, name):
                setattr(config, name, value)
        policy = load_policy(kind, folder, config)
        overrides["device_processor"] = {"device": device}
        preprocessor, postprocessor = make_pre_post_processors(
            config, pretrained_path=str(folder), preprocessor_overrides=overrides
        )
    except Exception as error:
        raise ConfigurationError(
            f"{folder}: LeRobot {version('lerobot')} cannot load this {kind} policy: {_reason(error)}"
        ) from error
    return Checkpoint(folder, kind, config, policy, preprocessor, postprocessor, rename)


def _read_files(folder: Path) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Return kind, renamed keys, and overrides for processors; ConfigurationError if the files are not LeRobot's."""
    config = _read_json(folder / "config.json")
    kind = config.get("type")
    if not isinstance(kind, str):
        raise ConfigurationError(f"{folder / 'config.json'}: has no field 'type'; it is no LeRobot policy")
    if not (folder / "model.safetensors").is_file():
        raise ConfigurationError(f"{folder}: has no model.safetensors")
    path = folder / "policy_preprocessor.json"
    if not path.is_file():
        raise ConfigurationError(
            f"{folder}: has no policy_preprocessor.json: the checkpoint is older than LeRobot 0.4; convert it by"
            " python -m lerobot.processor.migrate_policy_normalization"
        )
    steps = check_steps(path, _read_json(path))
    after = folder / "policy_postprocessor.json"
    check_steps(after, _read_json(after))
    rename: dict[str, str] = {}
    overrides: dict[str, Any] = {}
    for step in steps:
        name, settings = step["registry_name"], step.get("config") or {}
        if name == "rename_observations_processor":
            rename.update(settings.get("rename_map") or {})
        elif name == "tokenizer_processor" and (folder / VLM_FOLDER).is_dir():
            overrides[name] = {"tokenizer_name": str(folder / VLM_FOLDER)}
    return kind, rename, overrides


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be read: {error.strerror}; is it a LeRobot checkpoint?"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: is not valid JSON: {error}") from error
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: is not a JSON object")
    return data


def _reason(error: Exception) -> str:
    """What an error says and what the one says that it comes from; and what to do where the hub did not give a backbone."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    said = ": ".join(dict.fromkeys((first_line(chain[0]), first_line(chain[-1]))))
    if not any(isinstance(one, OSError) and HUB.search(str(one)) for one in chain):
        return said
    return (
        f"{said}. Its backbone's configuration and tokenizer are looked for on the hub; put them into the folder"
        f" {VLM_FOLDER} of the checkpoint"
    )
