"""Sphinx: `nox -s docs` builds with -W -n, so a dead reference is an error."""

from importlib.metadata import version as version_of

project = "asyncbackends"
author = "The asyncbackends authors"
project_copyright = "The asyncbackends authors"
version = release = version_of("asyncbackends")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"asyncbackends {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

nitpick_ignore_regex = [
    # Linking to other projects would need their inventories from the network.
    (r"py:.*", r"(asyncio|builtins|collections|contextlib|datetime|enum|os|types|typing|uuid)\..*"),
    (r"py:.*", r"(anyio|msgspec|opentelemetry|pytest)\..*"),
    # A type variable has no entry of its own.
    (r"py:class", r"asyncbackends\..*T(_co)?"),
]
