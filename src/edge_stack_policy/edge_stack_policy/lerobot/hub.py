# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""
Finds the folder of a checkpoint: a folder as it is, or a name on the Hugging Face hub, from there or from its cache.

Its unit is one look-up. Of a name's files only descriptions and safetensors are downloaded, never pickles. The hub is asked
first, so that a newer version is seen; a robot without a network starts with what it downloaded before, if that is complete.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from edge_stack_core.errors import ConfigurationError

WANTED = ("*.json", "*.safetensors", "*.txt", "*.model")
"""What belongs to a checkpoint: configurations, weights, tokenizers."""
SILENCE_S = 10.0
"""How long the hub may say nothing."""
_log = logging.getLogger(__name__)


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
    return _from_hub(path)


def _from_hub(name: str) -> Path:
    from huggingface_hub import constants

    try:
        return _download(name)
    except Exception as error:
        cached = _from_cache(name)
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else first_line(error)
        if cached is None:
            raise ConfigurationError(
                f"policy_path: there is no folder {name}, and the hub gives nothing ({why}); where there is a network,"
                f" `hf download {name} --local-dir {name.split('/')[1]}`, then name that folder"
            ) from error
        _log.warning("%s: from the cache, %s, for the hub gives nothing (%s)", name, cached, why)
        return cached


def _download(name: str) -> Path:
    """Return the folder of the hub's present version. Errors of many kinds."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import get_session

    # By itself huggingface_hub waits for ever for a hub that takes a question and says nothing.
    hooks = getattr(get_session(), "event_hooks", {"request": []})["request"]
    if _limit_silence not in hooks:
        hooks.append(_limit_silence)
    version = HfApi().repo_info(name, revision="main", timeout=SILENCE_S).sha
    if version is None or not re.fullmatch("[0-9a-f]{40}", version):
        raise ValueError(f"its version is {version!r}, no commit")
    return Path(snapshot_download(name, revision=version, allow_patterns=list(WANTED)))


def _limit_silence(request: Any) -> None:
    """Give a request of httpx limits where it has none."""
    limits = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {
        wait: SILENCE_S if limits.get(wait) is None else limits[wait]
        for wait in ("connect", "read", "write", "pool")
    }


def _from_cache(name: str) -> Path | None:
    """Return the newest version that was downloaded before and is complete, or None."""
    from huggingface_hub import constants, snapshot_download

    versions = Path(constants.HF_HUB_CACHE, f"models--{name.replace('/', '--')}", "snapshots").glob("*")
    for version in sorted(versions, key=lambda folder: folder.stat().st_mtime, reverse=True):
        try:
            snapshot_download(name, revision=version.name, allow_patterns=list(WANTED), local_files_only=True)
        except (OSError, ValueError):  # a download that was cut short
            continue
        # Older versions of huggingface_hub do not notice that.
        if all((version / file).is_file() for file in ("config.json", "model.safetensors")):
            return version
    return None


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
