# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What trainings are given: frames, what is known of their points, batches."""
