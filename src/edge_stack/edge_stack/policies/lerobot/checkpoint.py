# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Opens a LeRobot checkpoint: finds its folder, loads model and processors, and reads what it says about its features.

Its unit is one checkpoint, a folder or a name on the Hugging Face hub. Weights are safetensors; nothing is unpickled, and
no code of a checkpoint is run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_stack.errors import ConfigurationError
from edge_stack.policies.contract import ACTION, FeatureShapes
from edge_stack.policies.lerobot.installed import require_lerobot, supports_rtc
from edge_stack.policies.lerobot.smolvla_offline import VLM_FOLDER

EMPTY_CAMERA = ".empty_camera_"
"""In keys of cameras that a policy fills in itself."""
# Fields of configurations that say that the policy scales images itself.
SCALING = ("resize_imgs_with_padding", "image_resolution", "resize_shape", "image_size")


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
        from lerobot.policies.factory import get_policy_class, make_pre_post_processors

        config = PreTrainedConfig.from_pretrained(folder)
        config.device = device
        config.pretrained_path = folder
        if (folder / VLM_FOLDER).is_dir() and hasattr(config, "vlm_model_name"):
            config.vlm_model_name = str(folder / VLM_FOLDER)
        if hasattr(config, "load_vlm_weights"):
            config.load_vlm_weights = False  # the checkpoint has them all
        if hasattr(config, "compile_model"):
            config.compile_model = False  # takes minutes at the first inference
        policy = get_policy_class(kind).from_pretrained(folder, config=config, strict=True)
        policy.eval()
        overrides["device_processor"] = {"device": device}
        preprocessor, postprocessor = make_pre_post_processors(
            config, pretrained_path=str(folder), preprocessor_overrides=overrides
        )
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"{folder}: LeRobot {version('lerobot')} cannot load this {kind} policy: {_first_line(error)}{_hint(error)}"
        ) from error
    return Checkpoint(folder, kind, config, policy, preprocessor, postprocessor, rename)


def find_folder(path: str) -> Path:
    """Return the folder of a checkpoint, downloading a hub name where that is allowed. Never guesses."""
    if not path:
        raise ConfigurationError("policy_path: name a LeRobot checkpoint: a folder, or a name on the hub")
    folder = Path(path).expanduser()
    if folder.is_dir():
        # lerobot-train leaves the checkpoint one floor down.
        inner = folder / "pretrained_model"
        return (inner if inner.is_dir() and not (folder / "config.json").exists() else folder).resolve()
    parts = path.split("/")
    if len(parts) != 2 or not all(parts) or path.startswith((".", "~")):
        raise ConfigurationError(
            f"policy_path: there is no folder {path}, and it is no name on the hub (owner/name)"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(path, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"]))
    except Exception as error:
        offline = os.environ.get("HF_HUB_OFFLINE", "")
        why = "HF_HUB_OFFLINE is set" if offline not in ("", "0") else _first_line(error)
        raise ConfigurationError(
            f"policy_path: there is no folder {path}, and the hub gives nothing ({why}); where there is a network,"
            f" `hf download {path} --local-dir {parts[1]}`, then name that folder"
        ) from error


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
    steps = _read_json(path).get("steps", [])
    rename: dict[str, str] = {}
    overrides: dict[str, Any] = {}
    for step in steps if isinstance(steps, list) else []:
        name, settings = step.get("registry_name"), step.get("config", {})
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


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


def _hint(error: BaseException) -> str:
    """What to do where the hub was asked for the backbone's files and did not give them."""
    text = str(error)
    if isinstance(error, OSError) and ("huggingface.co" in text or "offline" in text.lower()):
        return (
            f". Its backbone's configuration and tokenizer are looked for on the hub; put them into the folder"
            f" {VLM_FOLDER} of the checkpoint"
        )
    return ""
