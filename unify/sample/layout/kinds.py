"""The streets there are, and the parts of the world they lie in: literal tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from unify.sample.camera import RGB


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of street. Lengths in metres; shares and densities as said."""

    lanes: int  # in each direction
    lane_m: float
    centre: str  # "dashed", "solid", "tram", "median", "barrier" or "none"
    walk_m: float  # pavement; 0: none
    verge_m: float  # grass or dirt between kerb and what stands along the road
    fronts: dict[str, float]  # what stands along the road, by weight
    height_m: tuple[float, float]  # of buildings
    base: str = "sidewalk"  # concept of open ground
    parking: float = 0.0  # chance of a parking lane on each side
    bike: float = 0.0  # chance of a bike lane
    trees: float = 0.0  # share of tree places that are planted
    lamps: str = "arm"
    shops: float = 0.0  # share of buildings with shops
    cars: float = 0.5  # vehicles per 20 m and lane
    people: float = 0.5  # people per 10 m of pavement
    side_street: float = 0.0  # chance of a crossing road within sight
    far: tuple[str, ...] = ("skyline",)  # what closes the view
    surface: str = ""  # texture of the carriageway; asphalt where empty
    shoulder: str = ""  # concept along the carriageway where there is no kerb
    setback: tuple[float, float] = (0.0, 0.0)  # of buildings from the pavement


