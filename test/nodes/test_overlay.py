# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The live overlay shows points over images and colours over points, and says in /diagnostics how they fit."""

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')
import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from drive import NodeProcess  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from sensor_msgs.msg import Image, PointCloud2  # noqa: E402
from std_msgs.msg import Float64  # noqa: E402

from ros_kd import clouds  # noqa: E402


class Viewer:
    """Looks at what the overlay publishes."""

    def __init__(self, domain, cameras):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('viewer', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard = {}
        for kind, topic in ((PointCloud2, 'overlay/points'), (DiagnosticArray, '/diagnostics'), *(
                pair for name in cameras for pair in ((Image, f'overlay/{name}/image'),
                                                      (Float64, f'overlay/delta_t/{name}')))):
            self.heard[topic] = []
            self.node.create_subscription(kind, topic, self.heard[topic].append, 10)

    def until(self, process, condition):
        for _ in range(1200):
            if condition():
                return
            assert process.process.poll() is None, process.text()
            self.executor.spin_once(timeout_sec=0.05)
        pytest.fail(process.text())

    def values(self, name):
        """The newest values of a diagnostic."""
        found = [status for array in self.heard['/diagnostics'] for status in array.status if status.name == name]
        return (found[-1], {pair.key: pair.value for pair in found[-1].values}) if found else (None, {})

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.mark.parametrize('deskew', [False, True])
def test_a_real_drive_is_seen_in_the_colours_of_its_camera(real_data, deskew):
    drive = real_data / 'kitti_raw/2011_09_26/2011_09_26_drive_0013_sync'
    viewer = Viewer(74, ['camera_2'])
    with NodeProcess('overlay', 74, image_width=640, deskew=deskew) as overlay, \
            NodeProcess('replay', 74, dataset=f'kitti_raw:{drive}?deskew={"no" if deskew else "yes"}', loop=True,
                        wait_for_subscribers=30):
        viewer.until(overlay, lambda: len(viewer.heard['overlay/points']) > 2 and viewer.heard['overlay/camera_2/image']
                     and viewer.values('overlay: camera_2')[1].get('edge points', '0') > '3000'
                     and int(viewer.values('overlay: camera_2')[1]['images']) >= 8)
        status, text = overlay.interrupt()
    cloud, picture = viewer.heard['overlay/points'][-1], viewer.heard['overlay/camera_2/image'][-1]
    points = clouds.records(cloud)
    colors = points['rgb'].copy().view(np.uint32)
    unseen = colors == 70 << 16 | 70 << 8 | 70
    assert {'x', 'y', 'z', 'intensity', 'rgb'} <= set(points.dtype.names) and len(points) > 100_000
    assert 0.05 < (~unseen).mean() < 0.3 and (points['x'][~unseen] > 0).all()
    assert (picture.width, picture.encoding) == (640, 'rgb8') and len(picture.data) == picture.height * picture.step
    assert all(abs(delay.data) < 0.1 for delay in viewer.heard['overlay/delta_t/camera_2'])
    shift = int(viewer.values('overlay: camera_2')[1]['best shift, pixels to the right'])
    viewer.close()
    assert status == 0, text
    # Before the first scan there is no odometry, so half of that sweep is not covered.
    assert int(viewer.values('overlay: pairs')[1].get('scans not deskewed', 0)) <= (1 if deskew else 0)
    assert abs(shift) <= 4
