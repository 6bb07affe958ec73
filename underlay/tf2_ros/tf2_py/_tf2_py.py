# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The tree of frames and its look-ups, as in tf2::BufferCore. Thread safe."""
from math import isnan, sqrt
import threading
from typing import Any, Dict, Iterator, List, Optional, Tuple, Type

from geometry_msgs.msg import TransformStamped
from rclpy.logging import get_logger
from rclpy.time import Time

from tf2_py.cache import StaticCache, TimeCache
from tf2_py.exceptions import (
    ConnectivityException, ExtrapolationException, InvalidArgumentException, LookupException, TransformException)
from tf2_py.rigid import compose, IDENTITY, inverse, Rigid, Vector

DEFAULT_CACHE_TIME_NS = 10 * 10**9
MAX_GRAPH_DEPTH = 1000
QUATERNION_NORMALIZATION_TOLERANCE = 10e-3  # on the squared length
NEVER = float('inf')
LOOP = 'The tf tree is invalid because it contains a loop.'


def _nanoseconds(time: Any, what: str = 'time') -> int:
    """Accept what tf2_py accepts: builtin_interfaces (sec, nanosec) and rclpy (nanoseconds)."""
    if hasattr(time, 'sec') and hasattr(time, 'nanosec'):
        return time.sec * 10**9 + time.nanosec
    if hasattr(time, 'nanoseconds'):
        return time.nanoseconds
    raise TypeError(f'{what} must have sec and nanosec, or nanoseconds.')


def _stamped(target: str, source: str, stamp: int, rigid: Rigid) -> TransformStamped:
    message = TransformStamped(child_frame_id=source)
    message.header.frame_id = target
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    # Of q and -q choose the one that tf2 returns after its way through a rotation matrix.
    w = rigid[1][3]
    sign = 1.0 if (w if abs(w) > 0.5 else max(rigid[1][:3], key=abs)) >= 0.0 else -1.0
    translation, rotation = message.transform.translation, message.transform.rotation
    translation.x, translation.y, translation.z = rigid[0]
    rotation.x, rotation.y, rotation.z, rotation.w = (sign * part for part in rigid[1])
    return message


