# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Someone who looks at what the node `view` serves: Rerun's own client, which keeps what it gets."""

import os
import signal
import socket
import subprocess
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rclpy
import rerun_cli
from drive import NodeProcess
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rerun.chunk import RrdReader

from ros_kd.nodes import messages
from ros_kd.nodes.qos import LATCHED
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import String

CLIENT = str(Path(rerun_cli.__file__).with_name('rerun'))


def free_port():
    """Return a port that is free, and the next one too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(('127.0.0.1', 0))
            port = first.getsockname()[1]
            try:
                second.bind(('127.0.0.1', port + 1))
                return port
            except OSError:
                continue


class Street:
    """Publishes what a segmenter does, and images; looks at what is made of it."""

    def __init__(self, domain, taxonomy):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node('street', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.points = self.node.create_publisher(PointCloud2, 'segment/points', QoSProfile(depth=1))
        self.info = self.node.create_publisher(String, 'segment/label_info', LATCHED)
        self.info.publish(messages.label_info_message(taxonomy))

    def until(self, condition, process, each=lambda: None):
        """Wait for a condition, doing `each` ten times a second."""
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline and process.process.poll() is None, process.text()
            each()
            self.executor.spin_once(timeout_sec=0.1)

    def seen(self, view, port, folder, publish, *entities, component=None):
        """Publish again and again until an onlooker has seen all of the entities; return what each held last.

        component: that each of the entities must have had.
        """
        deadline = time.monotonic() + 60
        while True:
            with onlooker(port, folder) as file:
                self.until(self.points.get_subscription_count, view)
                end = time.monotonic() + 1.5
                self.until(lambda: time.monotonic() > end, view, publish)
            logged = read(file)
            if all(entity in logged and (component is None or component in logged[entity]) for entity in entities):
                return logged
            assert time.monotonic() < deadline, (sorted(logged), view.text())

    def close(self):
        self.node.destroy_node()
        self.context.try_shutdown()


@contextmanager
def onlooker(port, folder):
    """A client that is connected meanwhile; yields the file that holds afterwards what it got."""
    file = folder / 'seen.rrd'
    file.unlink(missing_ok=True)
    client = subprocess.Popen([CLIENT, '--connect', f'rerun+http://127.0.0.1:{port + 1}/proxy', '--save', str(file),
                               '--bind', '127.0.0.1', '--port', 'auto'], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield file
    finally:
        client.send_signal(signal.SIGINT)
        client.wait(20)


def read(file):
    """Return by entity the last value of each component, as lists or arrays."""
    logged = {}
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # a stream that was cut off has no index at its end
        chunks = list(RrdReader(file).stream())
    for chunk in chunks:
        batch = chunk.to_record_batch()
        for name in filter(lambda name: ':' in name, batch.schema.names):
            logged.setdefault(chunk.entity_path.strip('/'), {})[name] = batch.column(name)[-1].as_py()
    return logged


def listening(process):
    """Return the addresses on which a process's children accept connections."""
    import psutil
    children = psutil.Process(process.pid).children()
    return {end.laddr for child in children for end in child.net_connections('tcp') if end.status == psutil.CONN_LISTEN}


@contextmanager
def view(domain, port, **parameters):
    """The node, which must end in order."""
    with NodeProcess('view', domain, port=port, **parameters) as process:
        process.until('open this page in a browser')
        yield process
        status, text = process.interrupt()
        assert status == 0 and 'Traceback' not in text, text


def colors_of(component):
    """Return 0xRRGGBBAA uint32 [N] as uint8 [N, 4]."""
    return np.asarray(component, np.uint32).astype('>u4').view(np.uint8).reshape(-1, 4)


def alive(pid):
    """Tell whether a process lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
