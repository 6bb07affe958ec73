# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""How good labels are: scores, tables, pictures."""
