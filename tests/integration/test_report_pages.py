"""Reports in a real browser: accessible in light and dark, on narrow screens, and deaf to what strangers wrote."""

import pytest
from support.handmade import handmade

from provenance import keys
from provenance.entry import Http
from provenance.reports.crawl import crawl
from provenance.reports.files import write
from provenance.reports.summary import summary
from provenance.reports.tally import read_log
from reservations.model import Category, Verdict

pytestmark = pytest.mark.crawl

EVIL = '"><script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'">\u202e'
LONG = "a-very-long-label." * 13 + "example"


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The pages of both reports on a log that holds what nobody would want to see executed."""
    folder, made = tmp_path_factory.mktemp("reports"), handmade()
    crawled = made.Crawled(folder / "out", keys.generate(folder / "key"))
    known = {"verdict": Verdict.KEPT, "gate": "body", "final": True, "open": (Category.GENAI_TRAIN,)}
    for number, site in enumerate((EVIL, LONG, *(f"s{number}.example" for number in range(30)))):
        http = Http(st=200, ct=EVIL if number % 2 else "text/html", len=1000 * number)
        crawled.decide(url=f"https://{number}.example/", site=site, reason=EVIL, http=http, **known)
    crawled.refused("https://example.org/private/x")
    crawled.finish()
    tally = read_log(crawled.out)
    for document in (summary([tally], [made.RULES]), crawl([tally], [made.RULES])):
        write(document, folder / "reports")
    return sorted((folder / "reports").glob("*.html"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_reports_are_accessible(browser, reports, scheme):
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    for path in reports:
        page.goto(path.as_uri())
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, f"{path.name}\n{found.generate_report()}"
    context.close()


def test_nothing_of_strangers_is_executed_loaded_or_pushed_off_the_screen(browser, reports):
    context = browser.new_context(viewport={"width": 360, "height": 800})
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    for path in reports:
        page.goto(path.as_uri())
        assert page.title() != "owned"
        assert page.locator("table").count() > 1
        assert page.evaluate("getComputedStyle(document.querySelector('caption')).textAlign") == "left", "has its style"
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()
    assert asked == [path.as_uri() for path in reports]
    assert said == []
