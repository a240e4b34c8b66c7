"""The rarer things of a street. A scene is dealt some of them, so that each is seen often enough."""

from __future__ import annotations

from dataclasses import dataclass

from unify.sample.layout import actors, kerbside, marks, places
from unify.sample.layout.kerbside import Placer


@dataclass(frozen=True, slots=True)
class Feature:
    """Something rarer: how it is placed, in which kinds of street, and whether it is ground."""

    place: Placer
    kinds: frozenset[str] | None = None  # None: anywhere
    ground: bool = False


URBAN = frozenset({"downtown", "old town", "avenue", "boulevard", "canal", "coast", "suburb", "bazaar"})
TOWN = URBAN | {"park", "industry"}
PAVED = TOWN - {"bazaar"}
QUIET = frozenset({"suburb", "park", "country", "village", "coast", "canal", "bazaar", "old town"})
FAST = frozenset({"freeway", "boulevard", "country", "tunnel", "industry", "downtown"})
OPEN_ROAD = frozenset({"country", "village", "industry", "suburb", "bazaar"})
PLAIN_CENTRE = frozenset({"downtown", "suburb", "coast", "industry", "bazaar", "village", "park"})
GREY = ((134, 142, 132), (160, 164, 160), (110, 124, 112))

FEATURES: dict[str, Feature] = {
    "zebra": Feature(places.zebra_crossing, TOWN, True),
    "paved crossing": Feature(places.paved_crossing, URBAN, True),
    "signals": Feature(places.signals, TOWN | {"boulevard"}, True),
    "turn arrows": Feature(
        marks.turn_arrows,
        frozenset({"downtown", "boulevard", "freeway", "avenue", "industry", "suburb", "coast", "tunnel"}),
        True,
    ),
    "give way": Feature(marks.give_way, PLAIN_CENTRE | {"country"}, True),
    "stop place": Feature(marks.stop_place, PLAIN_CENTRE | {"country"}, True),
    "closed wedge": Feature(marks.closed_wedge, FAST, True),
    "hatching": Feature(marks.hatching, None, True),
    "zigzag": Feature(marks.zigzags, TOWN, True),
    "bicycle marks": Feature(marks.bicycle_marks, TOWN, True),
    "lettering": Feature(marks.lettering, None, True),
    "speed mark": Feature(marks.speed_mark, None, True),
    "worn lines": Feature(marks.worn_lines, None, True),
    "iron covers": Feature(marks.iron_covers, TOWN, True),
    "drains": Feature(marks.drains, TOWN, True),
    "potholes": Feature(marks.potholes, None, True),
    "service lane": Feature(
        places.service_lane, frozenset({"downtown", "boulevard", "freeway", "industry", "tunnel"}), True
    ),
    "bike path": Feature(places.bike_path, frozenset({"downtown", "avenue", "boulevard", "coast", "park"}), True),
    "gravel": Feature(places.gravel_patch, QUIET | {"industry"}, True),
    "square": Feature(places.square, frozenset({"downtown", "old town", "avenue", "canal", "boulevard"}), True),
    "parking lot": Feature(
        places.parking_lot, frozenset({"downtown", "suburb", "boulevard", "coast", "industry", "avenue"}), True
    ),
    "garden house": Feature(
        places.garden_house, frozenset({"boulevard", "coast", "park", "industry", "village", "country"}), True
    ),
    "island": Feature(places.island, PLAIN_CENTRE, True),
    "railway": Feature(places.railway, OPEN_ROAD, True),
    "overpass": Feature(
        places.overpass, frozenset({"freeway", "boulevard", "industry", "downtown", "village", "country"})
    ),
    "town gate": Feature(places.town_gate, frozenset({"old town"})),
    "gantry": Feature(kerbside.gantry, FAST - {"country"}),
    "lane lights": Feature(kerbside.lane_light, frozenset({"boulevard", "downtown", "tunnel"})),
    "direction": Feature(kerbside.direction_front, None),
    "direction back": Feature(kerbside.direction_back, None),
    "banner": Feature(kerbside.banner_across, URBAN),
    "flags": Feature(kerbside.banner_flags, URBAN),
    "blocks": Feature(kerbside.blocks, FAST | {"village"}),
    "separators": Feature(
        kerbside.separators, frozenset({"downtown", "industry", "bazaar", "village", "coast", "tunnel"})
    ),
    "roadworks": Feature(places.roadworks, None),
    "works opposite": Feature(places.works_other_side, None),
    "far signs": Feature(kerbside.far_signs, None),
    "bench": Feature(kerbside.benches, PAVED),
    "cafe": Feature(kerbside.cafe, frozenset({"old town", "avenue", "canal", "coast", "downtown"})),
    "meters": Feature(kerbside.meters, frozenset({"downtown", "boulevard", "avenue", "coast", "canal"})),
    "bike rack": Feature(kerbside.rack, PAVED),
    "hydrant": Feature(kerbside.at_kerb("hydrant", (0.4, 0.85, 0.4), ((198, 54, 44), (226, 190, 50)), count=2), TOWN),
    "mailbox": Feature(kerbside.mailboxes, TOWN),
    "junction box": Feature(kerbside.at_wall("cabinet", (1.1, 1.3, 0.4), GREY, variant="junction box", count=2), None),
    "phone booth": Feature(
        kerbside.at_wall(
            "cabinet",
            (0.95, 2.35, 0.95),
            ((176, 40, 46), (60, 90, 130), (190, 60, 130)),
            variant="phone booth",
            reach=1.0,
        ),
        TOWN,
    ),
    "bins": Feature(
        kerbside.at_kerb(
            "bin", (0.55, 0.95, 0.55), ((70, 92, 70), (90, 94, 98), (196, 110, 40)), variant="round", count=3
        ),
        TOWN,
    ),
    "wheeled bins": Feature(
        kerbside.at_wall(
            "bin", (0.6, 1.1, 0.6), ((60, 84, 64), (64, 68, 74), (50, 80, 120)), variant="wheeled", count=3
        ),
        None,
    ),
    "cctv": Feature(kerbside.at_kerb("cctv", (0.3, 4.2, 0.3), ((224, 226, 228),), count=2), TOWN | FAST),
    "pole group": Feature(
        kerbside.at_kerb("pole", (0.1, 4.0, 1.2), ((140, 142, 144),), variant="group", reach=1.2), None
    ),
    "city poster": Feature(
        kerbside.at_kerb("billboard", (1.3, 2.6, 0.2), ((236, 228, 206), (206, 220, 230)), variant="city", count=2),
        URBAN,
    ),
    "billboard": Feature(
        kerbside.at_wall(
            "billboard", (4.4, 6.4, 0.3), ((236, 226, 196), (190, 214, 230), (240, 200, 170)), variant="big", reach=2.0
        ),
        None,
    ),
    "billboard back": Feature(
        kerbside.at_wall("billboard", (3.6, 5.2, 0.3), ((118, 112, 106),), variant="back", reach=2.0), None
    ),
    "info board": Feature(
        kerbside.at_wall("billboard", (0.95, 1.9, 0.2), ((60, 110, 96), (50, 80, 120)), variant="info", count=2), TOWN
    ),
    "stand": Feature(
        kerbside.at_wall(
            "billboard", (0.65, 1.05, 0.4), ((40, 42, 44), (236, 226, 190), (190, 60, 60)), variant="stand", count=3
        ),
        URBAN,
    ),
    "stall": Feature(
        kerbside.at_wall(
            "fixed",
            (2.2, 2.3, 1.4),
            ((196, 70, 60), (230, 200, 120), (70, 120, 110)),
            variant="stall",
            reach=1.6,
            turn=True,
        ),
        URBAN,
    ),
    "loose": Feature(kerbside.at_wall("loose", (0.9, 0.6, 0.8), ((150, 118, 84),), count=3), None),
    "crowd": Feature(actors.crowd, URBAN),
    "children": Feature(actors.children, TOWN),
    "pram": Feature(actors.pushed("pram"), TOWN),
    "wheelchair": Feature(actors.pushed("wheelchair"), TOWN),
    "handcart": Feature(actors.pushed("cart"), frozenset({"bazaar", "village", "old town", "coast"})),
    "dog": Feature(actors.dog, TOWN),
    "cow": Feature(actors.cow, frozenset({"bazaar", "village"})),
    "horse": Feature(actors.horse, QUIET),
    "kick scooter": Feature(actors.kick_scooter, URBAN),
    "birds": Feature(actors.birds, TOWN | {"village", "country"}),
    "caravan": Feature(actors.towed("caravan"), None),
    "trailer": Feature(actors.towed("trailer"), None),
    "bus": Feature(actors.in_lane("bus"), None),
    "truck": Feature(actors.in_lane("truck"), None),
    "motorcycle": Feature(actors.in_lane("motorcycle"), None),
    "bicycle": Feature(actors.in_lane("bicycle"), TOWN | QUIET),
    "pickup": Feature(actors.in_lane("pickup"), None),
    "van": Feature(actors.in_lane("van"), None),
    "rickshaw": Feature(actors.in_lane("rickshaw"), frozenset({"bazaar", "village", "suburb", "downtown", "coast"})),
    "tractor": Feature(actors.tractor, frozenset({"country", "village", "industry"})),
    "two wheels": Feature(kerbside.two_wheels, TOWN),
    "bollards": Feature(kerbside.bollards, PAVED),
    "turning car": Feature(actors.turning_car, TOWN - {"avenue", "boulevard"}),
}
