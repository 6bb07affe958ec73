# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The segmenter's topics: clouds, what their classes are, and the legend. Made only for those who listen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from ros_kd.nodes import messages
from ros_kd.nodes.labelled_cloud import SensorCloud, filtered_message, kept_points, label_columns, labelled_message
from ros_kd.nodes.legend import legend_message, vision_label_info
from ros_kd.nodes.qos import LATCHED
from ros_kd.nodes.segment_model import Model
from ros_kd.nodes.segment_parameters import SegmentParameters
from ros_kd.nodes.segment_timing import TimeTopics
from ros_kd.taxonomy import Taxonomy

if TYPE_CHECKING:
    from ros_kd.students.predictor import Prediction


class Outputs:
    """~/points, ~/points_filtered, ~/label_info, ~/label_info/vision and ~/legend; times: the topics under ~/debug."""

    def __init__(self, node: LifecycleNode, taxonomy: Taxonomy) -> None:
        self._node = node
        self._points, self._filtered = (node.create_lifecycle_publisher(PointCloud2, topic, QoSProfile(depth=1))
                                        for topic in ('~/points', '~/points_filtered'))
        self._legend = node.create_lifecycle_publisher(MarkerArray, '~/legend', LATCHED)
        self._label_info = node.create_publisher(String, '~/label_info', LATCHED)
        self._vision_info = None
        self.times = TimeTopics(node)
        self._frames: list[str] = []
        self.announce(taxonomy)

    def announce(self, taxonomy: Taxonomy) -> None:
        """Say what the classes are from now on."""
        self._taxonomy = taxonomy
        self._label_info.publish(messages.label_info_message(taxonomy))
        message = vision_label_info(taxonomy)
        if message is not None:
            self._vision_info = self._vision_info or self._node.create_publisher(
                type(message), '~/label_info/vision', LATCHED)
            self._vision_info.publish(message)
        if self._frames:
            self._legend.publish(legend_message(taxonomy, self._frames[-1]))

    def show_legend(self, frame_id: str) -> None:
        """Show the legend in the frame of the clouds, once for each."""
        if frame_id not in self._frames:
            self._frames.append(frame_id)
            self._legend.publish(legend_message(self._taxonomy, frame_id))

    def forget_frames(self) -> None:
        """Show the legend again with the next cloud."""
        self._frames.clear()

    def watched(self) -> bool:
        """Tell whether anybody listens to a cloud."""
        return bool(self._points.get_subscription_count() or self._filtered.get_subscription_count())

    def twin(self) -> str:
        """Say who else publishes labelled clouds under this node's name; '' if nobody does."""
        topic = self._points.topic_name
        ends = self._node.get_publishers_info_by_topic(topic)
        if len(ends) < 2:
            return ''
        return (f'{topic} has {len(ends)} publishers ({", ".join(end.node_name for end in ends)}), their labels mix: '
                'end the other segmenter, or start it in a namespace of its own')

    def publish(self, cloud: SensorCloud, prediction: Prediction, model: Model, settings: SegmentParameters) -> None:
        """Publish the clouds that somebody listens to."""
        columns = label_columns(prediction, model.palette, settings.output_fields, settings.min_confidence)
        if self._points.get_subscription_count():
            self._points.publish(labelled_message(cloud, columns))
        if self._filtered.get_subscription_count():
            rows = kept_points(prediction, model.dropped(settings.drop_classes), settings.drop_below_confidence)
            self._filtered.publish(filtered_message(cloud, columns, rows))

    def destroy(self) -> None:
        """Take the topics back."""
        self.times.destroy()
        for publisher in (self._points, self._filtered, self._legend):
            self._node.destroy_lifecycle_publisher(publisher)
        for publisher in (self._label_info, self._vision_info):
            if publisher is not None:
                self._node.destroy_publisher(publisher)
