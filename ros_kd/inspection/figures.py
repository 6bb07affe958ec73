# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""All figures of an inspection. Stamps and log times are ns, the rest is in the units that the names say.

A part that a source cannot tell is None or empty: a data set has no log times, a bag of pairs knows no losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from ros_kd.inspection.timing import Clock, Gap, Order, Rhythm


@dataclass(frozen=True)
class Curve:
    """Values over time, thinned for a plot. start: ns; seconds after it, as many values."""

    start: int
    seconds: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Topic:
    """A topic of a bag. size: bytes of a message, mean of a sample. rhythm: of the header stamps if there are any, else
    of the log times. logged: of the log times. offsets: header stamp minus log time, s.
    """

    name: str
    type: str
    count: int
    size: float
    rhythm: Rhythm
    logged: Rhythm
    order: Order | None = None
    clock: Clock | None = None
    offsets: Curve | None = None
    activity: Curve | None = None

    @property
    def megabytes_per_second(self) -> float:
        """Bytes by the rate of the log times, MB/s."""
        return self.size * self.logged.rate * 1e-6


@dataclass(frozen=True)
class Spread:
    """Percentiles of a sample."""

    low: float
    median: float
    high: float
    largest: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread | None:
        """Return 5, 50, 95 % and the largest magnitude of values [M]; None without any."""
        if len(values) == 0:
            return None
        low, median, high = (float(value) for value in np.percentile(values, [5, 50, 95]))
        return cls(low, median, high, float(np.abs(values).max()))


