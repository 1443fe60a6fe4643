"""The site: `make docs` builds it into out/docs, warnings are errors. What it adds to Sphinx is in _site/."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import nablax  # noqa: E402

project = "nablax"
author = "the nablax authors"
project_copyright = "the nablax authors, Apache-2.0"
version = release = nablax.__version__

extensions = ["myst_parser", "sphinx_copybutton", "_site"]
exclude_patterns = ["_site"]
suppress_warnings = ["toc.empty_glob"]
language = "en"

myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_block"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = "nablax"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["nablax.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5fa5", "color-brand-content": "#0b5fa5"},
    "dark_css_variables": {"color-brand-primary": "#7cb8ee", "color-brand-content": "#7cb8ee"},
    "top_of_page_buttons": [],
}

highlight_language = "text"
pygments_dark_style = "github-dark"
python_maximum_signature_line_length = 76
add_module_names = False
toc_object_entries = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
