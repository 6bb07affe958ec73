# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Students by what they are for."""

import pytest

from ros_kd.students import build_student
from ros_kd.students.presets import PRESETS, StudentSpec, student_spec


def test_presets_are_named_and_a_description_stands_for_itself():
    for name, preset in PRESETS.items():
        assert student_spec(name) == preset
        build_student(preset.architecture, len(preset.inputs.columns), 12, preset.width)
    described = StudentSpec('spvcnn', 0.75)
    assert student_spec(described) is described


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r'unknown preset "tiny".*\[\'fast\', \'accurate\'\]'):
        student_spec('tiny')
