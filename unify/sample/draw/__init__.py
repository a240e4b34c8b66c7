"""How each kind of thing is painted: one function a kind, picture and concept in one go."""

from __future__ import annotations

from collections.abc import Callable

from unify.sample.canvas import Canvas
from unify.sample.draw import (
    buildings,
    clutter,
    cycles,
    nature,
    oddities,
    people,
    poles,
    signs,
    structures,
    transit,
    trucks,
    vehicles,
)
from unify.sample.scene import Thing

#: kind of a `Thing` -> the function that paints it
PAINTERS: dict[str, Callable[[Canvas, Thing], None]] = {
    "animal": people.paint_animal,
    "barrier": structures.paint_barrier,
    "bench": clutter.paint_bench,
    "bicycle": cycles.paint_bicycle,
    "bike rack": cycles.paint_bike_rack,
    "billboard": signs.paint_billboard,
    "banner": poles.paint_banner,
    "bin": clutter.paint_bin,
    "bird": nature.paint_bird,
    "boat": oddities.paint_boat,
    "boom": structures.paint_boom,
    "bridge": structures.paint_bridge,
    "building": buildings.paint_building,
    "bus": transit.paint_bus,
    "cabinet": clutter.paint_cabinet,
    "car": vehicles.paint_car,
    "cctv": poles.paint_cctv,
    "cone": clutter.paint_cone,
    "direction": signs.paint_direction,
    "fence": structures.paint_fence,
    "fixed": clutter.paint_fixed,
    "gantry": signs.paint_gantry,
    "guard rail": structures.paint_guard_rail,
    "hedge": nature.paint_hedge,
    "hydrant": clutter.paint_hydrant,
    "kick scooter": cycles.paint_kick_scooter,
    "loose": clutter.paint_loose,
    "machine": oddities.paint_machine,
    "meter": clutter.paint_meter,
    "motorcycle": cycles.paint_motorcycle,
    "person": people.paint_person,
    "pole": poles.paint_pole,
    "portal": structures.paint_portal,
    "rickshaw": oddities.paint_rickshaw,
    "sign": signs.paint_sign,
    "sitter": people.paint_sitter,
    "street light": poles.paint_street_light,
    "traffic light": poles.paint_traffic_light,
    "trailer": trucks.paint_trailer,
    "tram": transit.paint_tram,
    "tree": nature.paint_tree,
    "truck": trucks.paint_truck,
    "vault": structures.paint_vault,
    "wall": structures.paint_wall,
    "wires": poles.paint_wires,
}
