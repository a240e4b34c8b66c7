"""Each source's own look: where its camera sits, its weather and light, its colours and noise."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from unify.sample.camera import RGB, Camera, Light
from unify.sample.dice import Dice


@dataclass(frozen=True, slots=True)
class Look:
    """A camera and the world it drives through. Sizes are (width, height) in pixels."""

    name: str
    sizes: tuple[tuple[int, int], ...]  # true sizes, one picked for each picture
    small: tuple[tuple[int, int], ...]  # sizes for a quick look, likewise
    regions: dict[str, float]
    kinds: dict[str, float]
    weather: dict[str, float]
    view: tuple[float, float]  # focal length as a share of the width, low and high
    horizon: tuple[float, float]  # row of the vanishing point as a share of the height
    eye_m: tuple[float, float]
    ego: dict[str, float]
    contrast: float
    gain: RGB
    lift: RGB
    saturation: float
    vignette: float
    soft: int  # share of a 3 x 3 blur, of 256
    noise: int
    quality: int  # of its JPEGs
    roam: float = 0.0  # chance to stand elsewhere than in one's lane
    jitter: float = 0.25  # how far from the lane's middle it may be, in metres
    gaps: int = 1  # places that annotators leave open, in each picture


LOOKS: dict[str, Look] = {
    "cityscapes": Look(
        name="cityscapes",
        sizes=((2048, 1024),),
        small=((1024, 512),),
        regions={"germany": 1.0},
        kinds={
            "downtown": 3,
            "old town": 2.2,
            "avenue": 2,
            "suburb": 1.6,
            "boulevard": 1.5,
            "canal": 0.8,
            "park": 0.8,
            "industry": 0.8,
            "tunnel": 0.8,
            "country": 0.7,
        },
        weather={"overcast": 5, "clear": 3, "hazy": 1.5},
        view=(1.02, 1.14),
        horizon=(0.41, 0.44),
        eye_m=(1.2, 1.28),
        ego={"bonnet": 1.0, "border": 1.0},
        contrast=0.25,
        gain=(0.99, 1.0, 0.97),
        lift=(0.004, 0.012, 0.008),
        saturation=0.78,
        vignette=0.18,
        soft=60,
        noise=2,
        quality=95,
    ),
    "idd": Look(
        name="idd",
        sizes=((1920, 1080), (1280, 720)),
        small=((960, 540), (640, 360)),
        regions={"india": 1.0},
        kinds={
            "bazaar": 5,
            "village": 3,
            "freeway": 1.4,
            "country": 1,
            "industry": 0.8,
            "boulevard": 1,
            "suburb": 0.8,
            "tunnel": 0.6,
        },
        weather={"hazy": 5, "clear": 2, "golden": 1.5},
        view=(0.72, 0.86),
        horizon=(0.40, 0.47),
        eye_m=(1.35, 1.75),
        ego={"bonnet": 0.25, "border": 0.25},
        contrast=0.12,
        gain=(1.05, 1.0, 0.9),
        lift=(0.03, 0.022, 0.008),
        saturation=0.95,
        vignette=0.12,
        soft=110,
        noise=7,
        quality=88,
    ),
    "bdd100k": Look(
        name="bdd100k",
        sizes=((1280, 720),),
        small=((640, 360),),
        regions={"usa": 1.0},
        kinds={
            "downtown": 3,
            "suburb": 2.4,
            "freeway": 3,
            "boulevard": 2,
            "industry": 1,
            "coast": 0.8,
            "country": 0.8,
            "tunnel": 0.7,
        },
        weather={"clear": 4, "overcast": 2, "night": 2.4, "golden": 1.2, "snow": 0.5},
        view=(0.78, 0.9),
        horizon=(0.44, 0.52),
        eye_m=(1.25, 1.45),
        ego={"dashboard": 0.55, "bonnet": 0.35},
        contrast=0.45,
        gain=(0.98, 1.0, 1.05),
        lift=(-0.01, 0.0, 0.012),
        saturation=1.05,
        vignette=0.34,
        soft=120,
        noise=9,
        quality=82,
    ),
    "mapillary": Look(
        name="mapillary",
        sizes=((4032, 3024), (3264, 2448), (2592, 1944), (1920, 1080), (3840, 2160), (2048, 1536), (3024, 4032)),
        small=((1024, 768), (816, 612), (864, 648), (960, 540), (768, 432), (640, 480), (576, 768)),
        regions={"germany": 2, "usa": 2.5, "north": 1.6, "tropics": 2, "india": 1, "britain": 1.5},
        kinds={
            "downtown": 2,
            "suburb": 2,
            "old town": 1.4,
            "avenue": 1.2,
            "boulevard": 1.2,
            "freeway": 1.6,
            "country": 1.6,
            "canal": 1,
            "coast": 1.3,
            "park": 1,
            "bazaar": 1,
            "village": 1,
            "industry": 1,
            "tunnel": 0.6,
        },
        weather={"clear": 5, "overcast": 2.5, "hazy": 1, "golden": 1.2, "snow": 1.2},
        view=(0.7, 1.05),
        horizon=(0.36, 0.56),
        eye_m=(1.1, 2.3),
        ego={"mount": 0.25, "bonnet": 0.3, "dashboard": 0.08},
        contrast=0.3,
        gain=(1.01, 1.0, 1.0),
        lift=(0.0, 0.0, 0.0),
        saturation=1.12,
        vignette=0.16,
        soft=40,
        noise=5,
        quality=92,
        roam=0.3,
        jitter=0.7,
    ),
    "camvid": Look(
        name="camvid",
        sizes=((960, 720),),
        small=((480, 360),),
        regions={"britain": 1.0},
        kinds={
            "old town": 2,
            "suburb": 2.5,
            "downtown": 1.4,
            "boulevard": 1,
            "park": 1,
            "avenue": 0.7,
            "country": 0.6,
            "canal": 0.6,
            "industry": 0.6,
        },
        weather={"overcast": 4, "hazy": 1.5, "golden": 1.4, "clear": 1},
        view=(0.82, 0.95),
        horizon=(0.42, 0.5),
        eye_m=(1.35, 1.6),
        ego={},
        contrast=0.35,
        gain=(1.0, 1.0, 0.98),
        lift=(0.012, 0.012, 0.02),
        saturation=0.85,
        vignette=0.3,
        soft=130,
        noise=8,
        quality=90,
    ),
    "kitti": Look(
        name="kitti",
        sizes=((1242, 375), (1241, 376), (1226, 370), (1224, 370), (1238, 374)),
        small=((620, 188), (620, 188), (612, 184), (612, 184), (618, 186)),
        regions={"germany": 1.0},
        kinds={
            "suburb": 3,
            "old town": 2,
            "country": 2,
            "freeway": 1.4,
            "downtown": 1,
            "park": 0.8,
            "industry": 0.8,
            "boulevard": 0.6,
        },
        weather={"clear": 5, "overcast": 1.5, "golden": 1},
        view=(0.575, 0.59),
        horizon=(0.44, 0.48),
        eye_m=(1.6, 1.7),
        ego={},
        contrast=0.55,
        gain=(1.02, 1.04, 1.0),
        lift=(-0.01, -0.006, -0.012),
        saturation=0.88,
        vignette=0.06,
        soft=30,
        noise=4,
        quality=95,
    ),
    "acdc": Look(
        name="acdc",
        sizes=((1920, 1080),),
        small=((960, 540),),
        regions={"germany": 1.0},
        kinds={
            "downtown": 2.4,
            "old town": 1.6,
            "suburb": 2.2,
            "country": 1.4,
            "freeway": 1.2,
            "boulevard": 1.2,
            "avenue": 1,
            "industry": 0.8,
            "park": 0.6,
        },
        weather={"fog": 1, "dark": 1, "rain": 1, "snowfall": 1},
        view=(0.62, 0.7),
        horizon=(0.44, 0.5),
        eye_m=(1.3, 1.45),
        ego={"bonnet": 0.2},
        contrast=0.3,
        gain=(1.0, 1.0, 1.02),
        lift=(0.0, 0.0, 0.0),
        saturation=1.0,
        vignette=0.14,
        soft=80,
        noise=5,
        quality=95,
    ),
    "wilddash": Look(
        name="wilddash",
        sizes=((1920, 1080),),
        small=((960, 540),),
        regions={"germany": 1.4, "usa": 2, "north": 1.4, "tropics": 1.6, "india": 1.2, "britain": 1},
        kinds={
            "downtown": 1.6,
            "suburb": 1.6,
            "old town": 1,
            "avenue": 0.8,
            "boulevard": 1,
            "freeway": 1.8,
            "country": 1.8,
            "coast": 0.8,
            "canal": 0.5,
            "park": 0.6,
            "bazaar": 1,
            "village": 1.2,
            "industry": 1,
            "tunnel": 1,
        },
        weather={
            "clear": 3,
            "overcast": 2,
            "hazy": 1,
            "golden": 1,
            "night": 1.2,
            "snow": 1,
            "rain": 1.2,
            "fog": 0.8,
            "snowfall": 0.8,
            "dark": 0.6,
        },
        view=(0.62, 1.0),
        horizon=(0.4, 0.56),
        eye_m=(1.15, 2.2),
        ego={"dashboard": 0.3, "bonnet": 0.35, "mount": 0.12, "border": 0.15},
        contrast=0.4,
        gain=(1.03, 1.0, 0.97),
        lift=(0.008, 0.0, 0.004),
        saturation=1.0,
        vignette=0.26,
        soft=110,
        noise=10,
        quality=84,
        jitter=0.6,
    ),
}


def make_light(weather: str, dice: Dice) -> Light:
    """The light of a kind of weather; the sun stands where it shows the street's form."""
    side = dice.sign() * dice.between(0.35, 0.85)
    high = dice.between(0.55, 0.95)
    deep = -dice.between(0.15, 0.75)
    length = sqrt(side * side + high * high + deep * deep)
    sun = (side / length, high / length, deep / length)
    low_sun = (side, 0.34, deep * 0.8)
    length = sqrt(side * side + 0.34 * 0.34 + deep * deep * 0.64)
    evening = (low_sun[0] / length, low_sun[1] / length, low_sun[2] / length)
    cloud = dice.unit()
    table: dict[str, Light] = {
        "clear": Light(
            ambient=(0.67, 0.71, 0.79),
            sun=(0.70, 0.64, 0.52),
            direction=sun,
            haze=(196, 208, 222),
            haze_m=230,
            sky_top=(84, 138, 206),
            sky_low=(184, 208, 230),
            cloud=0.15 + 0.45 * cloud,
        ),
        "overcast": Light(
            ambient=(0.95, 0.97, 0.99),
            sun=(0.10, 0.10, 0.09),
            direction=(0.0, 1.0, 0.0),
            haze=(204, 208, 212),
            haze_m=190,
            sky_top=(184, 190, 198),
            sky_low=(218, 222, 226),
            cloud=0.75 + 0.2 * cloud,
        ),
        "hazy": Light(
            ambient=(0.74, 0.72, 0.68),
            sun=(0.44, 0.38, 0.28),
            direction=sun,
            haze=(214, 206, 190),
            haze_m=105,
            sky_top=(164, 182, 198),
            sky_low=(222, 214, 198),
            cloud=0.05 + 0.2 * cloud,
        ),
        "golden": Light(
            ambient=(0.76, 0.70, 0.72),
            sun=(0.86, 0.60, 0.32),
            direction=evening,
            haze=(232, 200, 164),
            haze_m=170,
            sky_top=(112, 142, 190),
            sky_low=(246, 206, 150),
            cloud=0.2 + 0.35 * cloud,
        ),
        "snow": Light(
            ambient=(0.84, 0.88, 0.94),
            sun=(0.24, 0.23, 0.22),
            direction=sun,
            haze=(222, 228, 236),
            haze_m=130,
            sky_top=(186, 198, 212),
            sky_low=(226, 230, 236),
            cloud=0.5 + 0.4 * cloud,
        ),
        "night": Light(
            ambient=(0.25, 0.26, 0.34),
            sun=(0.02, 0.02, 0.03),
            direction=(0.0, 1.0, 0.0),
            haze=(26, 26, 36),
            haze_m=130,
            sky_top=(8, 10, 22),
            sky_low=(40, 36, 44),
            cloud=0.2 * cloud,
            night=1.0,
        ),
        "dark": Light(  # a night with few lamps
            ambient=(0.19, 0.16, 0.13),
            sun=(0.0, 0.0, 0.0),
            direction=(0.0, 1.0, 0.0),
            haze=(16, 12, 10),
            haze_m=70,
            sky_top=(6, 5, 6),
            sky_low=(30, 22, 16),
            cloud=0.0,
            night=1.0,
            noise=13,
        ),
        "fog": Light(
            ambient=(0.80, 0.81, 0.82),
            sun=(0.02, 0.02, 0.02),
            direction=(0.0, 1.0, 0.0),
            haze=(196, 199, 201),
            haze_m=11 + 9 * cloud,
            sky_top=(188, 191, 194),
            sky_low=(196, 199, 201),
            cloud=0.0,
            night=0.35,
            noise=4,
        ),
        "rain": Light(
            ambient=(0.50, 0.53, 0.58),
            sun=(0.02, 0.02, 0.02),
            direction=(0.0, 1.0, 0.0),
            haze=(126, 133, 140),
            haze_m=60 + 40 * cloud,
            sky_top=(104, 110, 118),
            sky_low=(142, 148, 154),
            cloud=0.9,
            night=0.55,
            falls="rain",
            noise=6,
        ),
        "snowfall": Light(
            ambient=(0.74, 0.77, 0.82),
            sun=(0.02, 0.02, 0.02),
            direction=(0.0, 1.0, 0.0),
            haze=(206, 210, 216),
            haze_m=50 + 40 * cloud,
            sky_top=(192, 197, 204),
            sky_low=(210, 214, 220),
            cloud=0.9,
            night=0.25,
            falls="snow",
            noise=4,
        ),
    }
    return table[weather]


def focal_length(look: Look, dice: Dice, width: int, height: int) -> float:
    """In pixels; a picture taken upright has its view measured along its height."""
    return dice.between(*look.view) * (width if width >= height else height * 0.86)


def make_camera(look: Look, dice: Dice, size: tuple[int, int], focal_px: float, x_m: float, on_foot: bool) -> Camera:
    """Where this picture is taken from: about `x_m` aside of the road's axis, by car or `on_foot`."""
    width, height = size
    eye = dice.between(1.5, 1.8) if on_foot else dice.between(*look.eye_m)
    x = x_m + (0.0 if on_foot else dice.around(0.0, look.jitter))
    aim = dice.around(0.5, 0.05) - 0.03 * (1 if x > 0 else -1)
    return Camera(
        width,
        height,
        focal_px=focal_px,
        centre_px=width * aim,
        horizon_px=height * dice.between(*look.horizon),
        x_m=x,
        y_m=eye,
        bend=dice.around(0.0, 0.0007) if dice.chance(0.7) else 0.0,
        rise=dice.between(0.0, 0.00025) if dice.chance(0.25) else 0.0,
    )
