# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras are found in the topics of the usual drivers, and nothing else is taken for one."""

import pytest

from ros_kd.bags.discovery import CameraInputs, find_camera, find_cameras

INFO, RAW, JPEG = (f'sensor_msgs/msg/{kind}' for kind in ('CameraInfo', 'Image', 'CompressedImage'))


def graph(**topics):
    """Topics by kind, separated by blanks, as {topic: [type]}."""
    return {topic: [kind] for kind, names in ((INFO, 'info'), (RAW, 'raw'), (JPEG, 'jpeg'))
            for topic in topics.get(names, '').split()}


def test_compressed_images_come_before_raw_and_the_usual_topic_before_others():
    topics = graph(info='/front/camera_info', raw='/front/image /front/labels', jpeg='/front/image/compressed')
    assert find_camera(topics, 'front') == CameraInputs(
        'front', '/front/image/compressed', True, '/front/camera_info', '/front/labels', '/front/label_info')
    assert find_camera(graph(info='/front/camera_info', raw='/front/a /front/image'), 'front').image == '/front/image'
    assert find_camera(graph(info='/front/camera_info', raw='/front/image_raw'), 'front').labels == ''


def test_images_as_the_sensor_sees_them_come_before_rectified_ones():
    both = graph(info='/front/camera_info', raw='/front/image_raw /front/image_rect_color',
                 jpeg='/front/image_rect_color/compressed')
    assert (find_camera(both, 'front').image, find_camera(both, 'front').rectified) == ('/front/image_raw', False)
    only = graph(info='/CAM_FRONT/camera_info', jpeg='/CAM_FRONT/image_rect_compressed')
    assert find_camera(only, 'CAM_FRONT').rectified
    assert find_camera(graph(info='/f/camera_info', jpeg='/f/image_rect/compressed'), 'f').rectified


def test_names_of_several_levels_do_not_take_each_others_images():
    topics = graph(info='/camera/camera_info /camera/front/camera_info', raw='/camera/front/image_raw /camera/image')
    assert [(camera.name, camera.image) for camera in find_cameras(topics)] == [
        ('camera', '/camera/image'), ('camera/front', '/camera/front/image_raw')]
    assert find_cameras(graph(info='/camera/camera_info /camera/front/camera_info',
                              raw='/camera/front/image_raw'))[0].name == 'camera/front'


@pytest.mark.parametrize('raw', ['/image_raw', '/image_raw /front/picture'])
def test_a_driver_without_a_namespace_is_a_camera_too(raw):
    topics = graph(info='/camera_info', raw=raw, jpeg='/image_raw/compressed')
    assert [(camera.name, camera.image) for camera in find_cameras(topics)] == [('camera', '/image_raw/compressed')]
    assert find_camera(topics, 'camera').camera_info == '/camera_info'


def test_cameras_below_a_namespace_are_named_within_it():
    topics = graph(info='/car/front/camera_info /other/rear/camera_info', raw='/car/front/image /other/rear/image')
    assert [camera.name for camera in find_cameras(topics, '/car')] == ['front']
    assert [camera.name for camera in find_cameras(topics, '/')] == ['car/front', 'other/rear']
    assert find_camera(topics, 'front', '/car/'.__add__).image == '/car/front/image'


def test_topics_that_a_node_remaps_are_followed():
    topics = graph(info='/usb/camera_info', raw='/usb/image_raw')
    remapped = {'front/camera_info': '/usb/camera_info', 'front/image': '/usb/image_raw'}
    assert find_camera(topics, 'front', lambda name: remapped.get(name, '/' + name)).image == '/usb/image_raw'


def test_depth_labels_and_cameras_without_images_or_calibration_are_no_cameras():
    topics = graph(info='/color/camera_info /depth/camera_info /blind/camera_info',
                   raw='/color/labels /color/image_raw /depth/image_rect_raw /naked/image',
                   jpeg='/color/image_raw/compressedDepth /color/labels/compressed')
    assert [(camera.name, camera.image) for camera in find_cameras(topics)] == [('color', '/color/image_raw')]
    assert find_camera(topics, 'depth').rectified  # one that is asked for by name is found
    assert find_camera(topics, 'naked') is None and find_camera(topics, 'blind') is None
