"""What the sources' terms say about passing their data on: facts for `unify push`, exports and docs/datasets.md.

No legal advice. Each entry is what the dataset's own page or licence text said when it was written down, with how sure
that is; the address is where to look again. Labels in another label space are still modified copies of a dataset's
annotations, so that terms which forbid "modified versions" forbid them, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: May it be given to others? "conditions": if `conditions` are kept. "unclear": nothing says so, hence not without
#: asking.
Sharing = Literal["no", "conditions", "unclear"]
Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True, slots=True)
class Licence:
    """Terms of one dataset. `name` in a few words; `hub` as Hugging Face's `license` field has it."""

    name: str
    images: Sharing
    labels: Sharing
    conditions: str
    non_commercial: bool
    attribution: bool
    url: str
    confidence: Confidence
    hub: str = "other"


LICENCES: dict[str, Licence] = {
    "cityscapes": Licence(
        name="Cityscapes terms of use",
        images="no",
        labels="no",
        conditions="neither the dataset nor modified versions may be distributed; trained models may",
        non_commercial=True,
        attribution=True,
        url="https://www.cityscapes-dataset.com/license/",
        confidence="high",
    ),
    "idd": Licence(
        name="IDD terms of use",
        images="no",
        labels="no",
        conditions="terms accepted at download; neither the dataset nor modified versions may be distributed",
        non_commercial=True,
        attribution=True,
        url="https://idd.insaan.iiit.ac.in",
        confidence="medium",
    ),
    "bdd100k": Licence(
        name="BDD100K licence (University of California)",
        images="conditions",
        labels="conditions",
        conditions="educational, research and not-for-profit use; its copyright notice and disclaimer go along",
        non_commercial=True,
        attribution=True,
        url="https://doc.bdd100k.com/license.html",
        confidence="high",
    ),
    "mapillary": Licence(
        name="CC BY-NC-SA 4.0 (research edition)",
        images="conditions",
        labels="conditions",
        conditions="attribution, non-commercial use, adaptations under the same licence",
        non_commercial=True,
        attribution=True,
        url="https://www.mapillary.com/dataset/vistas",
        confidence="high",
        hub="cc-by-nc-sa-4.0",
    ),
    "camvid": Licence(
        name="no licence text found, often quoted as CC BY-NC",
        images="unclear",
        labels="unclear",
        conditions="its own page says nothing about it",
        non_commercial=True,
        attribution=True,
        url="http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
        confidence="low",
    ),
    "kitti": Licence(
        name="CC BY-NC-SA 3.0",
        images="conditions",
        labels="conditions",
        conditions="attribution, non-commercial use, adaptations under the same licence",
        non_commercial=True,
        attribution=True,
        url="https://www.cvlibs.net/datasets/kitti/",
        confidence="high",
        hub="cc-by-nc-sa-3.0",
    ),
    "acdc": Licence(
        name="ACDC licence",
        images="no",
        labels="no",
        conditions="neither the dataset nor modified versions may be distributed; trained models may",
        non_commercial=True,
        attribution=True,
        url="https://acdc.vision.ee.ethz.ch/license",
        confidence="medium",
    ),
    "wilddash": Licence(
        name="CC BY-NC 4.0",
        images="conditions",
        labels="conditions",
        conditions="attribution, non-commercial use; its images come from many authors",
        non_commercial=True,
        attribution=True,
        url="https://wilddash.cc/license/wilddash",
        confidence="medium",
        hub="cc-by-nc-4.0",
    ),
    "voc": Licence(
        name="Flickr terms of use (images)",
        images="unclear",
        labels="unclear",
        conditions="each image is its Flickr author's; no licence is stated for the annotations",
        non_commercial=False,
        attribution=True,
        url="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        confidence="medium",
    ),
    "context": Licence(
        name="Flickr terms of use (images)",
        images="unclear",
        labels="unclear",
        conditions="each image is its Flickr author's; no licence is stated for the annotations",
        non_commercial=False,
        attribution=True,
        url="https://www.cs.stanford.edu/~roozbeh/pascal-context/",
        confidence="medium",
    ),
    "nyu": Licence(
        name="no licence stated",
        images="unclear",
        labels="unclear",
        conditions="its page says nothing about it",
        non_commercial=False,
        attribution=True,
        url="https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html",
        confidence="medium",
    ),
}

#: What each kind of sharing is called.
VERDICTS: dict[Sharing, str] = {
    "no": "not to be passed on",
    "conditions": "may be passed on, with conditions",
    "unclear": "passing on is not settled",
}

#: Of a source that is not in `LICENCES`, as datasets of the user's own.
UNKNOWN = Licence(
    name="unknown",
    images="unclear",
    labels="unclear",
    conditions="a dataset that unify does not know",
    non_commercial=False,
    attribution=False,
    url="",
    confidence="low",
)


def licence_of(source: str) -> Licence:
    """The terms of a source by name; `UNKNOWN` of one that is not known."""
    return LICENCES.get(source, UNKNOWN)


def obstacles(sources: Mapping[str, Mapping[str, Any]], *, labels_only: bool = False) -> dict[str, str]:
    """Source → why it may not simply be passed on. Empty if nothing is in the way.

    `sources`: of a manifest; what `unify sample` generated is free to share.
    """
    found = {}
    for source, facts in sources.items():
        licence = licence_of(source)
        sharing = licence.labels if labels_only else licence.images
        if facts["generated"] or sharing == "conditions":
            continue
        verb = "forbid passing it on" if sharing == "no" else "do not say that it may be passed on"
        found[source] = f"its terms ({licence.name}) {verb}: {licence.conditions}{_where(licence)}"
    return found


def notice(sources: Mapping[str, Mapping[str, Any]], kept: Iterable[str]) -> list[str]:
    """A line for each of the sources `kept`: its licence, whether it may be passed on, and on what conditions."""
    return [f"{source}: {_line(source, generated=sources[source]['generated'])}" for source in kept]


def _line(source: str, *, generated: bool) -> str:
    if generated:
        return "generated by `unify sample`, free to share"
    licence = licence_of(source)
    return f"{licence.name} ({VERDICTS[licence.images]}): {licence.conditions}{_where(licence)}"


def _where(licence: Licence) -> str:
    return f" ({licence.url})" if licence.url else ""


def hub_licence(sources: Mapping[str, Mapping[str, Any]]) -> str:
    """What belongs in the `license` field of a dataset card on the Hub: one licence that holds for all, or "other"."""
    real = {licence_of(source).hub for source, facts in sources.items() if not facts["generated"]}
    return real.pop() if len(real) == 1 else "other"
