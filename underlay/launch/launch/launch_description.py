# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Launch descriptions, and the Python launch files that they come from."""

from collections.abc import Iterable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from typing import Optional

from . import logging
from .base import Action, LaunchContext, LaunchDescriptionEntity, normalize_to_list_of_substitutions
from .base import perform_substitutions, Text


class LaunchDescription(LaunchDescriptionEntity):
    """The entities that together describe a system to launch."""

    def __init__(self, initial_entities: Optional[Iterable[LaunchDescriptionEntity]] = None, *,
                 deprecated_reason: Optional[str] = None) -> None:
        self.entities = list(initial_entities or ())
        self.deprecated_reason = deprecated_reason
        self.deprecated = deprecated_reason is not None

    def visit(self, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if self.deprecated:
            path = context.get_locals_as_dict().get('current_launch_file_path', 'in a script')
            logging.get_logger().warning(f'launch file [{path}] is deprecated: {self.deprecated_reason}')
        return self.entities

    def describe_sub_entities(self) -> list[LaunchDescriptionEntity]:
        return self.entities

    def add_entity(self, entity: LaunchDescriptionEntity) -> None:
        self.entities.append(entity)

    add_action = add_entity

    def get_launch_arguments(self, conditional_inclusion: bool = False) -> list[Action]:
        """Return the DeclareLaunchArgument actions found without launching, the first of each name."""
        return [argument for argument, _ in
                self.get_launch_arguments_with_include_launch_description_actions(conditional_inclusion)]

    def get_launch_arguments_with_include_launch_description_actions(
            self, conditional_inclusion: bool = False) -> list[tuple[Action, list[Action]]]:
        """Return each declared argument with the IncludeLaunchDescription actions that lead to it."""
        from .actions import DeclareLaunchArgument, IncludeLaunchDescription, ResetLaunchConfigurations
        found: dict[str, tuple[Action, list[Action]]] = {}

        def search(entities: Iterable[LaunchDescriptionEntity], conditional: bool, includes: list[Action]) -> None:
            for entity in entities:
                if isinstance(entity, ResetLaunchConfigurations):
                    return  # no argument of the caller reaches what follows
                if isinstance(entity, DeclareLaunchArgument) and entity.name not in found:
                    entity._conditionally_included = conditional or entity.condition is not None
                    found[entity.name] = (entity, includes)
                nested = includes + [entity] if isinstance(entity, IncludeLaunchDescription) else includes
                search(entity.describe_sub_entities(), False, nested)
                for _, sub_entities in entity.describe_conditional_sub_entities():
                    search(sub_entities, True, nested)
        search(self.entities, conditional_inclusion, [])
        return list(found.values())


class LaunchDescriptionSource:
    """A launch description, or where to load it from."""

    def __init__(self, launch_description: Optional[LaunchDescription] = None,
                 location: Text = '<string>',
                 method: str = 'unspecified mechanism from a script') -> None:
        self._launch_description, self.method = launch_description, method
        self._location = normalize_to_list_of_substitutions(location)
        self._expanded_location: Optional[str] = None

    @property
    def location(self) -> str:
        """The path loaded, or before that its description."""
        if self._expanded_location is None:
            return ' + '.join(str(sub) for sub in self._location)
        return self._expanded_location

    def try_get_launch_description_without_context(self) -> Optional[LaunchDescription]:
        """Return the launch description, or None where it cannot be loaded before the launch runs."""
        if self._launch_description is None:
            try:
                return self._get_launch_description(perform_substitutions(LaunchContext(), self._location))
            except Exception as error:
                logging.get_logger(__name__).debug('Failed to load the launch file without a context: %s', error)
        return self._launch_description

    def get_launch_description(self, context: LaunchContext) -> LaunchDescription:
        """Return the launch description, loaded on first use."""
        if self._expanded_location is None:
            self._expanded_location = perform_substitutions(context, self._location)
        if self._launch_description is None:
            self._launch_description = self._get_launch_description(self._expanded_location)
        return self._launch_description

    def _get_launch_description(self, location: str) -> LaunchDescription:
        raise RuntimeError('LaunchDescriptionSource.get_launch_description(): '
                           'called without launch description being set')


class InvalidPythonLaunchFileError(Exception):
    """A Python launch file has no generate_launch_description()."""


def get_launch_description_from_python_launch_file(python_launch_file_path: str) -> LaunchDescription:
    """Run the file and return what its generate_launch_description() returns; InvalidPythonLaunchFileError without."""
    loader = SourceFileLoader('python_launch_file', str(python_launch_file_path))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    if not hasattr(module, 'generate_launch_description'):
        raise InvalidPythonLaunchFileError(f"launch file at '{python_launch_file_path}' does not contain the required "
                                           "function 'generate_launch_description()'")
    return module.generate_launch_description()


class PythonLaunchDescriptionSource(LaunchDescriptionSource):
    """A Python launch file."""

    def __init__(self, launch_file_path: Text) -> None:
        super().__init__(None, launch_file_path, 'interpreted python launch file')

    def _get_launch_description(self, location: str) -> LaunchDescription:
        return get_launch_description_from_python_launch_file(location)


class AnyLaunchDescriptionSource(PythonLaunchDescriptionSource):
    """A launch file; here only Python ones are known."""
