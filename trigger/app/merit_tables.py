"""What a tagger or a detector is worth: float, quantised and firmware side by side, as tables of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trigger.app.page_parts import Cell, Table

FORMS = ("float", "quantised", "firmware")


def _side_by_side(title: str, rows: Sequence[tuple[str, Sequence[Cell], Cell]], note: str = "") -> Table:
    columns = ("figure", *FORMS, "float - firmware")
    return Table(
        title=title, columns=columns, rows=tuple((name, *forms, loss) for name, forms, loss in rows), note=note
    )


def tagger_tables(performance: Mapping[str, Any]) -> list[Table]:
    """A tagger in every form, against its baseline, and its correction of pT; `performance` as `performance.json` has it."""
    quality = [performance["performance"][form] for form in FORMS]
    rows: list[tuple[str, Sequence[Cell], Cell]] = [
        ("accuracy", [one["accuracy"] for one in quality], performance["accuracy_loss"]["firmware"]),
        ("macro AUC", [one["macro_auc"] for one in quality], performance["auc_loss"]["firmware"]),
    ]
    for what, title in (("auc", "AUC"), ("rejection_at_half_efficiency", "rejection at half efficiency")):
        rows += [(f"{title}, {name}", [one[what][name] for one in quality], "") for name in quality[0][what]]
    rows.append(("same class as float", ["", *(performance["agreement"][form] for form in FORMS[1:])], ""))
    tables = [_side_by_side(f"Figures of merit on {performance['test_rows']:,} held-out rows", rows)]
    if gains := performance.get("auc_gain"):
        shown = tuple(
            (form, performance["performance"][form]["macro_auc"], performance["baseline"][form]["macro_auc"], gain)
            for form, gain in gains.items()
        )
        columns = ("form", "macro AUC", "macro AUC of the baseline", "gain, paired")
        tables.append(Table(title="Against the baseline on the same rows", columns=columns, rows=shown))
    if "correction" in performance:
        tables.append(_correction(performance["correction"]))
    return tables


def _correction(bins: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for one in bins:
        name = "all" if one["pt_gev"] is None else f"{one['pt_gev'][0]:g} to {one['pt_gev'][1]:g}"
        sets = {"before": one["before"], **one["after"]}
        for form, response in sets.items():
            known = response or {"bias": None, "resolution": None}
            gain = one["resolution_gain"].get(form) if form != "before" else ""
            rows.append((name, one["jets"], form, known["bias"], known["resolution"], gain))
    columns = ("true pT, GeV", "jets", "correction", "bias", "resolution", "resolution gained, paired")
    return Table(title="Correction of pT", columns=columns, rows=tuple(rows))


def detector_tables(performance: Mapping[str, Any]) -> list[Table]:
    """A detector of anomalies in every form, against cuts, and the inverse task."""
    detection = performance["detection"]
    quality = [detection["performance"][form] for form in FORMS]
    rows: list[tuple[str, Sequence[Cell], Cell]] = [
        ("mean AUC over the signals", [one["mean_auc"] for one in quality], detection["mean_auc_loss"]["firmware"])
    ]
    rows += [
        (f"AUC, {signal}", [one["auc"][signal] for one in quality], detection["auc_loss"]["firmware"][signal])
        for signal in quality[0]["auc"]
    ]
    background = (
        f"Background: {', '.join(detection['background'])}; effective rows {detection['background_events']:,.0f}."
    )
    tables = [_side_by_side(f"Figures of merit on {performance['test_rows']:,} held-out rows", rows, background)]
    for number, point in enumerate(quality[0]["points"]):
        points = [one["points"][number] for one in quality]
        losses = detection["efficiency_loss"]["firmware"][number]
        shown: list[tuple[str, Sequence[Cell], Cell]] = [("share reached", [one["reached"] for one in points], "")]
        shown += [
            (f"efficiency, {signal}", [one["efficiency"][signal] for one in points], losses.get(signal))
            for signal in point["efficiency"]
        ]
        tables.append(_side_by_side(f"Efficiencies at {point['fraction']:g} of the background", shown))
    if "cuts" in performance:
        tables.append(_cuts(performance["cuts"]))
    if "inverse" in performance:
        inverse = performance["inverse"]
        areas = tuple(inverse["performance"]["float"]["auc"].items())
        title = f"Inverse task: trained on {', '.join(inverse['background'])}, float"
        tables.append(Table(title=title, columns=("signal", "AUC"), rows=areas))
    return tables


def _cuts(cuts: Mapping[str, Any]) -> Table:
    rows = []
    for signal, one in cuts["signals"].items():
        known = one or {}
        chosen = ", ".join(dict.fromkeys(known.get("chosen", []))) or None
        rows.append((signal, *(known.get(key) for key in ("score", "best_cut")), chosen,
                     *(_estimate(known.get(key))
                     for key in ("gain_over_best_cut", "gain_over_menu", "gain_beside_menu"))))  # fmt: skip
    columns = (
        "signal",
        "score",
        "best single cut",
        "which cut",
        "gain over it",
        "gain over the menu",
        "gain beside the menu",
    )
    title = f"Firmware against cuts at {cuts['fraction']:g} of the background: efficiencies"
    return Table(title=title, columns=columns, rows=tuple(rows), note=" ".join(cuts.get("notes", [])))


def _estimate(found: Mapping[str, Any] | None) -> Cell:
    return None if found is None else {"value": found["value"], "uncertainty": found["uncertainty"]}
