"""The page in headless Chromium: nothing is asked of the network or said on the console, and nothing is pushed off.

Skipped where there is no Chromium (`apt-get install chromium`).
"""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from nablax.workbench._report import page
from nablax.workbench._results import summarise
from workbench.found import runs, settings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium")

# What the page looks like from within.
MEASURE = """
<script>
addEventListener("load", () => {
  const box = s => { const r = document.querySelector(s).getBoundingClientRect(); return [r.left, r.right]; };
  const shown = s => getComputedStyle(document.querySelector(s)).display !== "none";
  const scroll = document.querySelector(".scroll"), root = document.documentElement;
  const { color, backgroundColor } = getComputedStyle(document.body);
  parent.postMessage(JSON.stringify({
    width: innerWidth, page: root.scrollWidth, dark: matchMedia("(prefers-color-scheme: dark)").matches,
    requests: performance.getEntriesByType("resource").map(e => e.name), metric: box(".ranking td:nth-child(2)"),
    rest: [scroll.clientWidth, scroll.scrollWidth], cue: shown(".cue"), wide: shown(".wide"),
    narrow: shown(".narrow"), ink: color, paper: backgroundColor,
    names: [...document.querySelectorAll(".ranking tbody th")].map(e => e.scrollWidth - e.clientWidth),
  }), "*");
});
</script></body>"""

# A frame can be as narrow as a telephone, a window cannot. The outer document, with the answer, is printed.
FRAME = """<!doctype html><pre id="found"></pre><script>
addEventListener("message", e => { document.getElementById("found").textContent = e.data; });
</script><iframe src="report.html" style="border: 0; width: WIDTHpx; height: 900px"></iframe>"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A page with long labels, an optimizer that failed, and one that diverged."""
    labels = [
        "adamw:weight_decay=0.01,b1=0.95,b2=0.98,mu_dtype=bfloat16,nesterov=True,schedule=warmup_cosine",
        "sgd",
        "an_optimizer_whose_name_has_no_place_to_break_at_all_and_goes_on",
    ]
    found = [runs(label, [1.0, 0.2 + i / 10, np.nan], [0.5] * 3) for i, label in enumerate(labels)]
    found = [
        type(r)(**{**vars(r), "label": label, "optimizer": "adamw"})
        for r, label in zip(found, labels, strict=True)
    ]
    names = {"optimizers": labels, "metric": "validation MSE of the withheld year", "higher_is_better": False}
    comparison = summarise(settings(**names), found, {"dpsgd:" + "x" * 80: "no " * 60})
    path = tmp_path_factory.mktemp("page") / "report.html"
    with pytest.MonkeyPatch.context() as patch:  # the third is in no table
        patch.setattr(
            "nablax.workbench._report._page.snippet", lambda entry, rate: f"tx = nablax.adamw({rate})"
        )
        path.write_text(page(comparison).replace("</body>", MEASURE), encoding="utf-8")
    return path


def browse(file, width, dark):
    outer = file.with_name(f"frame{width}.html")
    outer.write_text(FRAME.replace("WIDTH", str(width)))
    done = subprocess.run(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr",
            "--disable-background-networking", f"--user-data-dir={file.parent / 'profile'}", "--window-size=1400,900",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=5000", "--dump-dom",
            outer.as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout)
    return json.loads(html.unescape(found[1])), [
        line for line in done.stderr.splitlines() if "CONSOLE" in line
    ]


def brightness(colour):
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (768, True), (390, False)])
def test_the_page_in_a_browser(file, width, dark):
    found, console = browse(file, width, dark)
    assert console == []
    assert found["requests"] == []
    assert found["width"] == width
    assert found["page"] <= width  # nothing is pushed off the page
    assert 0 <= found["metric"][0] < found["metric"][1] <= width  # the metric is in view without scrolling
    assert max(found["names"]) <= 0  # labels wrap
    assert found["dark"] == dark
    assert (brightness(found["ink"]) > brightness(found["paper"])) == dark
    assert found["wide"] != found["narrow"]
    assert found["narrow"] == found["cue"] == (width < 600)
    if width == 1280:
        assert found["rest"][1] <= found["rest"][0]  # all columns are in view
