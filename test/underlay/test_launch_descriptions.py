# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Launch files' substitutions, conditions, arguments and scopes, as the real package's own tests expect them."""

import asyncio
import os
import tempfile

import pytest

pytest.importorskip('launch', reason='neither ROS launch nor its stand-in is installed')

from launch import Action, LaunchContext, LaunchDescription, LaunchDescriptionEntity  # noqa: E402
from launch import LaunchDescriptionSource, LaunchService  # noqa: E402
from launch import actions  # noqa: E402
from launch import substitutions as subst  # noqa: E402
from launch.conditions import IfCondition, InvalidConditionExpressionError, UnlessCondition  # noqa: E402
from launch.event_handlers import OnShutdown  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from launch.substitutions import LaunchConfiguration, SubstitutionFailure, TextSubstitution  # noqa: E402
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions  # noqa: E402

os.environ.setdefault('ROS_LOG_DIR', tempfile.mkdtemp(prefix='ros_log_'))


@pytest.fixture
def context():
    environment = dict(os.environ)
    yield LaunchContext()
    os.environ.clear()
    os.environ.update(environment)


def visit(context, *entities):
    """Visit entities and what they yield, as a launch does, without processes."""
    for entity in entities:
        visit(context, *(entity.visit(context) or ()))


def run(*entities):
    service = LaunchService()
    service.include_launch_description(LaunchDescription(list(entities)))
    return service.run()


@pytest.mark.parametrize('substitution, expected', [
    (subst.PathJoinSubstitution(['path', ['to'], ['my_', TextSubstitution(text='file'), '.yaml']]),
     os.path.join('path', 'to', 'my_file.yaml')),
    (subst.PythonExpression(['math.ceil(', LaunchConfiguration('rate'), ')']), '2'),
    (subst.PythonExpression(['ceil(1.6)']), '2'),
    (subst.PythonExpression(["os.sep"], ['os']), os.sep),
    (LaunchConfiguration('rate'), '1.6'), (LaunchConfiguration('missing', default=5), '5'),
    (LaunchConfiguration('missing', default=['a', LaunchConfiguration('rate')]), 'a1.6'),
    (subst.EnvironmentVariable('NO_SUCH_VARIABLE', default_value='x'), 'x'),
])
def test_substitution_performs_to(context, substitution, expected):
    context.launch_configurations['rate'] = '1.6'
    assert substitution.perform(context) == expected


@pytest.mark.parametrize('substitution, error', [
    (LaunchConfiguration('missing'), "launch configuration 'missing' does not exist"),
    (subst.EnvironmentVariable('NO_SUCH_VARIABLE'), "environment variable 'NO_SUCH_VARIABLE' does not exist"),
    (subst.ThisLaunchFileDir(), 'used outside of a launch file'),
])
def test_substitution_fails_with(context, substitution, error):
    with pytest.raises(SubstitutionFailure, match=error):
        substitution.perform(context)


def test_python_expression_sees_only_its_modules(context):
    with pytest.raises(NameError):
        subst.PythonExpression(['math.ceil(1.6)'], []).perform(context)
    assert subst.PythonExpression(['ceil(1)']).describe() == "PythonExpr('ceil(1)', ['math'])"


def test_normalizing_rejects_what_is_no_text():
    assert [s.text for s in normalize_to_list_of_substitutions(['a', TextSubstitution(text='b')])] == ['a', 'b']
    with pytest.raises(TypeError):
        normalize_to_list_of_substitutions([1])


@pytest.mark.parametrize('text, truth', [('true', True), ('True', True), (' 1 ', True), ('false', False), ('0', False)])
def test_conditions_read_truth_values(context, text, truth):
    assert IfCondition(text).evaluate(context) is truth
    assert UnlessCondition(text).evaluate(context) is not truth


@pytest.mark.parametrize('text', ['', 'yes', 'on', '2'])
def test_condition_that_is_no_truth_value_is_an_error(context, text):
    with pytest.raises(InvalidConditionExpressionError, match='expected one of'):
        IfCondition(text).evaluate(context)


def test_declared_argument_takes_its_default_or_the_value_given(context):
    actions.DeclareLaunchArgument('rate', default_value=['1', '.5']).visit(context)
    assert context.launch_configurations['rate'] == '1.5'
    actions.DeclareLaunchArgument('rate', default_value='3').visit(context)
    assert context.launch_configurations['rate'] == '1.5'