class BufferCore:
    """Stores transforms between frames over time and composes them; cache_time is 10 s unless given."""

    def __init__(self, cache_time: Any = None) -> None:
        self._cache_time = DEFAULT_CACHE_TIME_NS if cache_time is None else _nanoseconds(cache_time, 'duration')
        self._caches: Dict[str, TimeCache] = {}
        self._frames: Dict[str, None] = {}  # every name seen, parents included, in order of appearance
        self._tree_lock = threading.RLock()
        self._logger = get_logger('tf2_buffer')

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add a sample of a moving transform; invalid ones are logged and ignored."""
        self._insert(transform, authority, TimeCache)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Set a transform that holds at every time; invalid ones are logged and ignored."""
        self._insert(transform, authority, StaticCache)

    def _insert(self, message: TransformStamped, authority: str, cache_type: Type[TimeCache]) -> None:
        parent, child = (name[1:] if name.startswith('/') else name
                         for name in (message.header.frame_id, message.child_frame_id))
        t, q = message.transform.translation, message.transform.rotation
        length2 = q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w
        problem = self._problem(parent, child, (t.x, t.y, t.z), length2)
        if problem:
            self._logger.error(f'{problem} (child_frame_id "{child}", authority "{authority}")')
            return
        stamp, scale = _nanoseconds(message.header.stamp), 1.0 / sqrt(length2)
        rigid = (t.x, t.y, t.z), (scale * q.x, scale * q.y, scale * q.z, scale * q.w)
        with self._tree_lock:
            self._frames.update({child: None, parent: None})
            if type(self._caches.get(child)) is not cache_type:
                self._caches[child] = cache_type(self._cache_time)
            if not self._caches[child].insert(stamp, parent, rigid):
                self._logger.warning(f'TF_OLD_DATA ignoring data from the past for frame {child} at time '
                                     f'{stamp / 1e9:.6f} according to authority {authority}')

    @staticmethod
    def _problem(parent: str, child: str, translation: Vector, length2: float) -> str:
        if not child:
            return 'TF_NO_CHILD_FRAME_ID: Ignoring transform because child_frame_id not set'
        if not parent:
            return 'TF_NO_FRAME_ID: Ignoring transform because frame_id not set'
        if child == parent:
            return 'TF_SELF_TRANSFORM: Ignoring transform because frame_id and child_frame_id are the same'
        if isnan(sum(translation) + length2):
            return 'TF_NAN_INPUT: Ignoring transform because of a nan value'
        if abs(length2 - 1.0) >= QUATERNION_NORMALIZATION_TOLERANCE:
            return f'TF_DENORMALIZED_QUATERNION: Ignoring transform because of a quaternion of length² {length2}'
        return ''

    def lookup_transform_core(self, target_frame: str, source_frame: str, time: Any) -> TransformStamped:
        """The transform source -> target at a time; time 0 is the newest that every edge of the path has."""
        return _stamped(target_frame, source_frame, *self._lookup(target_frame, source_frame, _nanoseconds(time)))

    def lookup_transform_full_core(self, target_frame: str, target_time: Any, source_frame: str, source_time: Any,
                                   fixed_frame: str) -> TransformStamped:
        """From source at source_time to target at target_time, through a frame that does not move between."""
        with self._tree_lock:
            for name, frame in (('target', target_frame), ('source', source_frame), ('fixed', fixed_frame)):
                self._require(f'lookupTransform argument {name}_frame', frame)
            _, to_fixed = self._lookup(fixed_frame, source_frame, _nanoseconds(source_time))
            stamp, to_target = self._lookup(target_frame, fixed_frame, _nanoseconds(target_time))
        return _stamped(target_frame, source_frame, stamp, compose(to_target, to_fixed))

    def can_transform_core(self, target_frame: str, source_frame: str, time: Any) -> Tuple[bool, str]:
        """Whether a look-up would succeed, and if not, why."""
        return self._can({} if target_frame == source_frame else {'target': target_frame, 'source': source_frame},
                         (target_frame, source_frame, _nanoseconds(time)))

    def can_transform_full_core(self, target_frame: str, target_time: Any, source_frame: str, source_time: Any,
                                fixed_frame: str) -> Tuple[bool, str]:
        """Whether a full look-up would succeed, and if not, why."""
        return self._can({'target': target_frame, 'source': source_frame, 'fixed': fixed_frame},
                         (target_frame, fixed_frame, _nanoseconds(target_time)),
                         (fixed_frame, source_frame, _nanoseconds(source_time)))

    def _can(self, frames: Dict[str, str], *steps: Tuple[str, str, int]) -> Tuple[bool, str]:
        with self._tree_lock:
            for name, frame in frames.items():
                problem = self._invalid(frame) or ('' if frame in self._frames else 'frame does not exist')
                if problem:
                    return False, f'Invalid frame ID "{frame}" passed to canTransform argument {name}_frame - {problem}'
            try:
                for step in steps:
                    self._lookup(*step)
            except TransformException as error:
                return False, str(error)
            return True, ''

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """The newest time at which the transform between two frames is known."""
        with self._tree_lock:
            self._require('get_latest_common_time', target_frame)
            self._require('get_latest_common_time', source_frame)
            return Time(nanoseconds=self._latest_common_time(target_frame, source_frame))

    def clear(self) -> None:
        """Forget the moving transforms; the static ones stay."""
        with self._tree_lock:
            for cache in self._caches.values():
                cache.clear()

    def _getFrameStrings(self) -> List[str]:
        with self._tree_lock:
            return list(self._frames)

    @staticmethod
    def _invalid(frame: str) -> str:
        if not frame:
            return 'in tf2 frame_ids cannot be empty'
        return "in tf2 frame_ids cannot start with a '/'" if frame.startswith('/') else ''

    def _require(self, where: str, frame: str) -> None:
        if self._invalid(frame):
            raise InvalidArgumentException(f'Invalid argument "{frame}" passed to {where} - {self._invalid(frame)}')
        if frame not in self._frames:
            raise LookupException(f'"{frame}" passed to {where} does not exist. ')

    def _lookup(self, target: str, source: str, stamp: int) -> Tuple[int, Rigid]:
        """The time that a transform source -> target holds at, and the transform."""
        with self._tree_lock:
            if target == source:
                return stamp or self._latest_common_time(target, source), IDENTITY
            self._require('lookupTransform argument target_frame', target)
            self._require('lookupTransform argument source_frame', source)
            stamp = stamp or self._latest_common_time(target, source)
            try:
                return stamp, self._walk(target, source, stamp)
            except ExtrapolationException as error:
                raise ExtrapolationException(
                    f'{error}, when looking up transform from frame [{source}] to frame [{target}]') from None

    def _walk(self, target: str, source: str, stamp: int) -> Rigid:
        """Climb from the source as far as the data reach, then from the target until the two paths meet."""
        from_source: Dict[str, Rigid] = {}
        gap: Optional[ExtrapolationException] = None
        try:
            for frame, rigid in self._climb(source, stamp):
                from_source[frame] = rigid
                if frame == target:
                    return rigid
        except ExtrapolationException as error:
            gap = error  # the target may still lie below
        for frame, rigid in self._climb(target, stamp):
            if frame in from_source:
                return compose(inverse(rigid), from_source[frame])
        raise gap or self._unconnected(target, source)

    def _climb(self, frame: str, stamp: int) -> Iterator[Tuple[str, Rigid]]:
        """The frame and each of its ancestors, with the transform from the frame."""
        rigid = IDENTITY
        for _ in range(MAX_GRAPH_DEPTH):
            yield frame, rigid
            cache = self._caches.get(frame)
            if cache is None:
                return
            frame, step = cache.at(stamp)
            rigid = compose(step, rigid)
        raise LookupException(LOOP)

    def _latest_common_time(self, target: str, source: str) -> int:
        """The newest time that every edge between the frames has; 0 if all are static."""
        if target == source:
            return self._caches[target].latest if target in self._caches else 0
        above_source: Dict[str, float] = {}
        for frame, common in self._climb_newest(source):
            above_source[frame] = common
            if frame == target:
                break
        for frame, common in self._climb_newest(target):
            if frame in above_source:
                newest = min(common, above_source[frame])
                return 0 if newest == NEVER else int(newest)
        raise self._unconnected(target, source)

    def _climb_newest(self, frame: str) -> Iterator[Tuple[str, float]]:
        """The frame and each of its newest ancestors, with the newest time that every edge up to it has."""
        common = NEVER
        for _ in range(MAX_GRAPH_DEPTH):
            yield frame, common
            cache = self._caches.get(frame)
            if cache is None or cache.newest() is None:
                return
            common, frame = min(common, cache.latest or NEVER), cache.newest()[0]
        raise LookupException(LOOP)

    @staticmethod
    def _unconnected(target: str, source: str) -> ConnectivityException:
        return ConnectivityException(
            f"Could not find a connection between '{target}' and '{source}' because they are not part of the same "
            'tree.Tf has two or more unconnected trees.')
