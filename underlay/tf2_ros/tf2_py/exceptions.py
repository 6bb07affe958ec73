# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What a look-up of a transform can raise."""


class TransformException(Exception):
    """Base of every exception of tf2."""


class ConnectivityException(TransformException):
    """The two frames exist, but no chain of transforms joins them."""


class LookupException(TransformException):
    """A frame does not exist, or the tree contains a loop."""


class ExtrapolationException(TransformException):
    """The requested time lies outside what the buffer holds."""


class InvalidArgumentException(TransformException):
    """A frame name is empty or begins with a slash."""


class TimeoutException(TransformException):
    """No answer came in time."""
