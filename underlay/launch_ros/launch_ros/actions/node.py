# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The action that runs a ROS node."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

import yaml
from launch import logging
from launch.actions import ExecuteProcess
from launch.base import SomeSubstitutionsType
from launch.utilities import ensure_argument_type, normalize_to_list_of_substitutions, perform_substitutions

from ..descriptions import Parameter, write_parameter_file
from ..substitutions import ExecutableInPackage
from ..utilities import (
    SomeParameters, evaluate_parameters, make_namespace_absolute, normalize_parameters, normalize_remap_rules,
    prefix_namespace)


class Node(ExecuteProcess):
    """Runs a node of a package (or an executable by its path) with parameters, remappings and a namespace."""

    UNSPECIFIED_NODE_NAME = '<node_name_unspecified>'
    UNSPECIFIED_NODE_NAMESPACE = '<node_namespace_unspecified>'

    def __init__(self, *, executable: SomeSubstitutionsType, package: Optional[SomeSubstitutionsType] = None,
                 name: Optional[SomeSubstitutionsType] = None, namespace: Optional[SomeSubstitutionsType] = None,
                 exec_name: Optional[SomeSubstitutionsType] = None, parameters: Optional[SomeParameters] = None,
                 remappings: Optional[Iterable[tuple[SomeSubstitutionsType, SomeSubstitutionsType]]] = None,
                 ros_arguments: Optional[Iterable[SomeSubstitutionsType]] = None,
                 arguments: Optional[Iterable[SomeSubstitutionsType]] = None, **kwargs) -> None:
        cmd: list[Any] = [executable if package is None else ExecutableInPackage(executable, package)]
        cmd += [*(arguments or ()), *(['--ros-args', *ros_arguments] if ros_arguments else ()), '--ros-args']
        if name is not None:
            cmd += ['-r', ['__node:=', *normalize_to_list_of_substitutions(name)]]
        if parameters is not None:
            ensure_argument_type(parameters, list, 'parameters', 'Node')
        super().__init__(cmd=cmd, name=exec_name, **kwargs)
        self.node_package, self.node_executable = package, executable
        self._name, self._namespace = name, namespace
        self.__parameters = normalize_parameters(parameters or [])
        self.__remappings = normalize_remap_rules(remappings or [])
        self.expanded_node_namespace = self.UNSPECIFIED_NODE_NAMESPACE
        self.__expanded_parameter_arguments: Optional[list[tuple[str, bool]]] = None
        self.__expanded_remappings: Optional[list[tuple[str, str]]] = None
        self._node_name: Optional[str] = None

    @property
    def node_name(self) -> str:
        """The name below its namespace; RuntimeError before the action is executed."""
        if self._node_name is None:
            raise RuntimeError("cannot access 'node_name' before executing action")
        return self._node_name

    @property
    def expanded_remapping_rules(self) -> Optional[list[tuple[str, str]]]:
        return self.__expanded_remappings

    def is_node_name_fully_specified(self) -> bool:
        return not any(unknown in self.node_name for unknown in (
            self.UNSPECIFIED_NODE_NAME, self.UNSPECIFIED_NODE_NAMESPACE))

    def _extend_cmd(self, *arguments: str) -> None:
        self.process_description.cmd.extend(normalize_to_list_of_substitutions(x) for x in arguments)

    def _expand_name(self, context) -> None:
        from rclpy.validate_namespace import validate_namespace
        from rclpy.validate_node_name import validate_node_name
        try:
            name, namespace = (None if x is None else perform_substitutions(
                context, normalize_to_list_of_substitutions(x)) for x in (self._name, self._namespace))
            if name is not None:
                validate_node_name(name)
            namespace = make_namespace_absolute(prefix_namespace(
                context.launch_configurations.get('ros_namespace', None), namespace))
            if namespace is not None:
                validate_namespace(namespace)
                self.expanded_node_namespace = namespace
                self._extend_cmd('-r', f'__ns:={namespace}')
        except Exception:
            logging.get_logger(__name__).error(
                "Error while expanding or validating node name or namespace for "
                f"'package={self.node_package}, executable={self.node_executable}, name={self._name}, "
                f"namespace={self._namespace}':")
            raise
        self._node_name = prefix_namespace(
            self.expanded_node_namespace, self.UNSPECIFIED_NODE_NAME if name is None else name)

    def _expand_parameters(self, context) -> None:
        for name, value in context.launch_configurations.get('global_params', []):
            self._extend_cmd('-p', f'{name}:={value}')
        self.__expanded_parameter_arguments = []
        for param in evaluate_parameters(context, self.__parameters):
            is_file = not isinstance(param, Parameter)
            if isinstance(param, Parameter):
                name, value = param.evaluate(context)
                argument = f'{name}:={yaml.dump(value)}'
            elif isinstance(param, dict):
                node = self.node_name if self.is_node_name_fully_specified() else '/**'
                argument = str(write_parameter_file(yaml.dump(
                    {node: {'ros__parameters': param}}, default_flow_style=False)))
            else:
                argument = str(param)
                if not Path(argument).is_file():
                    logging.get_logger(__name__).warning(f'Parameter file path is not a file: {argument}')
                    continue
            self.__expanded_parameter_arguments.append((argument, is_file))
            self._extend_cmd('--params-file' if is_file else '-p', argument)

    def _expand_remappings(self, context) -> None:
        rules = [*context.launch_configurations.get('ros_remaps', []), *(
            (perform_substitutions(context, src), perform_substitutions(context, dst))
            for src, dst in self.__remappings)]
        self.__expanded_remappings = rules or None
        for src, dst in rules:
            self._extend_cmd('-r', f'{src}:={dst}')

    def _perform_substitutions(self, context) -> None:
        if self._node_name is None:
            self._expand_name(context)
            self._expand_parameters(context)
            self._expand_remappings(context)

    def execute(self, context) -> None:
        self._perform_substitutions(context)
        super().execute(context)
        if self.is_node_name_fully_specified():
            names = context.get_locals_as_dict().get('unique_ros_node_names', {})
            names[self.node_name] = names.get(self.node_name, 0) + 1
            context.extend_globals({'unique_ros_node_names': names})
            if names[self.node_name] > 1:
                logging.get_logger(self.process_description.final_name).warning(
                    f'there are now at least {names[self.node_name]} nodes with the name {self.node_name} '
                    'created within this launch context')
