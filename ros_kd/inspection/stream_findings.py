# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the streams of the sensors mean: their clocks, the order of their stamps, their gaps."""

from __future__ import annotations

from typing import Iterator

import numpy as np

from ros_kd.inspection.figures import Finding, Severity, Topic
from ros_kd.inspection.timing import Clock

FAR = 1.0  # s between stamp and log that no transport explains
AHEAD = 0.005  # s; a message cannot be logged before it was measured
TAI, GPS = 37, 18  # s that the time scales of PTP and GPS are ahead of UTC since 2017
_YEAR_2001 = 10 ** 18  # ns
_FREE = 0.010  # s of drift over a recording that matters


def clock_findings(sensors: list[Topic], begin: int, seconds: float) -> Iterator[Finding]:
    """Judge the clocks of the sensors' topics (and /tf) against the recorder's.

    begin: log time of the bag's beginning, ns. seconds: its length.
    """
    clocked = [topic for topic in sensors if topic.clock is not None]
    far = [topic for topic in clocked if abs(topic.clock.median) > FAR and not topic.clock.jump]
    offsets = [topic.clock.median for topic in clocked]
    if far and len(far) == len(clocked) and np.ptp(offsets) < FAR:
        yield Finding(Severity.NOTE, f'all stamps are {_offset(float(np.median(offsets)))} the log times: '
                      f'{_cause(far[0].clock)}. Harmless for pairing, which uses the stamps alone, unless a node '
                      'compares them with its own clock (a recording that was played and recorded again looks so, too)')
    else:
        for topic in far:
            yield Finding(Severity.FAULT, f'{topic.name}: stamps are {_offset(topic.clock.median)} the log times, '
                          f'those of the other sensors are not, so nothing pairs: {_cause(topic.clock)}', topic.name)
    for topic in clocked:
        yield from _jump(topic, begin)
        if topic not in far and not topic.clock.jump and topic.clock.median > AHEAD:
            yield Finding(Severity.WARNING, f'{topic.name}: stamps are {1e3 * topic.clock.median:.0f} ms ahead of the '
                          'log times, but nothing is logged before it is measured: the sensor\'s clock is fast, or its '
                          'time offset in the driver is wrong; synchronise it (PTP, NTP)')
    yield from _drift(clocked, seconds)


def _offset(seconds: float) -> str:
    return f'{_length(abs(seconds))} {"ahead of" if seconds > 0 else "behind"}'


def _length(seconds: float) -> str:
    """Return a length of time as a person says it."""
    for size, unit in ((86400 * 365.25, 'years'), (86400, 'days'), (3600, 'h')):
        if seconds > 1.99 * size:
            return f'{seconds / size:.1f} {unit}'
    return f'{seconds:.1f} s'


def _cause(clock: Clock) -> str:
    """Say what makes such an offset, and what to do."""
    seconds = clock.median
    if clock.start + int(seconds * 1e9) < _YEAR_2001 < clock.start:
        return ('the sensor counts from its power-on or another epoch, not from 1970: set its driver to PTP, NTP or '
                'ROS time (Ouster: timestamp_mode)')
    if abs(seconds + TAI) < 1.5:
        return (f'PTP without the offset of {TAI} s between TAI and UTC: the clock master serves UTC but the sensor '
                'subtracts the offset; let phc2sys take it from ptp4l (option -w), or set utc_offset 0 there')
    if abs(seconds - TAI) < 1.5:
        return (f'these are PTP (TAI) times, {TAI} s ahead of UTC: let the driver subtract the UTC offset (Ouster: '
                f'ptp_utc_tai_offset -{TAI}.0), or let the clock master serve UTC')
    if abs(seconds - GPS) < 1.5:
        return f'these are GPS times, {GPS} s ahead of UTC: let the driver subtract the leap seconds'
    if abs(seconds) > 1700 and abs(seconds) < 15 * 3600 and abs(seconds / 1800 - round(seconds / 1800)) * 1800 < 5:
        return 'whole half hours are a time zone: let the sensor stamp in UTC'
    return "the sensor's clock is not synchronised: run PTP or NTP on it, or let its driver stamp with the host's time"


def _jump(topic: Topic, begin: int) -> Iterator[Finding]:
    if topic.clock.jump:
        at = (topic.clock.jump_at - begin) / 1e9
        yield Finding(Severity.WARNING, f'{topic.name}: stamps jump by {topic.clock.jump:+.1f} s against the log times '
                      f'at {at:.1f} s: a clock was set while recording; pairs around it are lost. '
                      'Wait for time synchronisation before recording')


