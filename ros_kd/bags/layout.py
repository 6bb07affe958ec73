# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What a bag of paired frames holds; the writer and the reader both follow this file.

All messages of a pair are logged at one time, the scan's stamp, in this order:

1. for each camera that has an image in the pair
   - the image as the camera published it: sensor_msgs/CompressedImage or sensor_msgs/Image,
   - `extrinsics`, geometry_msgs/TransformStamped: header.stamp = the image's stamp, header.frame_id = the camera's
     frame, child_frame_id = the LiDAR's frame. It maps points of the LiDAR at the scan's stamp to the camera at the
     image's stamp, the vehicle's motion between the two included,
   - `delta_t`, std_msgs/Float64: the image's stamp minus the scan's, seconds (for plots; older bags lack it),
   - `labels`, sensor_msgs/Image mono8 (optional): the class id of each pixel, 255 = unknown;
2. `pose`, geometry_msgs/PoseStamped (optional): the LiDAR in the fixed frame at the scan's stamp;
3. the scan, sensor_msgs/PointCloud2. It is last, so a pair is complete exactly if its cloud is there.

A pair is one mcap chunk, with the latched messages before it, so that it is there whole or not at all.

Latched topics hold from their log time on. All that are known are written before the first pair of each file, and again
before the first pair that they change for: /tf_static, `camera_info` of each camera, `label_info` (std_msgs/String: the
taxonomy of the cloud's field gt_label, or of a camera's labels) and /rig (std_msgs/String: `Rig` as JSON), which names
all topics.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass

from ros_kd.bags import BagError

VERSION = 1
RIG, TF_STATIC = '/rig', '/tf_static'
CONTENT = 12  # bytes of a message with a header up to the end of the stamp: CDR encapsulation comes before

CLOUD = 'sensor_msgs/msg/PointCloud2'
IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
TRANSFORM = 'geometry_msgs/msg/TransformStamped'
POSE = 'geometry_msgs/msg/PoseStamped'
STRING = 'std_msgs/msg/String'
FLOAT = 'std_msgs/msg/Float64'
TF_MESSAGE = 'tf2_msgs/msg/TFMessage'


@dataclass(frozen=True)
class CameraTopics:
    """The topics of one camera in the bag, and the frame of its images.

    rectified: the images are, as image_proc makes them: their projection is P of camera_info, and the extrinsics, which
    lead to the camera as it is mounted, have to be turned by R.
    """

    name: str
    frame_id: str
    compressed: bool
    image: str
    camera_info: str
    extrinsics: str
    labels: str
    label_info: str
    rectified: bool = False

    @classmethod
    def under(cls, name: str, frame_id: str, compressed: bool, image: str = '', camera_info: str = '',
              labels: str = '', label_info: str = '', rectified: bool = False) -> CameraTopics:
        """Return the default topics, all beside `camera_info`; a topic that is given replaces its default."""
        camera_info = camera_info or f'/{name}/camera_info'
        beside = camera_info.rsplit('/', 1)[0]
        return cls(name, frame_id, compressed, image or f'{beside}/image' + ('/compressed' if compressed else ''),
                   camera_info, f'{beside}/extrinsics', labels or f'{beside}/labels',
                   label_info or f'{beside}/label_info', rectified)

    @property
    def delta_t(self) -> str:
        """The topic beside the extrinsics that says how much later than the scan the image is."""
        return self.extrinsics.rsplit('/', 1)[0] + '/delta_t'


@dataclass(frozen=True)
class Rig:
    """The sensors of a bag and their topics.

    intensity_scale: the value that full intensity has in the clouds, None if not known (the reader estimates it).
    fixed_frame: the frame that poses and ego-motion refer to, '' if there is none.
    """

    cameras: tuple[CameraTopics, ...]
    points: str = '/points'
    lidar_frame: str = 'lidar'
    fixed_frame: str = ''
    intensity_scale: float | None = None
    pose: str = '/pose'
    label_info: str = '/label_info'
    version: int = VERSION

    def types(self) -> dict[str, str]:
        """Return the message type of each topic of the layout."""
        types = {RIG: STRING, TF_STATIC: TF_MESSAGE, self.points: CLOUD, self.pose: POSE, self.label_info: STRING}
        for camera in self.cameras:
            types |= {camera.image: COMPRESSED if camera.compressed else IMAGE, camera.camera_info: CAMERA_INFO,
                      camera.extrinsics: TRANSFORM, camera.delta_t: FLOAT, camera.labels: IMAGE,
                      camera.label_info: STRING}
        return types

    def latched(self) -> set[str]:
        """Return the topics that hold from their log time on."""
        return {RIG, TF_STATIC, self.label_info} | {
            topic for camera in self.cameras for topic in (camera.camera_info, camera.label_info)}

    def camera(self, name: str) -> CameraTopics:
        """Return the topics of the camera called `name`. Raises BagError naming those that exist."""
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise BagError(f'no camera "{name}" in the bag; it has {[camera.name for camera in self.cameras]}')

    def to_json(self) -> str:
        """Return the text of the /rig message."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Rig:
        """Read `to_json`'s text; keys that a later version adds are ignored. Raises BagError for anything else."""
        try:
            data = json.loads(text)
            if int(data['version']) > VERSION:
                raise BagError(f'the bag has layout version {data["version"]}, but this ros_kd reads up to {VERSION}: '
                               'update ros_kd')
            cameras = tuple(CameraTopics(**_known(CameraTopics, camera)) for camera in data['cameras'])
            return cls(**{**_known(cls, data), 'cameras': cameras})
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, BagError):
                raise
            raise BagError(f'{RIG} is not the JSON of a rig ({error}): {text[:80]!r}') from None


def _known(cls: type, data: dict) -> dict:
    return {name: data[name] for name in cls.__dataclass_fields__ if name in data}


def header_stamp(raw: bytes | memoryview) -> int:
    """Return the stamp (ns) of a serialised message that begins with a std_msgs/Header.

    Raises BagError for bytes that are no little-endian CDR.
    """
    if len(raw) < 16 or raw[1] != 1:
        raise BagError(f'a message of {len(raw)} bytes with encapsulation {bytes(raw[:4]).hex()}, expected a header in '
                       'little-endian CDR')
    seconds, nanoseconds = struct.unpack_from('<iI', raw, 4)
    return seconds * 1_000_000_000 + nanoseconds


def header_frame(raw: bytes | memoryview) -> str:
    """Return the frame_id of a serialised message that begins with a std_msgs/Header. Raises BagError as above."""
    header_stamp(raw)
    (size,) = struct.unpack_from('<I', raw, 12)
    if size == 0 or 16 + size > len(raw):
        raise BagError(f'a frame_id of {size} bytes in a message of {len(raw)} bytes: the message is damaged')
    return bytes(raw[16:16 + size - 1]).decode('utf-8', 'replace')
