# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The tree of frames and its look-ups, as in tf2::BufferCore. Thread safe."""
from math import isnan, sqrt
import threading
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from geometry_msgs.msg import TransformStamped
from rclpy.logging import get_logger
from rclpy.time import Time

from tf2_py.cache import seconds, StaticCache, TimeCache
from tf2_py.exceptions import (
    ConnectivityException, ExtrapolationException, InvalidArgumentException, LookupException, TimeoutException,
    TransformException)
from tf2_py.rigid import compose, IDENTITY, inverse, Quaternion, Rigid, Vector
from tf2_py.velocity import Twist, velocity

__all__ = [
    'BufferCore', 'ConnectivityException', 'ExtrapolationException', 'InvalidArgumentException', 'LookupException',
    'TimeoutException', 'TransformException']

DEFAULT_CACHE_TIME_NS = 10 * 10**9
MAX_GRAPH_DEPTH = 1000
QUATERNION_NORMALIZATION_TOLERANCE = 10e-3  # on the squared length


def _nanoseconds(time: Any, what: str = 'time') -> int:
    """Accept what tf2_py accepts: builtin_interfaces (sec, nanosec) and rclpy (nanoseconds)."""
    if hasattr(time, 'sec') and hasattr(time, 'nanosec'):
        return time.sec * 10**9 + time.nanosec
    if hasattr(time, 'nanoseconds'):
        return time.nanoseconds
    raise TypeError(f'{what} must have sec and nanosec, or nanoseconds.')


def _positive_pivot(rotation: Quaternion) -> Quaternion:
    """Of q and -q choose the one that tf2 returns after its way through a rotation matrix."""
    x, y, z, w = rotation
    pivot = w if abs(w) > 0.5 else max((x, y, z), key=abs)
    return (-x, -y, -z, -w) if pivot < 0.0 else rotation


def _stamped(target: str, source: str, stamp: int, rigid: Rigid) -> TransformStamped:
    message = TransformStamped()
    header, transform = message.header, message.transform
    header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
    header.frame_id, message.child_frame_id = target, source
    translation, rotation = transform.translation, transform.rotation
    translation.x, translation.y, translation.z = rigid[0]
    rotation.x, rotation.y, rotation.z, rotation.w = _positive_pivot(rigid[1])
    return message


def _finite(time: float) -> int:
    return 0 if time == float('inf') else int(time)


