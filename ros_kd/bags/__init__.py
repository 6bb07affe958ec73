# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of paired frames: a standard rosbag2 folder of mcap files with standard message types only.

`layout.py` says what is in a bag, `writer.py` and `reader.py` write and read it, `recover.py` makes whole what a crash
left; `store.py` opens any bag, those of other recorders too. Nothing here needs a ROS installation.
"""


class BagError(ValueError):
    """A bag that cannot be read or written; the text says why and what to do."""


class EmptyBagError(BagError):
    """A bag that was begun, but holds nothing whole: recording ended before its first message was on the disk."""