@dataclass(frozen=True)
class Histogram:
    """edges: K + 1, counts: K."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, values: np.ndarray, bins: int = 60) -> Histogram:
        """Return the histogram of values [M], over a range of 10 at least, so that noise does not look wide."""
        middle = float(np.median(values))
        counts, edges = np.histogram(values, bins, (min(values.min(), middle - 5), max(values.max(), middle + 5)))
        return cls(tuple(edges.tolist()), tuple(counts.tolist()))


@dataclass(frozen=True)
class CameraPairing:
    """Images against their scans. delta: image minus scan, ms. late: ms that images arrive after the scan that they
    belong to, minus their delta (log times); None where log times say nothing. mean_delta, best_delta: mean magnitude
    of the delta, ms, and that of the best possible pairs of these two topics; None where nothing was paired here.
    """

    camera: str
    pairs: int
    delta: Spread | None
    histogram: Histogram | None
    late: float | None = None
    mean_delta: float | None = None
    best_delta: float | None = None


@dataclass(frozen=True)
class Pairing:
    """Scans with a partner. lost: scans without a pair by reason. rhythm: of the pairs."""

    scans: int
    pairs: int
    cameras: tuple[CameraPairing, ...]
    lost: tuple[tuple[str, int], ...] = ()
    rhythm: Rhythm | None = None


@dataclass(frozen=True)
class Edge:
    """An edge of the tree of frames. rate: Hz. gaps: the longest pauses above 0.5 s and three periods. used: it lies
    between the LiDAR and a camera or the fixed frame.
    """

    parent: str
    child: str
    static: bool
    count: int = 0
    rate: float = 0.0
    largest_gap: float = 0.0
    gaps: tuple[Gap, ...] = ()
    used: bool = True


@dataclass(frozen=True)
class Chain:
    """Whether the LiDAR's frame leads to another one at the stamps of the pairs.

    found of asked stamps. missing: spans of stamps without it; reason: of the first, in words.
    """

    what: str
    source: str
    target: str
    asked: int
    found: int
    reason: str = ''
    missing: tuple[Gap, ...] = ()


@dataclass(frozen=True)
class Frames:
    """The tree of frames. text: as lines."""

    text: str
    edges: tuple[Edge, ...]
    chains: tuple[Chain, ...]


@dataclass(frozen=True)
class CameraFigures:
    """A camera. width, height: of the calibration; image_width, image_height: of its images. roi: '' for the whole
    image. calibrations: how many different ones. bright, dark: share of pixels at the ends of the range, sharpness:
    variance of the Laplacian of the grey image, all medians of sampled images. damaged: which of them cannot be read.
    problem: why it cannot be used, or ''.
    """

    name: str
    topic: str = ''
    model: str = ''
    width: int = 0
    height: int = 0
    intrinsics: tuple[float, float, float, float] | None = None
    image_width: int = 0
    image_height: int = 0
    encoding: str = ''
    roi: str = ''
    rectified: bool = False
    calibrations: int = 0
    bright: float | None = None
    dark: float | None = None
    sharpness: float | None = None
    damaged: str = ''
    problem: str = ''


@dataclass(frozen=True)
class Lidar:
    """The LiDAR, medians of sampled scans. invalid: share of points that are NaN or at the origin. reach: m, 99 % of
    the points are nearer. columns: those known beside x, y, z. seen: share of the points that a camera sees.
    """

    topic: str
    frame: str
    points: int
    invalid: float
    reach: float
    columns: tuple[str, ...]
    seen: float | None = None


@dataclass(frozen=True)
class Mounting:
    """How constant a camera's extrinsics are. shift: mm, turn: degrees, the largest difference to the median mounting
    once the vehicle's motion between scan and image is taken out; motion: mm, the largest that it was. frozen: they do
    not move though the vehicle does.
    """

    camera: str
    pairs: int
    shift: float
    turn: float
    motion: float
    frozen: bool = False


@dataclass(frozen=True)
class Fit:
    """Where edges of depth fit a camera's images best. right, down: pixels from where they fall. outlines: how many
    points of edges were looked at in how many images; trusted: they are enough, and they agree.
    """

    camera: str
    images: int
    outlines: int
    right: int
    down: int
    trusted: bool


@dataclass(frozen=True)
class Drive:
    """The vehicle's way. distance: m. speed: m/s. standing: share of the time below 0.3 m/s. jumps: poses that no
    vehicle can reach (above 80 m/s). speeds: over time.
    """

    poses: int
    distance: float
    speed: Spread
    standing: float
    jumps: int
    speeds: Curve


class Severity(str, Enum):
    """How much a finding matters."""

    FAULT = 'fault'
    WARNING = 'warning'
    NOTE = 'note'


@dataclass(frozen=True)
class Finding:
    """One sentence: the figure, what it means, what to do. sensor: the topic or camera that it is about, or ''."""

    severity: Severity
    text: str
    sensor: str = ''


class Verdict(str, Enum):
    """Whether one can train on it."""

    GOOD = 'good'
    FAULTS = 'usable with faults'
    UNUSABLE = 'not usable'


class Source(str, Enum):
    """What was inspected."""

    RAW = 'raw bag'
    PAIRS = 'bag of pairs'
    DATASET = 'data set'


@dataclass(frozen=True)
class Figures:
    """Everything that was found in a source.

    start: the first scan's stamp, logged: its log time; times in words and plots count from them. seconds: from the
    first to the last message. bytes: on disk. broken: what could not be read or drawn.
    """

    name: str
    source: Source
    seconds: float = 0.0
    start: int = 0
    logged: int = 0
    bytes: int = 0
    storage: str = ''
    warnings: tuple[str, ...] = ()
    topics: tuple[Topic, ...] = ()
    lidar: Lidar | None = None
    cameras: tuple[CameraFigures, ...] = ()
    pairing: Pairing | None = None
    frames: Frames | None = None
    mountings: tuple[Mounting, ...] = ()
    fits: tuple[Fit, ...] = ()
    drive: Drive | None = None
    broken: tuple[str, ...] = ()

    def topic(self, name: str) -> Topic | None:
        """Return the topic called `name`, if there is one."""
        return next((topic for topic in self.topics if topic.name == name), None)
