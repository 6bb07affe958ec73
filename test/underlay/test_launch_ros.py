# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Nodes in launch files: parameters, names, namespaces, remappings and where executables are looked up."""

import os
import pathlib
import sys
import tempfile
from typing import List

import pytest

for package in ('launch_ros', 'rclpy'):
    pytest.importorskip(package, reason=f'{package} is not installed')

import yaml  # noqa: E402
from ament_index_python.packages import PackageNotFoundError  # noqa: E402
from launch import LaunchContext, LaunchDescription, LaunchService  # noqa: E402
from launch.actions import GroupAction, SetEnvironmentVariable  # noqa: E402
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, SubstitutionFailure  # noqa: E402
from launch.substitutions import TextSubstitution as Text  # noqa: E402
from launch.utilities import perform_substitutions  # noqa: E402
from launch_ros.actions import Node, PushRosNamespace  # noqa: E402
from launch_ros.parameter_descriptions import Parameter, ParameterFile, ParameterValue  # noqa: E402
from launch_ros.substitutions import ExecutableInPackage, FindPackagePrefix, FindPackageShare  # noqa: E402
from launch_ros.utilities import evaluate_parameters, normalize_parameters  # noqa: E402

os.environ.setdefault('ROS_LOG_DIR', tempfile.mkdtemp(prefix='ros_log_'))
SHOW = f'''#!{sys.executable}
import sys
import rclpy
from rclpy.node import Node

rclpy.init(args=sys.argv)
node = Node('default_name', allow_undeclared_parameters=True, automatically_declare_parameters_from_overrides=True)
values = {{name: parameter.value for name, parameter in node._parameters.items()}}
parameters = sorted((name, list(x) if hasattr(x, 'tolist') else x) for name, x in values.items())
print(parameters, node.get_fully_qualified_name(), node.resolve_topic_name('in'), sys.argv[1], flush=True)
'''


@pytest.fixture
def prefix(tmp_path, monkeypatch):
    """An install prefix with the package `demo`, whose node `show` prints what it was started with."""
    for folder in ('share/ament_index/resource_index/packages', 'share/demo', 'lib/demo'):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / 'share/ament_index/resource_index/packages/demo').touch()
    (tmp_path / 'lib/demo/show').write_text(SHOW)
    (tmp_path / 'lib/demo/show').chmod(0o755)
    monkeypatch.setenv('AMENT_PREFIX_PATH', os.pathsep.join(
        [str(tmp_path), *filter(None, [os.environ.get('AMENT_PREFIX_PATH')])]))
    monkeypatch.setenv('ROS_DOMAIN_ID', '47')
    return tmp_path


@pytest.fixture
def context():
    return LaunchContext()


def evaluated(context, parameters):
    return evaluate_parameters(context, normalize_parameters(parameters))


@pytest.mark.parametrize('given, expected', [
    ({'a': 1, 'b': 2.0, 'c': False}, {'a': 1, 'b': 2.0, 'c': False}),
    ({'a': {'b': 'c', 'd': {'e': 3}}}, {'a.b': 'c', 'a.d.e': 3}),
    ({'a': 'False', 'b': ['1', '2.5'], 'c': ''}, {'a': 'False', 'b': ('1', '2.5'), 'c': ''}),
    ({'a': [1, 2.5], 'b': [True, False]}, {'a': (1.0, 2.5), 'b': (True, False)}),
    ({Text(text='a'): Text(text='off'), (Text(text='b'), 'c'): Text(text='[1, 2]')}, {'a': False, 'bc': (1, 2)}),
    ({'a': [Text(text='fiz'), 'buz'], 'b': [[Text(text='fiz')], 'buz']}, {'a': 'fizbuz', 'b': ('fiz', 'buz')}),
    ({'a': [[Text(text='1.0')], [Text(text='2.0')]]}, {'a': (1.0, 2.0)}),
    ({'a': Text(text=''), 'b': bytes([255, 1])}, {'a': '', 'b': bytes([255, 1])}),
    ({'a': ParameterValue(Text(text='[1, 2'), value_type=str)}, {'a': '[1, 2'}),
    ({'a': ParameterValue(Text(text='1'), value_type=float)}, {'a': 1.0}),
    ({'a': ParameterValue([[Text(text='x')], 'y'], value_type=List[str])}, {'a': ['x', 'y']}),
])
def test_parameter_dict_becomes(context, given, expected):
    assert evaluated(context, [given]) == (expected,)


@pytest.mark.parametrize('given, message', [
    ({'a': [True, 2.0, 3]}, 'Expected a non-empty'), ({'a': Text(text='[]')}, 'Expected a non-empty sequence'),
    ({'a': Text(text='[1, 2.0]')}, 'Expected a non-empty sequence'),
    ({'a': Text(text='{b: 1}')}, 'Allowed value types'),
    ({'a': Text(text='a : b : c')}, 'Unable to parse'), ({5: 'x'}, ''), ({'a': [1, [2, 3]]}, ''),
    ({'a': {1, 2}}, ''), ({'a': {'b': object()}}, '')])
def test_parameter_that_ros_has_no_type_for_is_an_error(context, given, message):
    with pytest.raises(TypeError) as error:
        evaluated(context, [given])
    assert message in str(error.value)


@pytest.mark.parametrize('parameters', [{'a': 5}, 'file.yaml', [5.0]])
def test_parameters_are_a_list_of_files_and_dicts(parameters):
    with pytest.raises(TypeError):
        Node(package='demo', executable='show', parameters=parameters)


@pytest.mark.parametrize('remappings', [{'a': 'b'}, [{'a': 'b'}], [('a', 'b', 'c')]])
def test_remappings_are_pairs(remappings):
    with pytest.raises(TypeError):
        Node(package='demo', executable='show', remappings=remappings)


