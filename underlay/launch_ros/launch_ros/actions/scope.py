# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Actions that hold for the nodes that follow in the same scope."""

from typing import Any, Union

from launch.base import Action, SomeSubstitutionsType
from launch.substitutions import SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from ..utilities import evaluate_parameter_dict, make_namespace_absolute, normalize_parameter_dict, prefix_namespace


class PushROSNamespace(Action):
    """Puts the nodes that follow below a namespace."""

    def __init__(self, namespace: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(**kwargs)
        self.namespace = normalize_to_list_of_substitutions(namespace)

    def execute(self, context) -> None:
        from rclpy.validate_namespace import validate_namespace
        pushed = perform_substitutions(context, self.namespace)
        previous = context.launch_configurations.get('ros_namespace', None)
        namespace = make_namespace_absolute(prefix_namespace(previous, pushed))
        try:
            validate_namespace(namespace)
        except Exception as error:
            raise SubstitutionFailure('The resulting namespace is invalid: '
                                      f"[previous_namespace='{previous}', pushed_namespace='{pushed}']") from error
        context.launch_configurations['ros_namespace'] = namespace


PushRosNamespace = PushROSNamespace


def _append(context, configuration: str, items: list) -> None:
    """Append without changing the outer scope's list."""
    context.launch_configurations[configuration] = [
        *context.launch_configurations.get(configuration, []), *items]


class SetParameter(Action):
    """Sets a parameter of the nodes that follow."""

    def __init__(self, name: SomeSubstitutionsType, value: Any, **kwargs) -> None:
        super().__init__(**kwargs)
        self._parameters = normalize_parameter_dict({tuple(normalize_to_list_of_substitutions(name)): value})

    def execute(self, context) -> None:
        _append(context, 'global_params', list(evaluate_parameter_dict(context, self._parameters).items()))


class SetUseSimTime(SetParameter):
    """Sets use_sim_time of the nodes that follow."""

    def __init__(self, value: Union[bool, SomeSubstitutionsType], **kwargs) -> None:
        super().__init__('use_sim_time', value, **kwargs)


class SetRemap(Action):
    """Remaps a name in the nodes that follow."""

    def __init__(self, src: SomeSubstitutionsType, dst: SomeSubstitutionsType, **kwargs) -> None:
        super().__init__(**kwargs)
        self.src, self.dst = normalize_to_list_of_substitutions(src), normalize_to_list_of_substitutions(dst)

    def execute(self, context) -> None:
        _append(context, 'ros_remaps', [
            (perform_substitutions(context, self.src), perform_substitutions(context, self.dst))])