KINDS: dict[str, Kind] = {
    "downtown": Kind(
        lanes=2,
        lane_m=3.2,
        centre="dashed",
        walk_m=4.0,
        verge_m=0.0,
        fronts={"modern": 5, "town": 1},
        height_m=(14, 34),
        parking=0.5,
        bike=0.4,
        trees=0.4,
        shops=0.8,
        cars=0.8,
        people=0.9,
        side_street=0.9,
    ),
    "old town": Kind(
        lanes=1,
        lane_m=3.0,
        centre="none",
        walk_m=2.8,
        verge_m=0.0,
        fronts={"town": 1},
        height_m=(8, 15),
        base="pedestrian area",
        parking=0.5,
        trees=0.08,
        lamps="post",
        shops=0.75,
        cars=0.35,
        people=1.3,
        side_street=0.4,
        surface="cobbles",
        far=("far trees",),
    ),
    "suburb": Kind(
        lanes=1,
        lane_m=3.2,
        centre="dashed",
        walk_m=2.0,
        verge_m=1.6,
        fronts={"house": 5, "green": 1},
        height_m=(5, 7),
        base="grass",
        parking=0.35,
        bike=0.3,
        trees=0.55,
        cars=0.35,
        people=0.35,
        side_street=0.5,
        far=("far trees", "mountain"),
        setback=(5.0, 9.0),
    ),
    "avenue": Kind(
        lanes=1,
        lane_m=3.2,
        centre="tram",
        walk_m=3.6,
        verge_m=0.0,
        fronts={"town": 3, "modern": 2},
        height_m=(13, 22),
        parking=0.6,
        bike=0.5,
        trees=0.8,
        shops=0.6,
        cars=0.5,
        people=0.9,
        side_street=0.6,
    ),
    "boulevard": Kind(
        lanes=2,
        lane_m=3.2,
        centre="median",
        walk_m=3.4,
        verge_m=1.0,
        fronts={"modern": 3, "town": 1, "green": 1, "lot": 0.5},
        height_m=(12, 26),
        parking=0.3,
        bike=0.6,
        trees=0.75,
        shops=0.4,
        cars=0.7,
        people=0.5,
        side_street=0.7,
        lamps="double",
    ),
    "freeway": Kind(
        lanes=3,
        lane_m=3.6,
        centre="barrier",
        walk_m=0.0,
        verge_m=5.0,
        fronts={"green": 4, "noise": 3, "hall": 1},
        height_m=(7, 11),
        base="grass",
        trees=0.35,
        cars=0.75,
        people=0.0,
        far=("mountain", "far trees"),
        shoulder="road shoulder",
    ),
    "country": Kind(
        lanes=1,
        lane_m=3.3,
        centre="solid",
        walk_m=0.0,
        verge_m=6.0,
        fronts={"green": 6, "house": 1},
        height_m=(5, 7),
        base="grass",
        trees=0.5,
        cars=0.35,
        people=0.05,
        far=("mountain", "far trees"),
        shoulder="road side",
        lamps="none",
        setback=(4.0, 10.0),
    ),
    "canal": Kind(
        lanes=1,
        lane_m=3.0,
        centre="none",
        walk_m=2.6,
        verge_m=0.0,
        fronts={"water": 1, "town": 1},
        height_m=(9, 16),
        parking=0.4,
        trees=0.6,
        lamps="post",
        shops=0.4,
        cars=0.3,
        people=0.8,
        far=("skyline", "far trees"),
        surface="paving",
    ),
    "coast": Kind(
        lanes=1,
        lane_m=3.3,
        centre="dashed",
        walk_m=3.0,
        verge_m=0.0,
        fronts={"beach": 1, "modern": 2, "house": 1},
        height_m=(6, 16),
        parking=0.5,
        bike=0.6,
        trees=0.5,
        shops=0.5,
        cars=0.45,
        people=0.7,
        far=("mountain",),
        setback=(0.0, 2.0),
    ),
    "park": Kind(
        lanes=1,
        lane_m=3.0,
        centre="none",
        walk_m=2.4,
        verge_m=2.5,
        fronts={"green": 1},
        height_m=(5, 7),
        base="grass",
        bike=0.6,
        trees=0.95,
        lamps="post",
        cars=0.25,
        people=0.9,
        far=("far trees",),
    ),
    "bazaar": Kind(
        lanes=1,
        lane_m=3.4,
        centre="none",
        walk_m=1.8,
        verge_m=1.2,
        fronts={"bazaar": 1},
        height_m=(5, 12),
        base="dirt",
        parking=0.25,
        trees=0.15,
        lamps="utility",
        shops=0.95,
        cars=0.9,
        people=1.4,
        side_street=0.5,
        shoulder="dirt",
        far=("skyline", "far trees"),
    ),
    "village": Kind(
        lanes=1,
        lane_m=3.2,
        centre="dashed",
        walk_m=0.0,
        verge_m=4.0,
        fronts={"bazaar": 2, "green": 3, "wall": 1},
        height_m=(3.5, 7),
        base="dirt",
        trees=0.6,
        lamps="utility",
        shops=0.6,
        cars=0.5,
        people=0.6,
        far=("far trees", "mountain"),
        shoulder="dirt",
        setback=(0.5, 3.0),
    ),
    "industry": Kind(
        lanes=1,
        lane_m=3.5,
        centre="dashed",
        walk_m=2.0,
        verge_m=1.0,
        fronts={"hall": 3, "wall": 2, "mesh": 2, "lot": 2},
        height_m=(6, 10),
        base="gravel",
        parking=0.4,
        trees=0.2,
        cars=0.5,
        people=0.2,
        far=("skyline", "far trees"),
    ),
    "tunnel": Kind(
        lanes=2,
        lane_m=3.4,
        centre="solid",
        walk_m=0.0,
        verge_m=1.0,
        fronts={"tunnel": 1},
        height_m=(7, 9),
        base="road shoulder",
        cars=0.6,
        people=0.0,
        lamps="none",
        shoulder="road shoulder",
        far=("far trees",),
    ),
}


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the world: which side one drives on, and how things look there."""

    left_hand: bool
    yellow_centre: bool
    yellow_plates: bool
    warm: bool  # people of a hot country
    vehicles: dict[str, float]
    plaster: tuple[RGB, ...]
    trees: dict[str, float]
    leaf: RGB
    light: str  # usual traffic light
    warning: str  # usual warning sign
    guide: RGB  # colour of direction boards
    bus: tuple[RGB, ...]
    mail: RGB
    skip: frozenset[str] = field(default_factory=frozenset)  # features that do not occur there


_PASTEL: tuple[RGB, ...] = (
    (214, 194, 158),
    (226, 214, 190),
    (196, 158, 122),
    (178, 182, 184),
    (208, 176, 156),
    (190, 110, 84),
    (202, 206, 196),
    (168, 140, 118),
    (222, 206, 170),
    (150, 158, 164),
)
_BRICK: tuple[RGB, ...] = (
    (158, 92, 74),
    (176, 118, 92),
    (206, 198, 184),
    (188, 180, 170),
    (134, 96, 80),
    (222, 216, 204),
    (160, 164, 168),
)
_PAINTED: tuple[RGB, ...] = (
    (226, 200, 140),
    (198, 150, 120),
    (150, 186, 190),
    (226, 214, 196),
    (206, 140, 120),
    (170, 196, 150),
    (236, 226, 210),
    (196, 170, 190),
    (140, 160, 190),
)

_INDIA_ONLY = frozenset({"rickshaw", "cow", "handcart"})

REGIONS: dict[str, Region] = {
    "germany": Region(
        left_hand=False,
        yellow_centre=False,
        yellow_plates=False,
        warm=False,
        vehicles={
            "sedan": 3,
            "hatch": 4,
            "estate": 3,
            "suv": 2,
            "van": 1.2,
            "truck": 0.5,
            "motorcycle": 0.25,
            "bicycle": 0.7,
        },
        plaster=_PASTEL,
        trees={"broad": 4, "slim": 2, "conifer": 0.6},
        leaf=(76, 98, 54),
        light="upright",
        warning="warning",
        guide=(244, 196, 60),
        bus=((206, 52, 44), (226, 186, 60), (60, 96, 150)),
        mail=(238, 196, 40),
        skip=_INDIA_ONLY,
    ),
    "usa": Region(
        left_hand=False,
        yellow_centre=True,
        yellow_plates=False,
        warm=False,
        vehicles={
            "sedan": 3,
            "suv": 4,
            "pickup": 2.4,
            "hatch": 1,
            "van": 1,
            "truck": 0.9,
            "motorcycle": 0.15,
            "bicycle": 0.2,
        },
        plaster=_BRICK,
        trees={"broad": 4, "slim": 1, "conifer": 1.4},
        leaf=(80, 100, 56),
        light="horizontal",
        warning="hazard",
        guide=(22, 116, 84),
        bus=((236, 236, 232), (60, 100, 160), (226, 150, 50)),
        mail=(44, 74, 136),
        skip=_INDIA_ONLY,
    ),
    "india": Region(
        left_hand=True,
        yellow_centre=False,
        yellow_plates=True,
        warm=True,
        vehicles={
            "hatch": 3,
            "sedan": 1.4,
            "suv": 1.4,
            "van": 0.8,
            "rickshaw": 3,
            "motorcycle": 4.5,
            "truck": 1.6,
            "bicycle": 0.6,
            "bus": 0.8,
        },
        plaster=_PAINTED,
        trees={"broad": 4, "palm": 1.4},
        leaf=(92, 106, 60),
        light="upright",
        warning="warning",
        guide=(28, 104, 66),
        bus=((190, 60, 50), (70, 120, 80), (220, 170, 60)),
        mail=(190, 40, 40),
        skip=frozenset({"hydrant", "meter", "tram", "snow"}),
    ),
    "britain": Region(
        left_hand=True,
        yellow_centre=False,
        yellow_plates=True,
        warm=False,
        vehicles={
            "hatch": 4,
            "sedan": 2,
            "estate": 2,
            "suv": 1.6,
            "van": 1.4,
            "truck": 0.5,
            "motorcycle": 0.2,
            "bicycle": 1.0,
        },
        plaster=_BRICK,
        trees={"broad": 4, "slim": 1},
        leaf=(76, 102, 60),
        light="upright",
        warning="warning",
        guide=(26, 96, 76),
        bus=((190, 36, 40), (60, 96, 140)),
        mail=(190, 34, 40),
        skip=_INDIA_ONLY | frozenset({"hydrant"}),
    ),
    "tropics": Region(
        left_hand=False,
        yellow_centre=True,
        yellow_plates=False,
        warm=True,
        vehicles={
            "sedan": 2,
            "hatch": 3,
            "pickup": 2,
            "van": 1.4,
            "motorcycle": 3.5,
            "truck": 1,
            "rickshaw": 0.7,
            "bicycle": 0.8,
            "bus": 0.6,
        },
        plaster=_PAINTED,
        trees={"palm": 3, "broad": 3},
        leaf=(82, 112, 60),
        light="horizontal",
        warning="hazard",
        guide=(28, 96, 160),
        bus=((70, 150, 90), (230, 200, 70), (200, 70, 60)),
        mail=(230, 190, 50),
        skip=frozenset({"snow"}),
    ),
    "north": Region(
        left_hand=False,
        yellow_centre=False,
        yellow_plates=False,
        warm=False,
        vehicles={"estate": 3, "suv": 3, "hatch": 2, "sedan": 2, "van": 1.2, "truck": 0.8, "bicycle": 0.6},
        plaster=_PASTEL,
        trees={"conifer": 4, "bare": 3, "broad": 0.6},
        leaf=(62, 86, 64),
        light="upright",
        warning="warning",
        guide=(40, 86, 160),
        bus=((50, 110, 170), (206, 60, 50)),
        mail=(226, 150, 40),
        skip=_INDIA_ONLY,
    ),
}