def test_paths_stay_in_order(context):
    assert evaluated(context, [pathlib.Path('/a'), {'b': 1}, ['/c', Text(text='/d')], ParameterFile('/e')]) == (
        pathlib.Path('/a'), {'b': 1}, pathlib.Path('/c/d'), pathlib.Path('/e'))


@pytest.mark.parametrize('value, value_type, expected', [
    ('1', str, '1'), ('', None, ''), (Text(text='1'), None, 1), (Text(text='1'), str, '1'), (Text(text='1'), float, 1.0),
    (Text(text='off'), bool, False), (Text(text='[1, 2]'), List[int], [1, 2]), ([1, 2], List[float], [1.0, 2.0]),
    ([1, 2.5], None, [1.0, 2.5]), ([[Text(text='1')], 'b'], List[str], ['1', 'b']), (['only'], None, ['only'])])
def test_parameter_value_has_its_type(context, value, value_type, expected):
    found = ParameterValue(value, value_type=value_type).evaluate(context)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize('value, value_type', [
    ('text', int), (Text(text='x'), int), (Text(text='1'), bool), ([1, 'a'], List[int]), (1, List[int]), ([1], int)])
def test_parameter_value_of_another_type_is_an_error(context, value, value_type):
    with pytest.raises((TypeError, ValueError)):
        ParameterValue(value, value_type=value_type).evaluate(context)


@pytest.mark.parametrize('pushed, namespace, expected', [
    (['relative'], 'node', '/relative/node'), (['relative'], '/node', '/node'), (['relative'], '/', '/'),
    (['relative'], '', '/relative'), (['a', 'b'], 'node', '/a/b/node'), (['a', '/b'], 'node', '/b/node'),
    ([], 'node', '/node'), ([], None, Node.UNSPECIFIED_NODE_NAMESPACE), ([''], None, '/')])
def test_namespaces_are_pushed(context, pushed, namespace, expected):
    for name in pushed:
        PushRosNamespace(name).execute(context)
    node = Node(package='any', executable='any', namespace=namespace, name='me')
    node._perform_substitutions(context)
    assert node.expanded_node_namespace == expected
    assert node.node_name == expected.rstrip('/') + '/me'
    assert node.is_node_name_fully_specified() is (expected != Node.UNSPECIFIED_NODE_NAMESPACE)


def test_invalid_namespace_is_an_error(context):
    with pytest.raises(SubstitutionFailure, match='The resulting namespace is invalid'):
        PushRosNamespace('1 2').execute(context)


def test_names_parameters_and_remappings_become_arguments(context):
    node = Node(package='any', executable='any', name='me', namespace='ns', parameters=[{'b': 'y'}],
                remappings=[('from', 'to')])
    node._perform_substitutions(context)
    assert node.expanded_remapping_rules == [('from', 'to')]
    arguments = [perform_substitutions(context, item) for item in node.cmd[1:]]
    file = arguments[arguments.index('--params-file') + 1]
    assert arguments == ['--ros-args', '-r', '__node:=me', '-r', '__ns:=/ns', '--params-file', file, '-r', 'from:=to']
    assert yaml.safe_load(pathlib.Path(file).read_text()) == {'/ns/me': {'ros__parameters': {'b': 'y'}}}


def test_packages_and_executables_are_found(prefix, context):
    assert FindPackageShare('demo').perform(context) == str(prefix / 'share/demo')
    assert FindPackagePrefix(Text(text='demo')).perform(context) == str(prefix)
    assert ExecutableInPackage('show', 'demo').perform(context) == str(prefix / 'lib/demo/show')
    with pytest.raises(PackageNotFoundError, match="package 'nowhere' not found"):
        FindPackageShare('nowhere').perform(context)
    with pytest.raises(SubstitutionFailure, match="executable 'nothing' not found on the libexec directory"):
        ExecutableInPackage('nothing', 'demo').perform(context)


def run(*entities, **configurations):
    service = LaunchService()
    service.context.launch_configurations.update(configurations)
    service.include_launch_description(LaunchDescription(list(entities)))
    return service.run()


def test_unknown_package_fails_the_launch(prefix, capsys):
    assert run(Node(package='nowhere', executable='node')) == 1
    assert "package 'nowhere' not found" in capsys.readouterr().out


def test_node_starts_with_what_the_launch_file_says(prefix, capsys):
    file = prefix / 'params.yaml'
    file.write_text('/**:\n  ros__parameters:\n    from_file: 1\n    both: file\n')
    node = Node(
        package='demo', executable='show', name=['m', LaunchConfiguration('suffix')], namespace='ns', output='screen',
        exec_name='shown', arguments=['first'], ros_arguments=['--log-level', 'warn'],
        remappings=[('in', [EnvironmentVariable('OUT'), '_topic'])],
        parameters=[file, str(prefix / 'missing.yaml'), {
            'both': LaunchConfiguration('suffix'), 'numbers': [1.0, 2.5], 'group': {'flag': True},
            'text': ParameterValue(Text(text='5'), value_type=str)}, Parameter('single', 7)])
    assert run(GroupAction([SetEnvironmentVariable('OUT', 'out'), node]),
               suffix='e') == 0
    text = capsys.readouterr().out
    assert "[('both', 'e'), ('from_file', 1), ('group.flag', True), ('numbers', [1.0, 2.5]), " in text
    assert "('single', 7)," in text and "('text', '5')" in text
    assert '/ns/me /ns/out_topic first' in text and '[shown-' in text
    assert f'Parameter file path is not a file: {prefix}/missing.yaml' in text
    assert '--ros-args --log-level warn' in ' '.join(node.process_details['cmd'])
