"""What both pages say of a network: numbers, charts that answer, tables folded away."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.site import needs_npm
from unet.page.about.charts import charts_of
from unet.page.about.relatives import relatives_charts
from unet.publishing.report import comparison_in, metrics_of
from unet.results import group_by_dataset

CHARTS = "#about .chart"
PHONE = 360


@pytest.fixture
def bundle(networks):
    return networks.sources[networks.default].folder


@pytest.fixture(params=["gradio", pytest.param("site", marks=needs_npm)])
def open_about(request):
    """Opens what a page says of its network."""
    gradio = request.param == "gradio"
    open_it = request.getfixturevalue("open_page" if gradio else "open_site")

    def open_there(*size: int, **options) -> Page:
        page = open_it(*size, **options)
        if not gradio:
            page.get_by_text("About this network").click()
        elif size and size[0] == PHONE:
            page.locator(".overflow-menu > button").click()
            page.locator(".overflow-dropdown button", has_text="About this network").click()
        else:
            page.get_by_role("tab", name="About this network").click()
        expect(page.locator(f"{CHARTS} .dot").first).to_be_visible()
        return page

    return open_there


def chart(page: Page, title: str) -> Locator:
    return page.locator(CHARTS, has_text=title)


def test_the_numbers_stand_beside_the_papers_and_the_tables_are_folded(open_about, bundle):
    page = open_about()
    metrics = metrics_of(bundle)
    test = group_by_dataset(metrics["splits"]["test"])
    tiles = page.locator("#about .tiles")
    for value in metrics["paper_table_1"].values():
        expect(tiles).to_contain_text(f"{value}")
    accuracy = test["BUSI"]["network_resolution"]["pooled"]["accuracy"]["value"]
    expect(tiles).to_contain_text(f"{accuracy:.3f}")
    missed = test["BUSI"]["postprocessed"]["lesion_images_without_mask"]
    expect(tiles).to_contain_text(f"BUSI {missed['count']} of {missed['of']}")
    results = page.locator("#about details", has=page.get_by_text("Results", exact=True))
    expect(results.locator("table").first).to_be_hidden()
    results.locator("summary").click()
    for name, part in test.items():
        expect(results).to_contain_text(f"{name}, test split")
        expect(results).to_contain_text(
            f"{part['postprocessed']['lesion_images']['dice']['value']:.3f}"
        )
    assert all(head.strip() for head in page.locator("#about th").all_text_contents())


def test_every_chart_is_drawn_and_no_handler_or_style_stands_in_the_html(open_about, bundle):
    page = open_about()
    titles = page.locator("#about figcaption").all_text_contents()
    charts = charts_of(bundle) + relatives_charts(comparison_in(bundle.parent))
    assert titles == [chart["title"] for chart in charts]
    for summary in page.locator("#about summary").all():  # a folded chart is drawn when it unfolds
        summary.click()
    for plot in page.locator(f"{CHARTS} .plot > svg").all():
        plot.locator(".dot, .line").first.wait_for()
    inside = page.locator("#about .about").evaluate("about => about.outerHTML")
    assert not re.search(r"<[^>]*\s(on\w+|style)=", inside.replace('class="tip" hidden', ""))


def test_a_mark_under_the_pointer_names_its_case(open_about):
    page = open_about()
    cases = chart(page, "Every test image")
    tip = cases.locator(".tip")
    expect(tip).to_be_hidden()
    cases.locator(".plot .dot").first.hover()
    expect(tip).to_contain_text("Dice 0.000")
    expect(tip).to_contain_text("BUS")
    page.mouse.move(2, 2)
    expect(tip).to_be_hidden()


def test_the_legend_turns_a_series_off_and_on_and_the_counts_follow(open_about):
    page = open_about()
    cases = chart(page, "Every test image")
    marks, counts = cases.locator(".plot .dot"), cases.locator(".count")
    expect(marks.first).to_be_visible()  # each chart is drawn when it is first seen
    everything = marks.count()
    benign = cases.get_by_role("button", name="benign")
    benign.press("Enter")
    expect(benign).to_have_attribute("aria-pressed", "false")
    assert 0 < marks.count() < everything
    assert sum(map(int, counts.all_text_contents())) == marks.count()
    benign.press("Enter")
    expect(benign).to_have_attribute("aria-pressed", "true")
    assert marks.count() == everything


def test_arrow_keys_tell_the_values(open_about):
    page = open_about()
    curve = chart(page, "Does a probability")
    plot, tip = curve.locator(".plot"), curve.get_by_role("status")
    expect(plot).to_have_attribute("aria-label", re.compile("Arrow keys"))
    plot.focus()
    page.keyboard.press("Home")
    first = tip.text_content()
    assert "was lesion" in first
    page.keyboard.press("ArrowRight")
    expect(tip).not_to_have_text(first)
    page.keyboard.press("ArrowLeft")
    expect(tip).to_have_text(first)
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut_off_and_text_stands_out(open_about, scheme):
    page = open_about(PHONE, 800, color_scheme=scheme)
    for summary in page.locator("#about summary").all():  # wide tables scroll in their frames
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE
    for plot in page.locator(f"{CHARTS} .plot").all():
        plot.focus()
        page.keyboard.press("End")
        box = plot.locator(".tip").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE
    colour = "getComputedStyle(text).fill.match(/[\\d.]+/g).slice(0, 3).map(Number)"
    for text in page.locator(f"{CHARTS} svg text").all()[:40]:
        grey = sum(text.evaluate(f"text => {colour}")) / 3
        assert grey < 130 if scheme == "light" else grey > 130


def test_another_network_brings_its_own_numbers(open_about, networks):
    other = next(name for name in networks.sources if name != networks.default)
    page = open_about()
    if page.locator("select#network").count():
        page.locator("#network").select_option(other)
    else:
        page.locator("#network input").click()
        page.get_by_role("option", name=re.compile(f"^{other}:")).click()
    test = group_by_dataset(metrics_of(networks.sources[other].folder)["splits"]["test"])["BUSI"]
    error = test["network_resolution"]["cross_entropy"]["value"]
    expect(page.locator("#about .tiles")).to_contain_text(f"{error:.3f}", timeout=20_000)
    expect(page.locator(f"{CHARTS} .dot").first).to_be_visible()


def test_the_tab_is_empty_until_it_is_opened_and_tells_how_to_call(page):
    assert page.locator("#about .tiles").count() == 0
    page.get_by_role("tab", name="About this network").click()
    page.get_by_role("button", name="Use from a program").click()
    expect(page.get_by_text("/gradio_api/mcp/")).to_be_visible()
