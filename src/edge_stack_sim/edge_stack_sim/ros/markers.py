# Copyright 2026 edge_stack contributors
# SPDX-License-Identifier: Apache-2.0
"""Turns the simulated scene into rviz markers. Its unit of work is one picture of the scene; it never publishes."""

from __future__ import annotations

import mujoco
import numpy as np
from builtin_interfaces.msg import Time
from visualization_msgs.msg import Marker, MarkerArray

from edge_stack_sim.world import World

_SHAPES = {
    int(mujoco.mjtGeom.mjGEOM_BOX): Marker.CUBE,
    int(mujoco.mjtGeom.mjGEOM_CYLINDER): Marker.CYLINDER,
    int(mujoco.mjtGeom.mjGEOM_CAPSULE): Marker.CYLINDER,
    int(mujoco.mjtGeom.mjGEOM_ELLIPSOID): Marker.SPHERE,
}


def scene_markers(world: World, frame_id: str, stamp: Time) -> MarkerArray:
    """One marker for each geom but the floor, in the base frame."""
    array = MarkerArray()
    model, data = world.model, world.data
    quaternion = np.empty(4)
    for geom in range(model.ngeom):
        name = model.geom(geom).name
        shape = _SHAPES.get(int(model.geom_type[geom]))
        if name == "floor" or shape is None or data.geom_xpos[geom][2] < -1.0:
            continue
        mujoco.mju_mat2Quat(quaternion, data.geom_xmat[geom])
        size = 2.0 * model.geom_size[geom]
        marker = Marker(type=shape, action=Marker.ADD, id=geom, ns="scene")
        marker.header.frame_id, marker.header.stamp = frame_id, stamp
        position, orientation = marker.pose.position, marker.pose.orientation
        position.x, position.y, position.z = data.geom_xpos[geom].tolist()
        orientation.w, orientation.x, orientation.y, orientation.z = quaternion.tolist()
        if shape == Marker.CYLINDER:
            round_end = size[0] if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE else 0.0
            size = np.array((size[0], size[0], size[1] + round_end))
        marker.scale.x, marker.scale.y, marker.scale.z = size.tolist()
        marker.color.r, marker.color.g, marker.color.b, marker.color.a = model.geom_rgba[geom].tolist()
        marker.lifetime.sec = 1  # what is no longer shown goes by itself
        array.markers.append(marker)
    return array
