# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Paths of installed ROS packages."""

import os
import shutil

from ament_index_python.packages import get_package_prefix, get_package_share_directory
from launch._module_aliases import alias_modules
from launch.base import SomeSubstitutionsType, Substitution
from launch.frontend import expose_substitution
from launch.substitutions import SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions


def _describe(substitutions: list[Substitution]) -> str:
    return ' + '.join(sub.describe() for sub in substitutions)


class FindPackagePrefix(Substitution):
    """The install prefix of a package; PackageNotFoundError where it is not installed."""

    find = staticmethod(get_package_prefix)

    def __init__(self, package: SomeSubstitutionsType) -> None:
        self.package = normalize_to_list_of_substitutions(package)

    def describe(self) -> str:
        return f'{type(self).__name__}(pkg={_describe(self.package)})'

    def perform(self, context) -> str:
        return self.find(perform_substitutions(context, self.package))


class FindPackageShare(FindPackagePrefix):
    """The share directory of a package; PackageNotFoundError where it is not installed."""

    find = staticmethod(get_package_share_directory)


class ExecutableInPackage(FindPackagePrefix):
    """The path of an executable of a package, in ``<prefix>/lib/<package>``."""

    def __init__(self, executable: SomeSubstitutionsType, package: SomeSubstitutionsType) -> None:
        super().__init__(package)
        self.executable = normalize_to_list_of_substitutions(executable)

    def describe(self) -> str:
        return f'ExecInPkg(pkg={_describe(self.package)}, exec={_describe(self.executable)})'

    def perform(self, context) -> str:
        executable = perform_substitutions(context, self.executable)
        package = perform_substitutions(context, self.package)
        prefix = super().perform(context)
        libexec = os.path.join(prefix, 'lib', package)
        if not os.path.exists(libexec):
            raise SubstitutionFailure(
                f"package '{package}' found at '{prefix}', but libexec directory '{libexec}' does not exist")
        path = shutil.which(executable, path=libexec)
        if path is None:
            raise SubstitutionFailure(f"executable '{executable}' not found on the libexec directory '{libexec}' ")
        return path


expose_substitution('find-pkg-prefix')(lambda args: (FindPackagePrefix, {'package': args[0]}))
expose_substitution('find-pkg-share')(lambda args: (FindPackageShare, {'package': args[0]}))
alias_modules(__name__, 'find_package')
