# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Ablations: many trainings from one YAML file, each scored, and tables and plots over their seeds.

plan.py says what a file asks for, runs.py trains and scores in a worker, runner.py hands out the work, results.py keeps
what was measured, tables.py and report.py show it.
"""
