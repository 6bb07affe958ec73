# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Paths of installed ROS packages."""

import os
import shutil

from ament_index_python.packages import get_package_prefix, get_package_share_directory
from launch.base import describe_substitutions, normalize_to_list_of_substitutions, perform_substitutions
from launch.base import Substitution, Text
from launch.substitutions import SubstitutionFailure


class FindPackagePrefix(Substitution):
    """The install prefix of a package; PackageNotFoundError where it is not installed."""

    find = staticmethod(get_package_prefix)

    def __init__(self, package: Text) -> None:
        self.package = normalize_to_list_of_substitutions(package)

    def describe(self) -> str:
        return f'{type(self).__name__}(pkg={describe_substitutions(self.package)})'

    def perform(self, context) -> str:
        return self.find(perform_substitutions(context, self.package))


class FindPackageShare(FindPackagePrefix):
    """The share directory of a package; PackageNotFoundError where it is not installed."""

    find = staticmethod(get_package_share_directory)


class ExecutableInPackage(FindPackagePrefix):
    """The path of an executable of a package, in ``<prefix>/lib/<package>``."""

    def __init__(self, executable: Text, package: Text) -> None:
        super().__init__(package)
        self.executable = normalize_to_list_of_substitutions(executable)

    def perform(self, context) -> str:
        executable = perform_substitutions(context, self.executable)
        libexec = os.path.join(super().perform(context), 'lib', perform_substitutions(context, self.package))
        path = shutil.which(executable, path=libexec)
        if path is None:
            raise SubstitutionFailure(f"executable '{executable}' not found on the libexec directory '{libexec}' ")
        return path
