# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What a launch file can do with ROS nodes."""

import functools
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

import yaml
from launch import logging
from launch.actions import ExecuteProcess
from launch.base import Action, ensure_argument_type, normalize_to_list_of_substitutions, perform_substitutions, Text
from launch.substitutions import SubstitutionFailure

from .substitutions import ExecutableInPackage
from .utilities import evaluate_parameters, make_namespace_absolute, normalize_parameters, normalize_remap_rules
from .utilities import Parameter, prefix_namespace

_directory = functools.lru_cache(None)(tempfile.TemporaryDirectory)  # of parameter files; removed at exit


class PushROSNamespace(Action):
    """Puts the nodes that follow below a namespace."""

    def __init__(self, namespace: Text, **kwargs) -> None:
        super().__init__(**kwargs)
        self.namespace = normalize_to_list_of_substitutions(namespace)

    def execute(self, context) -> None:
        from rclpy.validate_namespace import validate_namespace
        previous = context.launch_configurations.get('ros_namespace')
        pushed = perform_substitutions(context, self.namespace)
        namespace = make_namespace_absolute(prefix_namespace(previous, pushed))
        try:
            validate_namespace(namespace)
        except Exception as error:
            raise SubstitutionFailure('The resulting namespace is invalid: '
                                      f"[previous_namespace='{previous}', pushed_namespace='{pushed}']") from error
        context.launch_configurations['ros_namespace'] = namespace


PushRosNamespace = PushROSNamespace


class Node(ExecuteProcess):
    """Runs a node of a package (or an executable by its path) with parameters, remappings and a namespace."""

    UNSPECIFIED_NODE_NAME = '<node_name_unspecified>'
    UNSPECIFIED_NODE_NAMESPACE = '<node_namespace_unspecified>'

    def __init__(self, *, executable: Text, package: Optional[Text] = None, name: Optional[Text] = None,
                 namespace: Optional[Text] = None, exec_name: Optional[Text] = None,
                 parameters: Optional[list] = None, remappings: Optional[Iterable[tuple[Text, Text]]] = None,
                 ros_arguments: Optional[Iterable[Text]] = None, arguments: Optional[Iterable[Text]] = None,
                 **kwargs) -> None:
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
        return '_unspecified>' not in self.node_name

    def _extend_cmd(self, *arguments: str) -> None:
        self.cmd.extend(normalize_to_list_of_substitutions(x) for x in arguments)

    def _expand_name(self, context) -> None:
        from rclpy.validate_namespace import validate_namespace
        from rclpy.validate_node_name import validate_node_name
        name, namespace = (None if x is None else perform_substitutions(
            context, normalize_to_list_of_substitutions(x)) for x in (self._name, self._namespace))
        if name is not None:
            validate_node_name(name)
        namespace = make_namespace_absolute(prefix_namespace(
            context.launch_configurations.get('ros_namespace'), namespace))
        if namespace is not None:
            validate_namespace(namespace)
            self.expanded_node_namespace = namespace
            self._extend_cmd('-r', f'__ns:={namespace}')
        self._node_name = prefix_namespace(self.expanded_node_namespace, name or self.UNSPECIFIED_NODE_NAME)

    def _expand_parameters(self, context) -> None:
        self.__expanded_parameter_arguments = []
        for param in evaluate_parameters(context, self.__parameters):
            is_file = not isinstance(param, Parameter)
            if not is_file:
                name, value = param.evaluate(context)
                argument = f'{name}:={yaml.dump(value)}'
            elif isinstance(param, dict):
                node = self.node_name if self.is_node_name_fully_specified() else '/**'
                with tempfile.NamedTemporaryFile(
                        'w', prefix='launch_params_', dir=_directory().name, delete=False) as file:
                    yaml.dump({node: {'ros__parameters': param}}, file, default_flow_style=False)
                argument = file.name
            else:
                argument = str(param)
                if not Path(argument).is_file():
                    logging.get_logger(__name__).warning(f'Parameter file path is not a file: {argument}')
                    continue
            self.__expanded_parameter_arguments.append((argument, is_file))
            self._extend_cmd('--params-file' if is_file else '-p', argument)

    def _perform_substitutions(self, context) -> None:
        if self._node_name is not None:
            return
        self._expand_name(context)
        self._expand_parameters(context)
        self.__expanded_remappings = [tuple(perform_substitutions(context, side) for side in rule)
                                      for rule in self.__remappings] or None
        for src, dst in self.__expanded_remappings or ():
            self._extend_cmd('-r', f'{src}:={dst}')

    def execute(self, context) -> None:
        self._perform_substitutions(context)
        super().execute(context)
