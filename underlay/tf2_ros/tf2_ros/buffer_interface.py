# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Conversion and transformation of stamped objects, on top of any source of transforms."""
from copy import deepcopy
from typing import Any, Callable, Dict, Optional, Tuple

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time
from std_msgs.msg import Header


class TypeException(Exception):
    """No transformation or conversion is registered for a type."""

    def __init__(self, errstr: str) -> None:
        super().__init__(errstr)
        self.errstr = errstr


class NotImplementedException(Exception):
    """A subclass of BufferInterface lacks a look-up."""

    def __init__(self) -> None:
        self.errstr = 'CanTransform or LookupTransform not implemented'
        super().__init__(self.errstr)


class BufferInterface:
    """What can be done with transforms, however they are looked up."""

    def __init__(self) -> None:
        self.registration = TransformRegistration()

    def transform(self, object_stamped: Any, target_frame: str, timeout: Duration = Duration(),
                  new_type: Optional[type] = None) -> Any:
        """Express a stamped object of a registered type in another frame, at the object's own stamp."""
        do_transform = self.registration.get(type(object_stamped))
        header = object_stamped.header
        result = do_transform(object_stamped, self.lookup_transform(
            target_frame, header.frame_id, header.stamp, timeout))
        return result if new_type is None else convert(result, new_type)

    def transform_full(self, object_stamped: Any, target_frame: str, target_time: Time, fixed_frame: str,
                       timeout: Duration = Duration(), new_type: Optional[type] = None) -> Any:
        """Express a stamped object in another frame at another time, through a frame that does not move."""
        do_transform = self.registration.get(type(object_stamped))
        header = object_stamped.header
        result = do_transform(object_stamped, self.lookup_transform_full(
            target_frame, target_time, header.frame_id, header.stamp, fixed_frame, timeout))
        return result if new_type is None else convert(result, new_type)

    def lookup_transform(self, *args: Any, **kwargs: Any) -> TransformStamped:
        """Left, with the other look-ups, to subclasses."""
        raise NotImplementedException()

    lookup_transform_full = can_transform = can_transform_full = lookup_transform


def Stamped(obj: Any, stamp: Time, frame_id: str) -> Any:
    """Give an object a header."""
    obj.header = Header(frame_id=frame_id, stamp=stamp)
    return obj


def _registered(entries: Dict[Any, Callable], key: Any) -> Callable:
    if key not in entries:
        raise TypeException(f'Type {key} is not loaded or supported')
    return entries[key]


class TransformRegistration:
    """Which function transforms which type; shared by the whole process."""

    _types: Dict[type, Callable] = {}

    def print_me(self) -> None:
        print(self._types)

    def add(self, key: type, callback: Callable[[Any, TransformStamped], Any]) -> None:
        self._types[key] = callback

    def get(self, key: type) -> Callable[[Any, TransformStamped], Any]:
        return _registered(self._types, key)


class ConvertRegistration:
    """Which functions convert between types; shared by the whole process."""

    _to_msg: Dict[type, Callable] = {}
    _from_msg: Dict[type, Callable] = {}
    _convert: Dict[Tuple[type, type], Callable] = {}

    def add_from_msg(self, key: type, callback: Callable[[Any], Any]) -> None:
        self._from_msg[key] = callback

    def add_to_msg(self, key: type, callback: Callable[[Any], Any]) -> None:
        self._to_msg[key] = callback

    def add_convert(self, key: Tuple[type, type], callback: Callable[[Any], Any]) -> None:
        self._convert[key] = callback

    def get_from_msg(self, key: type) -> Callable[[Any], Any]:
        return _registered(self._from_msg, key)

    def get_to_msg(self, key: type) -> Callable[[Any], Any]:
        return _registered(self._to_msg, key)

    def get_convert(self, key: Tuple[type, type]) -> Callable[[Any], Any]:
        return _registered(self._convert, key)


def convert(a: Any, b_type: type) -> Any:
    """Convert an object to a type: directly if such a function is registered, else through a message."""
    registration = ConvertRegistration()
    try:
        return registration.get_convert((type(a), b_type))(a)
    except TypeException:
        if type(a) is b_type:
            return deepcopy(a)
        return registration.get_from_msg(b_type)(registration.get_to_msg(type(a))(a))
