# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the colours of a labelled cloud mean, for RViz and for other nodes."""

from __future__ import annotations

from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from ros_kd.taxonomy import Taxonomy

LINE_HEIGHT = 0.7
LOWEST_LINE = 3.0


def legend_message(taxonomy: Taxonomy, frame_id: str) -> MarkerArray:
    """Return the class names in their colours as a column of text above the origin of `frame_id`, metres."""
    head = Header(frame_id=frame_id)
    message = MarkerArray(markers=[Marker(header=head, action=Marker.DELETEALL)])
    used = [i for i, name in enumerate(taxonomy.names) if name is not None]
    for line, i in enumerate(reversed(used)):
        red, green, blue = (float(channel) / 255 for channel in taxonomy.colors[i])
        marker = Marker(header=head, ns='legend', id=i, type=Marker.TEXT_VIEW_FACING, action=Marker.ADD,
                        text=taxonomy.names[i], color=ColorRGBA(r=red, g=green, b=blue, a=1.0), frame_locked=True)
        marker.pose.position.z = LOWEST_LINE + line * LINE_HEIGHT
        marker.pose.orientation.w = 1.0
        marker.scale.z = 0.8 * LINE_HEIGHT
        message.markers.append(marker)
    return message


def vision_label_info(taxonomy: Taxonomy):
    """Return the classes as vision_msgs/LabelInfo, or None where that package is not installed."""
    try:
        from vision_msgs.msg import LabelInfo, VisionClass
    except ImportError:
        return None
    return LabelInfo(class_map=[VisionClass(class_id=i, class_name=name)
                                for i, name in enumerate(taxonomy.names) if name is not None])
