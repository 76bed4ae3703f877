import json
import xml.etree.ElementTree as ET

import pytest

from tokenry.report.axis import Axis, fit
from tokenry.report.entries import entries
from tokenry.report.forest import forest
from tokenry.report.labels import LINE, RINGS, Label, place
from tokenry.report.layers import layers
from tokenry.report.pareto import NARROW, WIDE, pareto
from tokenry.report.vega import CHARTS, PALETTE, light, to_svg

SIZE = (0.0, 0.0, 400.0, 200.0)


@pytest.fixture
def lines(build):
    results = build()
    return entries(results, results.tasks[0])


def elements(svg, tag):
    return ET.fromstring(svg).iter(tag)  # noqa: S314 - we drew it


def texts(svg):
    return [element.text for element in elements(svg, "text")]


def test_untouched_model_comes_first_and_the_rest_as_given(lines):
    assert lines[0].title == "Untouched model"
    assert [e.title for e in lines[1:5]] == ["PiToMe 1", "PiToMe 0.75", "PiToMe 0.5", "PiToMe 0.25"]
    assert [e.kind for e in lines if e.summary.keep == 0.5] == [
        "paper",
        "paper",
        "paper",
        "baseline",
        "baseline",
    ]


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_pareto_draws_every_configuration_below_one(lines, size):
    spec = pareto(lines, size)
    assert len(spec["datasets"]["points"]) == 1 + 5 * 3
    marks = [e for e in elements(to_svg(spec), "path") if e.get("aria-label")]
    assert len(marks) == 1 + 5 * 3
    assert any("Zero-TPrune 0.25" in m.get("aria-label") for m in marks)
    assert "slower" in next(
        m.get("aria-label") for m in marks if "Zero-TPrune 0.25" in m.get("aria-label")
    )


def test_pareto_highlights_the_front_and_marks_baselines(lines):
    points = {p["says"].split(":")[0]: p for p in pareto(lines)["datasets"]["points"]}
    assert points["PiToMe 0.25"]["color"] == "var(--accent)"
    assert points["Zero-TPrune 0.25"]["color"] == "var(--grey)"
    assert points["PiToMe 0.25"]["shape"] != points["Random 0.25"]["shape"]
    assert points["Random 0.25"]["fill"] == "var(--paper)"


def test_front_line_rises_with_time(lines):
    corners = pareto(lines)["datasets"]["front"]
    assert [c["score"] for c in corners] == sorted({c["score"] for c in corners})
    assert [c["cost"] for c in corners] == sorted(c["cost"] for c in corners)


def test_front_names_are_shown(lines):
    assert "PiToMe 0.25" in texts(to_svg(pareto(lines)))


def covers(label, point):
    beside = point[0] <= label.x - 5 or label.x + label.width + 5 <= point[0]
    return not beside and abs(label.y - point[1]) < LINE / 2 + 5


@pytest.mark.parametrize("size", [WIDE, NARROW, (436, 218)])
def test_the_best_is_always_named_and_no_name_covers_a_point(lines, size):
    for best in (e for e in lines if e.summary.keep < 1):
        spec = pareto(lines, size, best)
        data, scales = spec["datasets"], [spec["encoding"][c]["scale"] for c in "xy"]
        labels = [Label(d["left"], d["middle"], d["text"], "") for d in data["labels"]]
        assert {best.title, "Untouched model"} <= {label.text for label in labels}
        x, y = (
            Axis(*scale["domain"], length, scale["type"] == "log")
            for scale, length in zip(scales, size, strict=True)
        )
        for point in data["points"]:
            at = x(point["cost"]), size[1] - y(point["score"])
            assert not any(covers(label, at) for label in labels)


def test_forest_has_a_row_per_configuration_and_the_zero_line(lines):
    spec = forest(lines, "difference")
    assert len(spec["datasets"]["rows"]) == 5 * 3
    assert spec["datasets"]["zero"] == [{"x": 0.0}]
    assert forest(lines, "speedup")["datasets"]["zero"] == [{"x": 1.0}]
    shown = texts(to_svg(spec))
    assert [t for t in shown if t == "Zero-TPrune"]
    assert shown.count("0.75") >= 5


