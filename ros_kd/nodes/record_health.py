# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What /diagnostics says of the recorder."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ros_kd.nodes.paired_stream import PairedStream
from ros_kd.nodes.recording_session import Session
from ros_kd.nodes.stream_health import stream_status


def recorder_status(hardware: str, stream: PairedStream | None, session: Session | None,
                    paused: bool) -> DiagnosticStatus:
    """Return the state of the recorder: that of its stream, with the bag and the disk; STALE while inactive."""
    name = 'record: pairs'
    if stream is None or session is None:
        return DiagnosticStatus(name=name, hardware_id=hardware, level=DiagnosticStatus.STALE, message='not recording')
    status = stream_status(name, hardware, stream)
    if paused and status.level != DiagnosticStatus.ERROR:
        status.message = f'paused; {status.message}'
    recording = session.recording
    if recording is not None:
        values = {'bag': recording.files[-1] if recording.files else recording.path,
                  'bag size, MB': f'{recording.size / 1e6:.1f}',
                  'waiting for the disk, MB': f'{recording.backlog / 1e6:.1f}',
                  'free on the disk, MB': f'{recording.free / 1e6:.0f}'}
        status.values += [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        problem = recording.error or recording.full or recording.fault
        if problem:
            status.level, status.message = DiagnosticStatus.ERROR, str(problem)
    return status
