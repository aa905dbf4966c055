"""The first ten minutes: from the empty Overview to a delivered picture and back."""

from tests.browser.conftest import OpenTab


def test_from_the_empty_overview_to_a_delivered_picture(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.product.pace(image_seconds=1.5)
    tab.open("/")
    tab.page.get_by_text("Nothing has been generated yet").wait_for()
    assert "Overview" in tab.page.title()
    tab.button("Make the first test").click()
    tab.button("Test FLUX.2 Pro").click()
    tab.page.locator(".so-way").wait_for()
    picture = tab.delivered()
    assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 0
    tab.page.get_by_text("Delivered", exact=True).first.wait_for()

    with tab.page.expect_download() as download:
        tab.page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith((".jpg", ".png"))
    assert download.value.path().stat().st_size > 10_000

    tab.page.get_by_role("link", name="Overview").click()
    tab.page.get_by_text("Nothing needs a person now.").wait_for()
    tab.page.get_by_text("100\u00a0%").wait_for()


def test_every_request_stays_on_this_machine_and_every_icon_is_drawn(open_tab: OpenTab) -> None:
    tab = open_tab()
    tab.open("/test_generation")
    tab.page.locator(".so-empty .so-icon").first.wait_for()
    assert tab.evaluate("document.fonts.check('20px \"Material Symbols Rounded\"')")
    icon = tab.evaluate("document.querySelector(\"link[rel~='icon']\").href")
    assert icon.startswith(tab.product.url)


def test_a_page_is_there_at_once(open_tab: OpenTab) -> None:
    tab = open_tab()
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    # The script of fields comes before any page with one is opened, and no more often.
    with tab.page.expect_request_finished(lambda request: "/DateInput." in request.url):
        tab.open("/")
    for _ in range(2):
        tab.page.get_by_role("link", name="Test generation").click()
        tab.button("Test FLUX.2 Pro").wait_for(timeout=10_000)
        tab.page.get_by_role("link", name="Overview").click()
        tab.page.get_by_text("Machinery", exact=True).wait_for(timeout=10_000)
    assert sum("/DateInput." in url and url.endswith(".js") for url in asked) == 1