def test_declared_argument_errors_name_the_argument(context):
    with pytest.raises(RuntimeError, match='Required launch argument "foo" was not provided'):
        actions.DeclareLaunchArgument('foo').visit(context)
    with pytest.raises(RuntimeError, match='Provided choices arg is empty'):
        actions.DeclareLaunchArgument('foo', choices=[])
    with pytest.raises(RuntimeError, match='is not in provided choices'):
        actions.DeclareLaunchArgument('foo', default_value='c', choices=['a', 'b'])
    context.launch_configurations['foo'] = 'c'
    with pytest.raises(RuntimeError, match=r'Argument "foo" provided value "c" is not valid. Valid options are'):
        actions.DeclareLaunchArgument('foo', choices=['a', 'b']).visit(context)


def test_descriptions_of_declared_arguments():
    assert actions.DeclareLaunchArgument('a').description == 'no description given'
    assert actions.DeclareLaunchArgument('a', choices=['x']).description == "One of: ['x']"
    assert actions.DeclareLaunchArgument('a', description='An a', choices=['x']).description == (
        "An a. Valid choices are: ['x']")


def test_launch_arguments_are_found_without_launching():
    class Conditional(LaunchDescriptionEntity):
        def describe_conditional_sub_entities(self):
            return [('sometimes', [actions.DeclareLaunchArgument('c')])]
    description = LaunchDescription([
        actions.DeclareLaunchArgument('a'), actions.DeclareLaunchArgument('b', condition=IfCondition('true')),
        Conditional(), actions.GroupAction([actions.DeclareLaunchArgument('d'), actions.DeclareLaunchArgument('a')]),
        actions.ResetLaunchConfigurations(), actions.DeclareLaunchArgument('hidden')])
    assert [(x.name, x._conditionally_included) for x in description.get_launch_arguments()] == [
        ('a', False), ('b', True), ('c', True), ('d', False)]


def test_locals_are_read_only_and_scoped(context):
    context.extend_locals({'foo': 1})
    with pytest.raises(AttributeError):
        context.locals.foo = 2
    context._push_locals()
    context.extend_locals({'foo': 2, 'bar': 3})
    assert (context.locals.foo, context.locals.bar) == (2, 3)
    context._pop_locals()
    assert context.locals.foo == 1
    with pytest.raises(AttributeError):
        context.locals.bar
    with pytest.raises(RuntimeError):
        context._pop_locals()


def test_group_ends_what_it_changed(context):
    context.launch_configurations.update(foo='FOO', bar='BAR')
    seen = {}

    def look(context):
        seen.update(context.launch_configurations, variable=context.environment.get('A_VARIABLE'))
    changes = [actions.SetEnvironmentVariable('A_VARIABLE', 'x'), actions.SetLaunchConfiguration('foo', 'OOF')]
    visit(context, actions.GroupAction([*changes, actions.OpaqueFunction(function=look)],
                                       launch_configurations={'baz': LaunchConfiguration('foo')}))
    assert seen == {'foo': 'OOF', 'bar': 'BAR', 'baz': 'FOO', 'variable': 'x'}
    assert context.launch_configurations == {'foo': 'FOO', 'bar': 'BAR'} and 'A_VARIABLE' not in context.environment
    visit(context, actions.GroupAction(changes, scoped=False))
    assert context.launch_configurations['foo'] == 'OOF' and context.environment['A_VARIABLE'] == 'x'


def test_group_that_forwards_nothing_begins_anew(context):
    context.launch_configurations.update(foo='FOO', bar='BAR')
    context.environment['A_VARIABLE'] = 'x'
    seen = {}

    def look(context):
        seen.update(context.launch_configurations, variable=context.environment.get('A_VARIABLE'))
    visit(context, actions.GroupAction([actions.OpaqueFunction(function=look)], forwarding=False,
                                       launch_configurations={'bar': LaunchConfiguration('bar')}))
    assert seen == {'bar': 'BAR', 'variable': None}
    assert context.launch_configurations == {'foo': 'FOO', 'bar': 'BAR'} and context.environment['A_VARIABLE'] == 'x'


def test_environment_variables_are_set_and_unset(context):
    value = subst.EnvironmentVariable('NO_SUCH_VARIABLE', default_value='a')
    actions.SetEnvironmentVariable('A_VARIABLE', value).visit(context)
    assert os.environ['A_VARIABLE'] == 'a'
    for _ in range(2):
        actions.UnsetEnvironmentVariable('A_VARIABLE').visit(context)
    assert 'A_VARIABLE' not in os.environ


