# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Helpers shared by entities: argument checks, substitutions, visiting."""

import asyncio
import os
from collections.abc import Iterable
from typing import Any, Optional, Union

from .base import LaunchDescriptionEntity, SomeSubstitutionsType, Substitution

EntityFuturePairs = list[tuple[LaunchDescriptionEntity, asyncio.Future]]


def ensure_argument_type(argument: Any, types: Union[type, Iterable[type]], argument_name: str,
                         caller: Optional[str] = None) -> None:
    """Raise TypeError unless the argument is an instance of one of the types."""
    allowed = tuple(types) if isinstance(types, Iterable) else (types,)
    if not isinstance(argument, allowed):
        raise TypeError(f"{caller or ''} expected '{argument_name}' to be one of [{', '.join(map(str, allowed))}], "
                        f"but got '{argument}' of type '{type(argument)}'")


def normalize_to_list_of_substitutions(subst: SomeSubstitutionsType) -> list[Substitution]:
    """Return the text, path, substitution or iterable of these as a list of substitutions; TypeError otherwise."""
    from .substitutions import TextSubstitution
    normalized = []
    for item in [subst] if isinstance(subst, (str, os.PathLike, Substitution)) else subst:
        if not isinstance(item, (str, os.PathLike, Substitution)):
            raise TypeError(f"Failed to normalize given item of type '{type(item)}', "
                            "when only 'str' or 'launch.Substitution' were expected.")
        normalized.append(item if isinstance(item, Substitution) else TextSubstitution(text=os.fspath(item)))
    return normalized


def perform_substitutions(context, subs: Iterable[Substitution]) -> str:
    return ''.join(context.perform_substitution(sub) for sub in subs)


def describe_substitutions(subs: Iterable[Substitution]) -> str:
    return ' + '.join(sub.describe() for sub in subs)


def visit_all_entities_and_collect_futures(entity: LaunchDescriptionEntity, context,
                                           futures: Optional[EntityFuturePairs] = None) -> EntityFuturePairs:
    """Visit the entity and what it yields, depth first; add to ``futures`` what the launch must wait for."""
    futures = [] if futures is None else futures
    sub_entities, future = entity.visit(context), entity.get_asyncio_future()
    if future is not None:
        futures.append((entity, future))
    for sub_entity in sub_entities or ():
        visit_all_entities_and_collect_futures(sub_entity, context, futures)
    return futures
