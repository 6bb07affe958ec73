# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What is minimised, free of batches and students: tensors in, a scalar out; 0 with a gradient without points."""
