"""The built site in a browser: pages without errors, mathematics, widths, search, dark, light."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

SITE = Path(__file__).parents[2] / "site"
PAGES = sorted(str(path.parent.relative_to(SITE)) for path in SITE.rglob("index.html"))
ADDRESS = "http://site/"
CHROMIUM = shutil.which("chromium")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine (Debian's package of that name)"
)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        # A container has no sandbox of the browser's.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module", params=["light", "dark"])
def page(browser, request):
    """A page that is answered from the site's folder, and keeps what goes wrong."""
    page = browser.new_page(color_scheme=request.param)
    page.wrong = []
    page.on("console", lambda message: message.type == "error" and page.wrong.append(message.text))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))

    def answer(route):
        url = route.request.url.partition("?")[0]
        file = SITE / url.removeprefix(ADDRESS)
        if file.is_dir():
            file = file / "index.html"
        if url.startswith(ADDRESS) and file.is_file():
            route.fulfill(path=file)
        else:
            page.wrong.append(f"not in the site: {url}")
            route.abort()

    page.route("**/*", answer)
    return page


def visit(page, path):
    page.wrong.clear()
    page.goto(f"{ADDRESS}{path}/".replace("/./", "/"), wait_until="load")


def test_the_site_is_built():
    assert {".", "tutorial/trace", "reference/synapses"} <= set(PAGES), "run `nox -s docs`"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_renders(page, path):
    visit(page, path)
    assert page.locator("h1").count() == 1
    formulas = page.locator(".arithmatex")
    assert formulas.count() == page.locator(".arithmatex:has(.katex)").count()
    assert page.locator(".katex-error").count() == 0
    assert not page.wrong


# What is wider than its frame, of the elements that a selector finds.
TOO_WIDE = """selector => [...document.querySelectorAll(selector)]
  .filter(e => e.scrollWidth > e.clientWidth + 1)
  .map(e => e.innerText.replace(/\\s+/g, " ").slice(0, 60))"""


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_wider_than_its_frame(page, path):
    try:
        for width, frames in (
            (1300, "html, .md-typeset__scrollwrap, article pre > code"),
            (400, "html"),  # tables and code scroll by themselves there
        ):
            page.set_viewport_size({"width": width, "height": 900})
            visit(page, path)
            assert page.evaluate(TOO_WIDE, frames) == [], f"{width} px"
    finally:
        page.set_viewport_size({"width": 1280, "height": 720})


def test_words_of_figures_are_legible_on_a_telephone(page):
    try:
        page.set_viewport_size({"width": 400, "height": 900})
        for path in ("tutorial/trace", "tutorial/microcircuit", "benchmarks"):
            visit(page, path)
            heights = page.locator("figure svg text").evaluate_all(
                "all => all.map(e => e.getBoundingClientRect().height)"
            )
            assert min(heights) > 7, path
    finally:
        page.set_viewport_size({"width": 1280, "height": 720})


# What is looked for, and where the answer is; a few of these are not here, and the answer says so.
LOOKED_FOR = {
    "TracedSynapses": "reference/synapses/#spark.nn.components.synapses.TracedSynapses",
    "STDP": "how-to/which-class/#stdp-from-traces",
    "refractory": "how-to/which-class/#neurons-refractory-time",
    "Poisson": "how-to/which-class/#poisson-input",
    "conductance": "how-to/which-class/#conductance-based-synapses",
    "NMDA": "how-to/which-class/#nmda-receptors",
    "surrogate": "tutorial/surrogate/",
    "FAQ": "how-to/questions/",
    "CUBA": "tutorial/cuba/",
    "delays": "how-to/delays/",
}


@pytest.mark.parametrize(("word", "address"), LOOKED_FOR.items())
def test_search_finds_a_word(page, word, address):
    visit(page, ".")
    field = page.locator(".md-search__input")
    field.focus()
    page.wait_for_load_state("networkidle")  # the index is there
    field.fill(word[:-1])
    field.press(word[-1])  # searches at a key, once
    found = page.locator(".md-search-result__item")
    found.first.wait_for(state="attached")
    # Among the first pages that it shows, of which each brings its best sections.
    first = [
        urlsplit(link.get_attribute("href"))
        for item in found.all()[:3]
        for link in item.locator("a.md-search-result__link").all()
    ]
    assert address in [f"{each.path.lstrip('/')}#{each.fragment}".rstrip("#") for each in first]
    assert not page.wrong


def luminance(color):
    """Relative luminance of sRGB, as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# Ink and ground as they are seen: painted one over the other, since both may be transparent.
COLORS = """element => {
  const layers = [];
  for (let e = element; e; e = e.parentElement) layers.unshift(getComputedStyle(e).backgroundColor);
  const style = getComputedStyle(element);
  const ink = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
  const context = document.createElement("canvas").getContext("2d");
  const painted = colors => {
    for (const color of ["white", ...colors]) {
      context.fillStyle = color;
      context.fillRect(0, 0, 1, 1);
    }
    return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)].map(c => c / 255);
  };
  return [painted([...layers, ink]), painted(layers)];
}"""


@pytest.mark.parametrize("path", ["tutorial/trace", "reference/tracers"])
def test_text_is_legible(page, path):
    visit(page, path)
    # WCAG 2, level AA: 4.5 for text, 3 for what is large or drawn.
    for selector, least in (
        ("article p", 4.5),
        ("article pre code", 4.5),
        ("article p a", 3),
        (".katex", 4.5),
        ("figure svg text", 3),
    ):
        for element in page.locator(selector).all()[:10]:
            ink, ground = map(luminance, element.evaluate(COLORS))
            contrast = (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05)
            assert contrast >= least, (selector, element.text_content())