class BufferCore:
    """Stores transforms between frames over time and composes them; cache_time is 10 s unless given."""

    def __init__(self, cache_time: Any = None) -> None:
        self._cache_time = DEFAULT_CACHE_TIME_NS if cache_time is None else _nanoseconds(cache_time, 'duration')
        self._caches: Dict[str, Union[StaticCache, TimeCache]] = {}
        self._frames: Dict[str, None] = {}  # every name seen, parents included, in order of appearance
        self._authorities: Dict[str, str] = {}
        self._tree_lock = threading.RLock()
        self._logger = get_logger('tf2_buffer')

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Add a sample of a moving transform; invalid ones are logged and ignored."""
        self._insert(transform, authority, False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Set a transform that holds at every time; invalid ones are logged and ignored."""
        self._insert(transform, authority, True)

    def _insert(self, message: TransformStamped, authority: str, is_static: bool) -> None:
        stamp = _nanoseconds(message.header.stamp)
        parent, child = (name[1:] if name.startswith('/') else name
                         for name in (message.header.frame_id, message.child_frame_id))
        translation, rotation = message.transform.translation, message.transform.rotation
        t = (float(translation.x), float(translation.y), float(translation.z))
        q = (float(rotation.x), float(rotation.y), float(rotation.z), float(rotation.w))
        length2 = q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]
        problem = self._problem(parent, child, t + q, length2)
        if problem:
            self._logger.error(f'{problem} (child_frame_id "{child}", authority "{authority}")')
            return
        if length2 != 1.0:
            scale = 1.0 / sqrt(length2)
            q = (q[0] * scale, q[1] * scale, q[2] * scale, q[3] * scale)
        with self._tree_lock:
            self._frames.setdefault(child)
            self._frames.setdefault(parent)
            cache = self._caches.get(child)
            if cache is None or isinstance(cache, StaticCache) != is_static:
                cache = self._caches[child] = StaticCache() if is_static else TimeCache(self._cache_time)
            if cache.insert(stamp, parent, (t, q)):
                self._authorities[child] = authority
            else:
                self._logger.warning(f'TF_OLD_DATA ignoring data from the past for frame {child} at time '
                                     f'{seconds(stamp)} according to authority {authority}')

    @staticmethod
    def _problem(parent: str, child: str, values: Tuple[float, ...], length2: float) -> Optional[str]:
        if not child:
            return 'TF_NO_CHILD_FRAME_ID: Ignoring transform because child_frame_id not set'
        if not parent:
            return 'TF_NO_FRAME_ID: Ignoring transform because frame_id not set'
        if child == parent:
            return 'TF_SELF_TRANSFORM: Ignoring transform because frame_id and child_frame_id are the same'
        if any(map(isnan, values)):
            return f'TF_NAN_INPUT: Ignoring transform because of a nan value in {values}'
        if not abs(length2 - 1.0) < QUATERNION_NORMALIZATION_TOLERANCE:
            return f'TF_DENORMALIZED_QUATERNION: Ignoring transform because of an invalid quaternion {values[3:]}'
        return None

    def lookup_transform_core(self, target_frame: str, source_frame: str, time: Any) -> TransformStamped:
        """The transform source -> target at a time; time 0 is the newest that every edge of the path has."""
        stamp, rigid = self._lookup(target_frame, source_frame, _nanoseconds(time))
        return _stamped(target_frame, source_frame, stamp, rigid)

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
        stamp = _nanoseconds(time)
        with self._tree_lock:
            return self._can(((target_frame, source_frame, stamp),),
                             () if target_frame == source_frame else
                             (('target', target_frame), ('source', source_frame)))

    def can_transform_full_core(self, target_frame: str, target_time: Any, source_frame: str, source_time: Any,
                                fixed_frame: str) -> Tuple[bool, str]:
        """Whether a full look-up would succeed, and if not, why."""
        with self._tree_lock:
            return self._can(((target_frame, fixed_frame, _nanoseconds(target_time)),
                              (fixed_frame, source_frame, _nanoseconds(source_time))),
                             (('target', target_frame), ('source', source_frame), ('fixed', fixed_frame)))

    def _can(self, steps: Tuple[Tuple[str, str, int], ...], named: Tuple[Tuple[str, str], ...]) -> Tuple[bool, str]:
        for name, frame in named:
            rationale = self._invalid(frame) or ('' if frame in self._frames else 'frame does not exist')
            if rationale:
                return False, f'Invalid frame ID "{frame}" passed to canTransform argument {name}_frame - {rationale}'
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

    def lookupVelocityCore(self, tracking_frame: str, observation_frame: str, time: Any,
                           averaging_interval: Any) -> Twist:
        """Linear and angular velocity of one frame as seen from another, averaged over an interval."""
        return self.lookupVelocityFullCore(tracking_frame, observation_frame, observation_frame, (0.0, 0.0, 0.0),
                                           tracking_frame, time, averaging_interval)

    def lookupVelocityFullCore(self, tracking_frame: str, observation_frame: str, reference_frame: str,
                               reference_point: Vector, reference_point_frame: str, time: Any,
                               averaging_interval: Any) -> Twist:
        """As lookupVelocityCore, at a point of another frame and in the axes of a third."""
        with self._tree_lock:
            latest = self.get_latest_common_time(observation_frame, tracking_frame).nanoseconds
            return velocity(lambda *path: self._lookup(*path)[1], tracking_frame, observation_frame, reference_frame,
                            reference_point, reference_point_frame, _nanoseconds(time),
                            _nanoseconds(averaging_interval, 'duration'), latest)

    def clear(self) -> None:
        """Forget the moving transforms; the static ones stay."""
        with self._tree_lock:
            for cache in self._caches.values():
                cache.clear()

    def all_frames_as_string(self) -> str:
        """One line per frame, with its parent."""
        with self._tree_lock:
            return ''.join(f'Frame {frame} exists with parent {(cache.newest() or ("NO_PARENT",))[0]}.\n'
                           for frame, cache in self._caches.items())

    def all_frames_as_yaml(self) -> str:
        """Parent, broadcaster, rate and times of each frame."""
        with self._tree_lock:
            return ''.join(self._frame_as_yaml(frame) for frame in self._caches) if self._frames else '[]'

    def _frame_as_yaml(self, frame: str) -> str:
        cache = self._caches[frame]
        newest = cache.newest()
        if newest is None:
            return ''
        length = cache.latest - cache.oldest
        return (f"{frame}: \n  parent: '{newest[0]}'\n  broadcaster: '{self._authorities[frame]}'\n"
                f'  rate: {len(cache) * 1e9 / max(length, 10**5):.3f}\n'
                f'  most_recent_transform: {seconds(cache.latest)}\n  oldest_transform: {seconds(cache.oldest)}\n'
                f'  buffer_length: {length / 1e9:.3f}\n')

    def _frameExists(self, frame_id: str) -> bool:
        with self._tree_lock:
            return frame_id in self._frames

    def _getFrameStrings(self) -> List[str]:
        with self._tree_lock:
            return list(self._frames)

    @staticmethod
    def _invalid(frame: str) -> str:
        if not frame:
            return 'in tf2 frame_ids cannot be empty'
        return "in tf2 frame_ids cannot start with a '/'" if frame.startswith('/') else ''

    def _require(self, where: str, frame: str) -> None:
        rationale = self._invalid(frame)
        if rationale:
            raise InvalidArgumentException(f'Invalid argument "{frame}" passed to {where} - {rationale}')
        if frame not in self._frames:
            raise LookupException(f'"{frame}" passed to {where} does not exist. ')

    def _lookup(self, target: str, source: str, stamp: int) -> Tuple[int, Rigid]:
        """The transform source -> target and the time it holds at."""
        with self._tree_lock:
            if target == source:
                if stamp == 0 and target in self._caches:
                    stamp = self._caches[target].latest
                return stamp, IDENTITY
            self._require('lookupTransform argument target_frame', target)
            self._require('lookupTransform argument source_frame', source)
            if stamp == 0:
                stamp = self._latest_common_time(target, source)
            try:
                return stamp, self._walk(target, source, stamp)
            except ExtrapolationException as error:
                raise ExtrapolationException(
                    f'{error}, when looking up transform from frame [{source}] to frame [{target}]') from None

    def _walk(self, target: str, source: str, stamp: int) -> Rigid:
        """Climb from the source as far as the data reach, then from the target until the two paths meet."""
        gap: Optional[ExtrapolationException] = None
        frame, to_frame = source, IDENTITY
        from_source = {source: IDENTITY}
        for _ in self._climbing():
            if frame == target:
                return to_frame
            try:
                step = self._step(frame, stamp)
            except ExtrapolationException as error:
                gap, step = error, None  # the target may still lie below
            if step is None:
                break
            frame, to_frame = step[0], compose(step[1], to_frame)
            from_source[frame] = to_frame
        frame, to_frame = target, IDENTITY
        for _ in self._climbing():
            if frame in from_source:
                return compose(inverse(to_frame), from_source[frame])
            step = self._step(frame, stamp)
            if step is None:
                break
            frame, to_frame = step[0], compose(step[1], to_frame)
        if gap is not None:
            raise gap
        raise self._unconnected(target, source)

    def _step(self, frame: str, stamp: int) -> Optional[Tuple[str, Rigid]]:
        cache = self._caches.get(frame)
        return None if cache is None else cache.at(stamp)

    def _climbing(self) -> Iterator[int]:
        """As many steps as a tree may be deep; more of them mean a loop."""
        yield from range(MAX_GRAPH_DEPTH + 1)
        raise LookupException(
            f'The tf tree is invalid because it contains a loop.\n{self.all_frames_as_string()}\n')

    def _unconnected(self, target: str, source: str) -> ConnectivityException:
        return ConnectivityException(
            f"Could not find a connection between '{target}' and '{source}' because they are not part of the same "
            'tree.Tf has two or more unconnected trees.')

    def _ancestors(self, frame: str) -> Iterator[Tuple[float, str]]:
        """Each ancestor, and the newest time that every edge up to it has (infinite if all are static)."""
        common = float('inf')
        for _ in self._climbing():
            cache = self._caches.get(frame)
            newest = cache.newest() if cache is not None else None
            if newest is None:
                return
            frame = newest[0]
            common = min(common, cache.latest or common)
            yield common, frame

    def _latest_common_time(self, target: str, source: str) -> int:
        if target == source:
            return self._caches[target].latest if target in self._caches else 0
        above_source: Dict[str, float] = {}
        for common, ancestor in self._ancestors(source):
            above_source[ancestor] = common
            if ancestor == target:
                return _finite(common)
        for common, ancestor in self._ancestors(target):
            if ancestor == source:
                return _finite(common)
            if ancestor in above_source:
                return _finite(min(common, above_source[ancestor]))
        raise self._unconnected(target, source)
