# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""How a training starts, is watched, is saved, goes on and is exported."""