def test_opaque_function_gets_its_arguments(context):
    got = []
    actions.OpaqueFunction(function=lambda context, *args, **kwargs: got.append((args, kwargs)), args=[1],
                           kwargs={'k': 2}).visit(context)
    assert got == [((1,), {'k': 2})]
    with pytest.raises(TypeError):
        actions.OpaqueFunction(function='nothing to call')


def test_condition_keeps_an_action_from_running(context):
    actions.SetLaunchConfiguration('foo', 'FOO', condition=UnlessCondition('true')).visit(context)
    assert 'foo' not in context.launch_configurations


def test_included_description_must_get_its_required_arguments(context):
    inner = LaunchDescription([actions.DeclareLaunchArgument('foo')])
    with pytest.raises(RuntimeError, match=r"missing required argument 'foo' .*given: \[not_foo\]"):
        actions.IncludeLaunchDescription(
            LaunchDescriptionSource(inner), launch_arguments={'not_foo': 'x'}.items()).visit(context)
    include = actions.IncludeLaunchDescription(LaunchDescriptionSource(inner), launch_arguments={'foo': 'x'}.items())
    first, second = include.visit(context)[:2]
    assert perform_substitutions(context, first.value) == 'x' and second is inner
    outer = LaunchDescription([include])  # a nested include satisfies its own description
    actions.IncludeLaunchDescription(LaunchDescriptionSource(outer)).visit(context)


def test_included_file_knows_its_directory_and_the_includer_its_own(tmp_path, context):
    (tmp_path / 'sub').mkdir()
    body = """
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, OpaqueFunction, SetLaunchConfiguration
from launch.substitutions import PathJoinSubstitution, ThisLaunchFileDir
def generate_launch_description():
    return LaunchDescription([{}SetLaunchConfiguration('{}', ThisLaunchFileDir())])
"""
    (tmp_path / 'sub' / 'inner.launch.py').write_text(body.format('', 'inner'))
    (tmp_path / 'outer.launch.py').write_text(body.format(
        "IncludeLaunchDescription(PathJoinSubstitution([ThisLaunchFileDir(), 'sub', 'inner.launch.py'])), ", 'outer'))
    visit(context, actions.IncludeLaunchDescription(PythonLaunchDescriptionSource(str(tmp_path / 'outer.launch.py'))))
    assert context.launch_configurations['inner'] == str(tmp_path / 'sub')
    assert context.launch_configurations['outer'] == str(tmp_path)
    assert 'current_launch_file_directory' not in context.get_locals_as_dict()


def test_launch_returns_1_after_an_error_and_still_shuts_down():
    reasons = []
    on_shutdown = OnShutdown(
        on_shutdown=lambda event, context: reasons.append(event.reason))
    assert run(actions.RegisterEventHandler(on_shutdown), actions.OpaqueFunction(function=lambda context: 1 / 0)) == 1
    assert len(reasons) == 1 and 'division by zero' in reasons[0]


def test_timer_fires_unless_a_shutdown_comes_first():
    fired = []

    def timer(period, name, **kwargs):
        return actions.TimerAction(period=period, actions=[
            actions.OpaqueFunction(function=lambda context: fired.append(name))], **kwargs)
    assert run(timer(0.05, 'fast'), timer(0.3, 'kept', cancel_on_shutdown=False), timer(30.0, 'cancelled'),
               actions.TimerAction(period=0.1, actions=[actions.Shutdown(reason='enough')])) == 0
    assert fired == ['fast', 'kept']
    with pytest.raises(TypeError):
        actions.TimerAction(period=1, actions=[])  # the real one takes a float or a substitution too


def test_service_runs_as_a_coroutine_and_stops_when_idle():
    service = LaunchService()
    service.include_launch_description(LaunchDescription([Action()]))
    assert asyncio.run(service.run_async()) == 0


def test_launch_file_not_loaded_yet_says_what_it_will_be_loaded_from(tmp_path, context):
    (tmp_path / 'empty.launch.py').write_text(
        'from launch import LaunchDescription\ndef generate_launch_description(): return LaunchDescription()\n')
    source = PythonLaunchDescriptionSource(tmp_path / 'empty.launch.py')
    assert 'launch.substitutions.text_substitution.TextSubstitution' in source.location
    assert source.get_launch_description(context).entities == []
    assert source.location == str(tmp_path / 'empty.launch.py')
