# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The label sets of the datasets, and how they map to each other. A new one is one `_add` here.

In a class string, ids start at 0; '-' is an id that is not used.
"""

from __future__ import annotations

from dataclasses import replace

from ros_kd.taxonomy import Taxonomy

TAXONOMIES: dict[str, Taxonomy] = {}


def get_taxonomy(name: str) -> Taxonomy:
    """Return the taxonomy called `name`. Raises ValueError naming those that exist."""
    try:
        return TAXONOMIES[name]
    except KeyError:
        raise ValueError(f'unknown taxonomy "{name}"; known: {sorted(TAXONOMIES)}') from None


def read_taxonomy(text: str) -> Taxonomy:
    """Read what Taxonomy.to_json wrote; a known taxonomy gets its maps back. Raises ValueError for other text."""
    taxonomy = Taxonomy.from_json(text)
    known = TAXONOMIES.get(taxonomy.name)
    return replace(taxonomy, maps=known.maps) if known and known.names == taxonomy.names else taxonomy


def _add(name: str, classes: str, **maps: dict[int, int | str]) -> None:
    rows = [row.strip() for row in classes.split(',')]
    names = tuple(None if row == '-' else row.rsplit(' ', 1)[0] for row in rows)
    colors = tuple((0, 0, 0) if row == '-' else tuple(bytes.fromhex(row.rsplit(' ', 1)[1])) for row in rows)
    TAXONOMIES[name] = Taxonomy(name, names, colors, {key.replace('_', '-'): value for key, value in maps.items()})


def _invert(table: dict[int, tuple[int, ...]]) -> dict[int, int]:
    return {own: other for other, owns in table.items() for own in owns}


_add('street-12', '''road 804080, sidewalk f423e8, terrain 98fb98, building 9a8c82, static b4a05a, sign ffdc00,
     vegetation 2e8b22, person dc143c, car 2864f0, truck 0000a0, bus 00b4c8, two-wheeler ff7f0e''')

_add('sim-12', '''road 804080, sidewalk f423e8, terrain 98fb98, building 9a8c82, fence be9999, pole b4a05a, sign ffdc00,
     vegetation 2e8b22, person dc143c, car 2864f0, truck 0000a0, two-wheeler ff7f0e''',
     street_12={0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 5, 7: 6, 8: 7, 9: 8, 10: 9, 11: 11})

_add('cityscapes', '''road 804080, sidewalk f423e8, building 464646, wall 66669c, fence be9999, pole 999999,
     traffic light faaa1e, traffic sign dcdc00, vegetation 6b8e23, terrain 98fb98, sky 4682b4, person dc143c,
     rider ff0000, car 00008e, truck 000046, bus 003c64, train 005064, motorcycle 0000e6, bicycle 770b20''',
     street_12=_invert({0: (0,), 1: (1,), 2: (9,), 3: (2,), 4: (3, 4, 5, 6), 5: (7,), 6: (8,), 7: (11, 12), 8: (13,),
                        9: (14,), 10: (15,), 11: (17, 18)}),
     nuscenes_16=_invert({11: (0,), 13: (1,), 15: (2, 3, 4, 5, 6, 7), 16: (8,), 14: (9,), 7: (11,), 4: (13,),
                          10: (14,), 3: (15,), 6: (17,), 2: (18,)}),
     semantickitti_19=_invert({9: (0,), 11: (1,), 13: (2,), 14: (4,), 18: (5,), 19: (6, 7), 15: (8,), 17: (9,),
                               6: (11,), 7: (12,), 1: (13,), 4: (14,), 5: (15, 16), 3: (17,), 2: (18,)}))

_add('semantickitti-19', '''-, car 6496f5, bicycle 64e6f5, motorcycle 1e3c96, truck 501eb4, other-vehicle 0000ff,
     person ff1e1e, bicyclist ff28c8, motorcyclist 961e5a, road ff00ff, parking ff96ff, sidewalk 4b004b,
     other-ground af004b, building ffc800, fence ff7832, vegetation 00af00, trunk 873c00, terrain 96f050, pole fff096,
     traffic-sign ff0000''')

_SEMANTICKITTI_NAMES = {
    0: 'unlabeled', 1: 'outlier', 10: 'car', 11: 'bicycle', 13: 'bus', 15: 'motorcycle', 16: 'on-rails', 18: 'truck',
    20: 'other-vehicle', 30: 'person', 31: 'bicyclist', 32: 'motorcyclist', 40: 'road', 44: 'parking', 48: 'sidewalk',
    49: 'other-ground', 50: 'building', 51: 'fence', 52: 'other-structure', 60: 'lane-marking', 70: 'vegetation',
    71: 'trunk', 72: 'terrain', 80: 'pole', 81: 'traffic-sign', 99: 'other-object', 252: 'moving-car',
    253: 'moving-bicyclist', 254: 'moving-person', 255: 'moving-motorcyclist', 256: 'moving-on-rails',
    257: 'moving-bus', 258: 'moving-truck', 259: 'moving-other-vehicle'}

_KITTI_TO_19 = _invert({
    1: (10, 252), 2: (11,), 3: (15,), 4: (18, 258), 5: (13, 16, 20, 256, 257, 259), 6: (30, 254), 7: (31, 253),
    8: (32, 255), 9: (40, 60), 10: (44,), 11: (48,), 12: (49,), 13: (50,), 14: (51,), 15: (70,), 16: (71,), 17: (72,),
    18: (80,), 19: (81,)})


def _raw_semantickitti() -> Taxonomy:
    """The ids of the .label files (low 16 bits), in the colours of the classes that they belong to."""
    colors = TAXONOMIES['semantickitti-19'].colors
    ids = range(max(_SEMANTICKITTI_NAMES) + 1)
    return Taxonomy(
        'semantickitti', tuple(_SEMANTICKITTI_NAMES.get(i) for i in ids),
        tuple(colors[_KITTI_TO_19[i]] if i in _KITTI_TO_19 else (0, 0, 0) for i in ids),
        {'semantickitti-19': _KITTI_TO_19,
         'street-12': _invert({0: (40, 44, 60), 1: (48,), 2: (49, 72), 3: (50,), 4: (51, 52, 80), 5: (81,),
                               6: (70, 71), 7: (30, 31, 32, 253, 254, 255), 8: (10, 252), 9: (18, 20, 258, 259),
                               10: (13, 257), 11: (11, 15)})})


TAXONOMIES['semantickitti'] = _raw_semantickitti()

_add('nuscenes-16', '''-, barrier 708090, bicycle dc143c, bus ff7f50, car ff9e00, construction_vehicle e99646,
     motorcycle ff3d63, pedestrian 0000e6, traffic_cone 2f4f4f, trailer ff8c00, truck ff6347, driveable_surface 00cfbf,
     other_flat af004b, sidewalk 4b004b, terrain 70b43c, manmade deb887, vegetation 00af00''',
     street_12={2: 11, 3: 10, 4: 8, 6: 11, 7: 7, 10: 9, 11: 0, 13: 1, 14: 2, 15: 3, 16: 6})

_add('nuimages-11', '''barrier 708090, bicycle dc143c, bus ff7f50, car ff9e00, construction_vehicle e99646,
     motorcycle ff3d63, pedestrian 0000e6, traffic_cone 2f4f4f, trailer ff8c00, truck ff6347,
     driveable_surface 00cfbf''',
     nuscenes_16={i: i + 1 for i in range(11)}, street_12={1: 11, 2: 10, 3: 8, 5: 11, 6: 7, 9: 9, 10: 0})

_add('nuscenes', '''noise 000000, animal 4682b4, adult 0000e6, child 87ceeb, construction_worker 6495ed,
     personal_mobility db7093, police_officer 000080, stroller f08080, wheelchair 8a2be2, barrier 708090, debris d2691e,
     pushable_pullable 696969, trafficcone 2f4f4f, bicycle_rack bc8f8f, bicycle dc143c, bus_bendy ff7f50,
     bus_rigid ff4500, car ff9e00, construction e99646, ambulance ff5300, police ffd700, motorcycle ff3d63,
     trailer ff8c00, truck ff6347, driveable_surface 00cfbf, other_flat af004b, sidewalk 4b004b, terrain 70b43c,
     manmade deb887, other_static ffe4c4, vegetation 00af00, ego fff0f5''',
     nuscenes_16=_invert({1: (9,), 2: (14,), 3: (15, 16), 4: (17,), 5: (18,), 6: (21,), 7: (2, 3, 4, 6), 8: (12,),
                          9: (22,), 10: (23,), 11: (24,), 12: (25,), 13: (26,), 14: (27,), 15: (28,), 16: (30,)}),
     street_12={2: 7, 3: 7, 4: 7, 6: 7, 14: 11, 15: 10, 16: 10, 17: 8, 21: 11, 23: 9, 24: 0, 26: 1, 27: 2,
                28: 3, 30: 6})

_add('pandaset', '''-, Smoke 808080, Exhaust 808080, Spray or rain 808080, Reflection 808080, Vegetation 2e8b22,
     Ground 98fb98, Road 804080, Lane Line Marking ffffff, Stop Line Marking ffffff, Other Road Marking ffffff,
     Sidewalk f423e8, Driveway fa78e8, Car 2864f0, Pickup Truck 3c50dc, Medium-sized Truck 0000a0, Semi-truck 000078,
     Towed Object 505078, Motorcycle ff7f0e, Other Vehicle - Construction Vehicle 8c8c00,
     Other Vehicle - Uncommon 8c8c32, Other Vehicle - Pedicab 8c8c64, Emergency Vehicle c80000, Bus 00b4c8,
     Personal Mobility Device ff9650, Motorized Scooter ff8c3c, Bicycle ff7828, Train 005064, Trolley 005078,
     Tram / Subway 00508c, Pedestrian dc143c, Pedestrian with Object dc3c50, Animals - Bird a07850,
     Animals - Other a0785a, Pylons ff5a00, Road Barriers be9999, Signs ffdc00, Cones ff6e00, Construction Signs ffc800,
     Temporary Construction Barriers be8c8c, Rolling Containers 787878, Building 9a8c82, Other Static Object b4a05a''',
     street_12=_invert({0: (7, 8, 9, 10), 1: (11, 12), 2: (6,), 3: (41,), 4: (42,), 5: (36,), 6: (5,), 7: (30, 31),
                        8: (13, 14), 9: (15, 16, 19), 10: (23,), 11: (18, 25, 26)}))