def test_forest_marks_slower_in_another_colour(lines):
    rows = forest(lines, "speedup")["datasets"]["rows"]
    colors = {row["says"].split(":")[0]: row["color"] for row in rows}
    assert colors["Zero-TPrune 0.25"] == "var(--loss)"
    assert colors["PiToMe 0.25"] == "var(--accent)"


def test_layer_panel_has_a_bar_per_layer(build):
    untouched, *_, profile = build().profiles()
    svg = to_svg(layers(profile, untouched, 6, 65))
    bars = [e for e in elements(svg, "path") if e.get("aria-label")]
    assert len(bars) == 6
    assert bars[0].get("aria-label").startswith("layer 1: ")
    assert to_svg(layers(profile, None, 6, 65))


@pytest.mark.parametrize("chart", sorted(p.stem for p in CHARTS.glob("*.json")))
def test_specs_name_no_color_of_their_own(chart):
    text = (CHARTS / f"{chart}.json").read_text(encoding="utf-8")
    assert "url" not in json.loads(text)
    assert "#" not in text.replace("https://vega.github.io/schema", "")
    used = {part.split(")")[0] for part in text.split("var(--")[1:]}
    assert used <= set(PALETTE)


def test_light_leaves_no_variable(lines):
    assert "var(" not in light(to_svg(pareto(lines)))


def test_a_wide_interval_is_cut_to_the_axis():
    points = [{"v": v, "v_low": v - 1000, "v_high": v + 1000} for v in (1.0, 2.0)]
    axis = fit(points, "v", 100)
    assert -0.2 < axis.low < 0
    assert 3 < axis.high < 3.2
    assert points[0]["v_low"] == axis.low
    assert points[1]["v_high"] == axis.high


def test_axis_is_logarithmic_over_a_wide_range_only_where_allowed():
    points = [{"v": v, "v_low": v, "v_high": v} for v in (1.0, 10.0)]
    assert fit(points, "v", 100, log=True).log
    assert not fit(points, "v", 100).log


def test_equal_values_still_make_an_axis():
    axis = fit([{"v": 0.0, "v_low": 0.0, "v_high": 0.0}], "v", 100)
    assert axis.low < 0 < axis.high
    assert Axis(0, 10, 100)(5) == 50


def overlap(a, b):
    return abs(a.y - b.y) < LINE and a.x < b.x + b.width and b.x < a.x + a.width


def test_names_of_near_points_do_not_overlap():
    wishes = [Label(100 + 3 * n, 100 + 4 * n, f"Method {n}", "red") for n in range(4)]
    placed = place(wishes, [(w.x, w.y) for w in wishes], [], SIZE)
    assert len(placed) == 4
    assert not any(overlap(a, b) for n, a in enumerate(placed) for b in placed[:n])


def test_a_name_at_the_right_edge_stands_inside():
    (label,) = place([Label(398, 100, "Untouched model", "ink")], [], [], SIZE)
    assert label.x + label.width <= 400
    assert label.x < 398 - RINGS[0]


def test_a_name_without_room_beside_its_point_stands_off_with_a_leader():
    crowd = [(x, y) for x in range(160, 241, 10) for y in range(85, 116, 10)]
    (label,) = place([Label(200, 100, "Best", "accent")], crowd, [], SIZE)
    assert not any(covers(label, point) for point in crowd)
    assert label.leader[0] == (200, 100)
    assert label.x <= label.leader[1][0] <= label.x + label.width
    assert (
        place([Label(200, 100, "Best", "accent", needed=False, far=False)], crowd, [], SIZE) == []
    )


def test_a_name_that_may_go_goes_where_there_is_no_room():
    crowd = [(x, y) for x in range(0, 400, 8) for y in range(0, 200, 8)]
    wish = Label(200, 100, "Random", "mute", needed=False)
    assert place([wish], crowd, [], SIZE) == []
    assert len(place([Label(200, 100, "Front", "accent")], crowd, [], SIZE)) == 1


def test_layer_panel_can_draw_one_count_of_each_layer(build):
    profile = build().profiles()[-1]
    both = layers(profile, None, 6, 65)["datasets"]["rows"]
    second = layers(profile, None, 6, 65, drawn=slice(1, 2))["datasets"]["rows"]
    assert [row["layer"] for row in both[:3]] == [0.5, 1.0, 1.5]
    assert [row["layer"] for row in second[:3]] == [0.5, 1.5, 2.5]
    assert [row["rows"] for row in second[:-1]] == [after for _, after in profile.tokens]