def _drift(clocked: list[Topic], seconds: float) -> Iterator[Finding]:
    drifting = [topic for topic in clocked if abs(topic.clock.drift) * 1e-6 * seconds > _FREE]
    if len(drifting) > 1 and len(drifting) == len(clocked) and np.ptp([t.clock.drift for t in drifting]) < 2:
        yield Finding(Severity.NOTE, f'all stamps drift by {drifting[0].clock.drift:+.1f} ppm against the log times, '
                      "together: the recorder's clock is not synchronised with the sensors'; harmless for pairing")
        return
    for topic in drifting:
        moved = topic.clock.drift * 1e-3 * seconds
        yield Finding(Severity.WARNING, f'{topic.name}: stamps drift by {topic.clock.drift:+.1f} ppm against the log '
                      f'times, {moved:+.0f} ms over this bag: its clock runs free; synchronise it (PTP, NTP)')


def order_findings(topic: Topic) -> Iterator[Finding]:
    """Judge zero, repeated and out-of-order stamps of a sensor."""
    order, count = topic.order, topic.count
    if order is None or count == 0:
        return
    if order.zero > 0.5 * count:
        yield Finding(Severity.FAULT, f'{topic.name}: {order.zero} of {count} messages have no stamp: its driver does '
                      'not fill in header.stamp, and nothing pairs without', topic.name)
    elif order.zero:
        yield Finding(Severity.WARNING, f'{topic.name}: {order.zero} of {count} messages have no stamp and are '
                      'not used')
    if order.repeated:
        severe = order.repeated > 0.01 * count
        yield Finding(Severity.WARNING if severe else Severity.NOTE, f'{topic.name}: {order.repeated} of {count} '
                      'messages repeat the stamp before: two publishers on one topic, or a driver that sends twice; '
                      'the repeated ones are not used')
    if order.backward:
        severe = order.backward > 0.01 * count
        yield Finding(Severity.WARNING if severe else Severity.NOTE, f'{topic.name}: {order.backward} of {count} '
                      'messages are older than the one before: several publishers, or a recording that was played in a '
                      'loop; those out of order are not used')


def gap_findings(topic: Topic, begin: int) -> Iterator[Finding]:
    """Judge pauses and lost messages of a sensor in a bag that begins at log time `begin`, ns."""
    rhythm = topic.rhythm
    if not rhythm.regular:
        if topic.count >= 5 and rhythm.usual_rate > 0:
            yield Finding(Severity.WARNING, f'{topic.name}: no steady rate ({rhythm.usual_rate:.1f} Hz usually, '
                          f'periods vary by {rhythm.jitter_ms:.0f} ms): stamps of arrival in bursts, or an overloaded '
                          'driver')
        return
    if rhythm.pauses:
        longest = max(rhythm.gaps, key=lambda gap: gap.seconds)
        at = (longest.start - rhythm.start + topic.logged.start - begin) / 1e9
        yield Finding(Severity.WARNING, f'{counted(rhythm.pauses, "gap")} of more than 0.5 s on {topic.name}, the '
                      f'longest {longest.seconds:.1f} s at {at:.1f} s: the sensor, '
                      'its cable or the disk stopped; no pairs there')
    unstamped = topic.order.zero if topic.order is not None else 0  # they are there, and said elsewhere
    missing = max(rhythm.missing - unstamped, 0)
    lost = missing / (missing + rhythm.count)
    if lost > 0.01 or missing and rhythm.long_gaps:
        yield Finding(Severity.WARNING if lost > 0.01 else Severity.NOTE, f'{topic.name}: {missing} messages '
                      f'({100 * lost:.1f} %) are missing, judged by its period of {1e3 / rhythm.usual_rate:.0f} ms: '
                      'lost on the way to the recorder (set the Fast DDS profile, record reliably) or by the sensor')


def jitter_findings(topic: Topic, lidar: bool) -> Iterator[Finding]:
    """Judge how steady a sensor's stamps are; a spinning LiDAR is steady to a millisecond."""
    rhythm, least = topic.rhythm, 0.1 if lidar else 0.4
    if rhythm.regular and rhythm.jitter_ms > 5 and rhythm.jitter_ms > least * 1e3 / rhythm.usual_rate:
        yield Finding(Severity.WARNING if lidar else Severity.NOTE, f'{topic.name}: periods vary by '
                      f'{rhythm.jitter_ms:.0f} ms (of {1e3 / rhythm.usual_rate:.0f} ms): stamped at arrival rather '
                      "than at measurement? Use the sensor's own time; the vehicle moves 1 cm a ms at 36 km/h")


def counted(number: int, what: str) -> str:
    """Return a number with its noun."""
    return f'{number} {what}' + ('' if number == 1 else 's')
