# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""A synthetic drive as the messages that a vehicle publishes, and raw bags of them. Not a test itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from rosbags import rosbag1, rosbag2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.spatial.transform import Rotation

from ros_kd import extrinsics
from ros_kd.bags import codec, layout
from ros_kd.cameras import Camera
from ros_kd.frames import Scan
from ros_kd.images import EncodedPixels, RawPixels

MS = 1_000_000
START = 1_700_000_000_000_000_000
FRONT = Camera(40, 24, [[30, 0, 20], [0, 31, 12], [0, 0, 1]], 'plumb_bob', (-0.3, 0.1, 1e-3, -2e-3, 0.02))
REAR = Camera(16, 8, [[9, 0, 8], [0, 9, 4], [0, 0, 1]])
KINDS = ('mcap', 'sqlite', 'ros1')


@dataclass(frozen=True)
class Message:
    """A serialised message (CDR) and when it was logged, ns."""

    topic: str
    kind: str
    logged: int
    raw: bytes | memoryview


def ego(stamp: int) -> np.ndarray:
    """T_odom_base: faster and faster along a bend."""
    t = (stamp - START) * 1e-9
    return extrinsics.from_rotation(Rotation.from_euler('z', 0.3 * t).as_matrix(), [5 * t + t * t, 0.5 * t * t, 0.0])


def mounted(x: float, y: float, z: float, yaw: float, pitch: float = 0.0) -> np.ndarray:
    """T_base_sensor."""
    return extrinsics.from_rotation(Rotation.from_euler('zy', [yaw, pitch]).as_matrix(), [x, y, z])


MOUNTS = {'lidar': mounted(0, 0, 1.8, 0.02), 'front_optical': mounted(1.2, 0.1, 1.5, 0.5, 0.1),
          'rear_optical': mounted(-1.2, 0, 1.4, 3.1)}


def tf(topic: str, stamp: int, logged: int, parent: str, child: str, matrix: np.ndarray) -> Message:
    """A message with one transform."""
    store = codec.typestore()
    transform = codec.read(codec.transform(matrix, stamp, parent, child), layout.TRANSFORM)
    message = store.types[layout.TF_MESSAGE]([transform])
    return Message(topic, layout.TF_MESSAGE, logged, store.serialize_cdr(message, layout.TF_MESSAGE))


@dataclass
class Drive:
    """LiDAR at 10 Hz; front camera at 30 Hz, 3 ms off and logged 80 ms late; rear camera at 20 Hz, 7 ms off.

    Odometry at 50 Hz covers all of it. Stamps are those of the sensors, log times later.
    """

    scans: int = 6
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        end = START + self.scans * 100 * MS
        for name, matrix in MOUNTS.items():
            self.messages.append(tf('/tf_static', START, START - 900 * MS, 'base', name, matrix))
        for stamp in range(START - 200 * MS, end + 200 * MS, 20 * MS):
            self.messages.append(tf('/tf', stamp, stamp + 2 * MS, 'odom', 'base', ego(stamp)))
        for stamp in self.scan_stamps:
            self.messages.append(Message('/points', layout.CLOUD, stamp + 60 * MS, codec.cloud(self.scan(stamp))))
        for number in range(-1, 3 * self.scans):
            stamp = START + number * 100 * MS // 3 + 3 * MS
            self.camera('/front/image/compressed', FRONT, 'front_optical', stamp, 80 * MS)
        for number in range(-1, 2 * self.scans):
            self.camera('/rear/image_raw', REAR, 'rear_optical', START + number * 50 * MS - 7 * MS, 10 * MS)

    @property
    def scan_stamps(self) -> list[int]:
        return [START + number * 100 * MS for number in range(self.scans)]

    def scan(self, stamp: int) -> Scan:
        random = np.random.default_rng(stamp % 2**32)
        return Scan(stamp, random.normal(0, 20, (50, 3)).astype(np.float32),
                    random.integers(0, 200, 50).astype(np.float32), random.random(50, np.float32) / 10,
                    frame_id='lidar')

    def camera(self, topic: str, camera: Camera, frame: str, stamp: int, late: int) -> None:
        info = topic.split('/image')[0] + '/camera_info'
        self.messages += [
            Message(info, layout.CAMERA_INFO, stamp + late, codec.camera_info(camera, stamp, frame)),
            Message(topic, layout.COMPRESSED if topic.endswith('compressed') else layout.IMAGE, stamp + late,
                    codec.image(self.pixels(camera, stamp, topic.endswith('compressed')), stamp, frame))]

    @staticmethod
    def pixels(camera: Camera, stamp: int, compressed: bool) -> EncodedPixels | RawPixels:
        """The image that a camera took at `stamp`."""
        image = np.random.default_rng(stamp % 2**32).integers(0, 255, (camera.height, camera.width, 3), np.uint8)
        return EncodedPixels(cv2.imencode('.jpg', image)[1].reshape(-1)) if compressed else RawPixels(image)

    @staticmethod
    def expected(frame: str, image_stamp: int, scan_stamp: int) -> np.ndarray:
        """2DPASS eq. 2, with odometry between its transforms interpolated as TF does."""
        return extrinsics.lidar_to_camera(extrinsics.invert(MOUNTS[frame]), odometry(image_stamp),
                                          odometry(scan_stamp), MOUNTS['lidar'])

    def without(self, *topics: str) -> list[Message]:
        """The messages that are not on `topics`."""
        return [message for message in self.messages if message.topic not in topics]


def odometry(stamp: int) -> np.ndarray:
    """T_odom_base as a listener of /tf knows it."""
    before = START + (stamp - START) // (20 * MS) * 20 * MS
    return extrinsics.interpolate(ego(before), ego(before + 20 * MS), (stamp - before) / (20 * MS))


def write_bag(path: Path, messages: list[Message], kind: str = 'mcap') -> Path:
    """Write a raw bag of a kind of KINDS (or 'sqlite-zstd', each message compressed) and return its path."""
    ordered = sorted(messages, key=lambda message: message.logged)
    if kind == 'ros1':
        return _write_ros1(path.with_suffix('.bag'), ordered)
    plugin = rosbag2.StoragePlugin.MCAP if kind == 'mcap' else rosbag2.StoragePlugin.SQLITE3
    bag = rosbag2.Writer(path, version=8, storage_plugin=plugin)
    if kind == 'sqlite-zstd':
        bag.set_compression(rosbag2.CompressionMode.MESSAGE, rosbag2.CompressionFormat.ZSTD)
    with bag as writer:
        topics = {message.topic: writer.add_connection(message.topic, message.kind, typestore=codec.typestore())
                  for message in {message.topic: message for message in ordered}.values()}
        for message in ordered:
            writer.write(topics[message.topic], message.logged, message.raw)
    return path


def _write_ros1(path: Path, messages: list[Message]) -> Path:
    """Write /tf under the type's old name, as drivers of tf did, and /tf_static under the new one."""
    store = get_typestore(Stores.ROS1_NOETIC)
    kinds = {message.topic: 'tf/msg/tfMessage' if message.topic == '/tf' else message.kind for message in messages}
    for kind in ('tf/msg/tfMessage', layout.TF_MESSAGE):
        store.register(get_types_from_msg('geometry_msgs/TransformStamped[] transforms', kind))
    with rosbag1.Writer(path) as writer:
        topics = {topic: writer.add_connection(topic, kind, typestore=store) for topic, kind in kinds.items()}
        for message in messages:
            raw = codec.typestore().cdr_to_ros1(message.raw, message.kind)
            writer.write(topics[message.topic], message.logged, raw)
    return path
