# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What nodes with an end of their own share: parameters with descriptions, and an orderly stop."""

from __future__ import annotations

import functools
import signal
import sys
import threading
import traceback
from array import array
from typing import Any, Callable, Protocol, Sequence

import rclpy
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import NameValidationException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from ros_kd.nodes import missing_module
from ros_kd.nodes.spinning import Spinner

OFF = 'off'


class Job(Protocol):
    """A node that does something until it is done or told to stop."""

    def work(self, spinner: Spinner, stop: threading.Event) -> int:
        """Do it; return the exit status. `stop` is set on SIGINT and SIGTERM, while messages still flow."""

    def get_logger(self) -> RcutilsLogger: ...

    def destroy_node(self) -> None: ...


def declare(node: Node, name: str, default: Any, description: str, low: float | None = None, high: float | None = None,
            choices: Sequence[str] = (), live: bool = False) -> Any:
    """Declare a parameter, read only unless `live`, and return its value as `checked` does."""
    descriptor = ParameterDescriptor(description=description, read_only=not live,
                                     dynamic_typing=isinstance(default, (list, float)) or OFF in choices)
    if low is not None and high is not None:
        if isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    expected = _expected(default, low, high, choices)
    if choices:
        descriptor.additional_constraints = expected
    try:
        value = node.declare_parameter(name, default if default != [] else '', descriptor).value
    except Exception as error:  # rclpy has one class for each reason, and new ones with each release
        raise ValueError(f'parameter {name}: {error}; expected {expected}: {description}') from None
    return checked(name, value, default, description, low, high, choices)


def checked(name: str, value: Any, default: Any, description: str, low: float | None = None, high: float | None = None,
            choices: Sequence[str] = ()) -> Any:
    """Return a parameter's value in the type of its default.

    Raises ValueError naming the value and what was expected. A list may be given as one text with commas, a
    floating-point value as a whole number. The word off may be given as it is, though YAML makes it false.
    """
    refused = ValueError(f'parameter {name} is {value!r}, expected {_expected(default, low, high, choices)}: '
                         f'{description}')
    if isinstance(default, float):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or low is not None and not low <= value <= high:
            raise refused
        return float(value)
    if isinstance(default, list):
        value = _items(value)
    elif OFF in choices and value is False:
        value = OFF
    if choices and any(item not in choices for item in (value if isinstance(default, list) else [value])):
        raise refused
    return value


def _expected(default: Any, low: float | None, high: float | None, choices: Sequence[str]) -> str:
    if low is not None and high is not None:
        return f'{low} to {high}'
    if choices:
        return f'{"some" if isinstance(default, list) else "one"} of {list(choices)}'
    return f'a {type(default).__name__}'


def _items(value: Any) -> list:
    """Return the items of a list parameter, however it was written: a list, text with commas, or its only item.

    A parameter file's [] comes as None; [''] is how ROS users write a list without items.
    """
    if value is None:
        return []
    if isinstance(value, str):
        return [part for part in (part.strip(' \'"') for part in value.strip(' []').split(',')) if part]
    values = list(value) if isinstance(value, (Sequence, array)) else [value]
    return [OFF if item is False else item for item in values if item != '']


def explained(transition: Callable) -> Callable:
    """Log what a transition of a lifecycle node raises: rclpy only turns it into an error state, without a word."""
    @functools.wraps(transition)
    def wrapper(self: LifecycleNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(self, state)
        except ModuleNotFoundError as error:
            self.get_logger().error(missing_module(error))
        except (ValueError, OSError, NameValidationException) as error:
            self.get_logger().error(str(error))
        except Exception:
            self.get_logger().error(f'{transition.__name__} failed:\n{traceback.format_exc()}')
        return TransitionCallbackReturn.FAILURE
    return wrapper


def answer_refusals(node: LifecycleNode) -> None:
    """Answer a transition that the state does not have with success False: rclpy raises, and leaves the client waiting.

    rclcpp's lifecycle nodes answer so.
    """
    service = getattr(node, '_service_change_state', None)  # there is no public way to it
    if service is None:
        return
    change = service.callback

    def callback(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        try:
            return change(request, response)
        except Exception as error:  # RCLError, which rclpy keeps to itself
            asked = request.transition.label or request.transition.id
            node.get_logger().warning(f'transition {asked} refused: {error}')
            response.success = False
            return response
    service.callback = callback


def run_job(make: Callable[[], Job], name: str, args: Sequence[str] | None) -> int:
    """Run a job until it ends, SIGINT or SIGTERM; return its exit status. An error is one line and status 1."""
    stop = threading.Event()
    # rclpy's own handlers would end the context before the job could bring its work to an end.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    job = None
    try:
        job = make()
        executor = SingleThreadedExecutor()
        executor.add_node(job)
        return job.work(Spinner(executor, job.get_logger()), stop)
    except (ValueError, OSError) as error:
        print(f'{name}: {error}', file=sys.stderr)
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C may come twice: an orderly end stays one
            signal.signal(number, signal.SIG_IGN)
        if job is not None:
            job.destroy_node()
        rclpy.try_shutdown()
